"""One run of a reliable message, in the pool: a total function, whose outcome the broker learns and nobody else."""

import logging
import traceback
from collections import Counter
from dataclasses import replace

from celery.exceptions import SoftTimeLimitExceeded
from django.db import close_old_connections

from channelcelery.core.envelope import decode_content
from channelcelery.core.reliable import Again, Dead, Done, Ended, Reason, Reliable, after_run, before_run
from channelcelery.exceptions import ConsumeLater, InvalidEnvelope, InvalidName, LayerUnavailable, Reject, Retry
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.reliable.parcel import Parcel
from channelcelery.routing import get_router
from channelcelery.worker.consume import Run, run_received
from channelcelery.worker.flush import flush
from channelcelery.worker.reading import Received
from channelcelery.worker.reliable_ends import End, Finished, Settled, Unsettled, bury, finish, postpone
from channelcelery.worker.reliable_rows import row_due, run_once, was_done
from channelcelery.worker.renewals import renewing

__all__ = ["cut_off", "run_parcel"]

logger = logging.getLogger("django.channels.worker")

#: Counts of a flush that say that what a consumer sent did not leave.
_FAILED = ("broker_unavailable", "channel_full", "layer_unavailable", "reliable_unsent")
#: With these a process of prefork leaves that a signal ends; a consumer may get to see it.
_ENDED = range(-255, -191)
#: Seconds until a message runs whose run could not be counted.
_UNCOUNTED = 5.0


def run_parcel(parcel: Parcel, redelivered: bool) -> Settled:
    """Run the consumer of a message, and have the broker or the database keep what is to become of it.

    Args:
        parcel: the message.
        redelivered: whether this copy was delivered before, and may have run then.
    """
    layer = channel_layers[parcel.alias]
    policy = get_router(parcel.alias).reliable.get(parcel.channel, Reliable())
    if not (parcel.outbox or policy.idempotent):  # the database is the consumer's alone, for whom they are closed, too
        return _count_and_run(layer, parcel, policy, redelivered)
    close_old_connections()
    try:
        if not parcel.outbox:
            return _count_and_run(layer, parcel, policy, redelivered)
        if (due := row_due(parcel)) is None:  # another copy was faster
            return Finished()
        with renewing(parcel, due):
            return _count_and_run(layer, parcel, policy, redelivered)
    finally:
        close_old_connections()


def cut_off(parcel: Parcel, redelivered: bool) -> Settled:
    """Have the broker or the database keep what is to become of a message whose process was ended by its time limit.

    Args:
        parcel: the message.
        redelivered: as for its run.
    """
    layer = channel_layers[parcel.alias]
    policy = get_router(parcel.alias).reliable.get(parcel.channel, Reliable())
    if policy.idempotent and was_done(parcel):
        return finish(parcel)
    if redelivered:
        try:  # the number after that run's
            parcel = parcel.again(layer.attempts.count(parcel.id, parcel.attempt) - 1)
        except LayerUnavailable as error:
            return Unsettled(f"its runs cannot be counted: {error}")
    end = End(Ended.TIMED_OUT, "it went on after its time limit, so that its process was ended")
    match after_run(policy, parcel.attempt, end.ended):
        case Again() as again:
            return postpone(layer, parcel, policy, again, end.detail)
        case Dead() as dead:
            return bury(layer, parcel, dead, end)
        case Done():
            return finish(parcel)


def _count_and_run(layer: ChannelLayer, parcel: Parcel, policy: Reliable, redelivered: bool) -> Settled:
    if redelivered:
        try:
            parcel = parcel.again(layer.attempts.count(parcel.id, parcel.attempt))
        except LayerUnavailable as error:
            # it must not run uncounted: the copy counts this run, which is not one
            return postpone(
                layer, parcel, policy, Again(parcel.attempt + 1, _UNCOUNTED), f"it cannot be counted: {error}"
            )
    if (dead := before_run(policy, parcel.attempt)) is not None:
        if policy.idempotent and was_done(parcel):
            return finish(parcel)
        detail = f"its {policy.max_attempts} runs ended with their processes, or it was given back before they began"
        return bury(layer, replace(parcel, attempt=policy.max_attempts), dead, End(Ended.RAISED, detail))
    found = _received(layer, parcel, redelivered)
    if isinstance(found, Reason):
        return bury(layer, parcel, Dead(found), End(Ended.REJECTED, _DETAILS[found]))
    if isinstance(found, Run):
        run = found
    else:
        run = run_once(found, parcel) if policy.idempotent else run_received(found, Counter())
    if isinstance(run.error, SystemExit) and run.error.code in _ENDED:
        raise run.error  # the main process sees to it
    end = _end_of(run, policy)
    match after_run(policy, parcel.attempt, end.ended, end.after):
        case Done():
            return finish(parcel)
        case Again() as again:
            return postpone(layer, parcel, policy, again, end.detail)
        case Dead() as dead:
            return bury(layer, parcel, dead, end)


_DETAILS = {
    Reason.UNREADABLE: "its content cannot be read",
    Reason.UNROUTED: "no route of its channel matches it",
}


def _received(layer: ChannelLayer, parcel: Parcel, redelivered: bool) -> Received | Run | Reason:
    """Return a message with its consumer, or the run that failed before there was one, or why there can be none."""
    try:
        content = decode_content(parcel.content)
        message = Message(
            content,
            parcel.channel,
            layer,
            id=parcel.id,
            attempt=parcel.attempt,
            redelivered=redelivered or parcel.copy > 0,
        )
    except (InvalidEnvelope, InvalidName):
        return Reason.UNREADABLE
    try:
        match = get_router(layer.alias).match(message)
    except Exception as error:  # a filter of the project's own
        logger.exception("the route of a message of %s could not be found", parcel.channel)
        return Run(error=error)
    return Reason.UNROUTED if match is None else Received(message, *match, reliable=True, trace=parcel.trace)


def _end_of(run: Run, policy: Reliable) -> End:
    """Send what a consumer sent that returned, and say how its run ended."""
    if run.error is None:
        dropped = flush(run.sends)
        # what an idempotent one did is committed: another run would send nothing either
        lost = {} if policy.idempotent else {reason: dropped[reason] for reason in _FAILED if dropped[reason]}
        return End(Ended.UNSENT, f"what it sent could not leave: {lost}") if lost else End(Ended.RETURNED)
    detail = f"{type(run.error).__name__}: {run.error}"
    text = "".join(traceback.format_exception(run.error))
    match run.error:
        case Reject():
            return End(Ended.REJECTED, str(run.error), text)
        case Retry():
            return End(Ended.RETRIED, str(run.error), text, run.error.after)
        case ConsumeLater():
            return End(Ended.RETRIED, "the consumer raised ConsumeLater", text)
        case SoftTimeLimitExceeded():
            return End(Ended.TIMED_OUT, "it took longer than its time limit", text)
    return End(Ended.RAISED, detail, text)
