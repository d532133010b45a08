"""One run of a reliable message, in the pool: a total function, whose outcome the broker learns and nobody else."""

import logging
import time
import traceback
from collections import Counter
from dataclasses import dataclass, replace

from celery.exceptions import SoftTimeLimitExceeded
from django.db import close_old_connections

from channelcelery.core.envelope import decode_content
from channelcelery.core.reliable import Again, Dead, Done, Ended, Reason, Reliable, after_run, before_run
from channelcelery.exceptions import (
    BrokerUnavailable,
    ConsumeLater,
    InvalidEnvelope,
    InvalidName,
    LayerUnavailable,
    Reject,
    Retry,
)
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.reliable.dead import Death
from channelcelery.reliable.parcel import Parcel
from channelcelery.reliable.sending import ReliableSender, wait_before
from channelcelery.routing import get_router
from channelcelery.worker.consume import Received, Run, run_received
from channelcelery.worker.flush import flush
from channelcelery.worker.reliable_rows import leave_outbox, row_due, run_again_from_outbox, run_once, was_done
from channelcelery.worker.renewals import renewing

__all__ = ["Buried", "Finished", "Postponed", "Unsettled", "cut_off", "run_parcel", "sender_of"]

logger = logging.getLogger("django.channels.worker")

#: Counts of a flush that say that what a consumer sent did not leave.
_FAILED = ("broker_unavailable", "channel_full", "layer_unavailable", "reliable_unsent")
#: With these a process of prefork leaves that a signal ends; a consumer may get to see it.
_ENDED = range(-255, -191)
#: Seconds until a message runs whose run could not be counted.
_UNCOUNTED = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The consumer returned."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """A copy for another run is at the broker, or will be published from the outbox.

    Args:
        attempt: the number of that run.
        seconds: to wait before it.
        why: in a line.
    """

    attempt: int
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Buried:
    """The message is among the dead letters, or on its way there."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Nobody took what was to become of the message: it must go back to its queue."""

    why: str


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ended, and what a person is told of it."""

    ended: Ended
    detail: str = ""
    traceback: str = ""
    after: float | None = None


def sender_of(layer: ChannelLayer) -> ReliableSender:
    """Return what sends to the reliable channels of a layer in this process."""
    if not isinstance(layer.reliable, ReliableSender):
        raise RuntimeError(f"the layer {layer.alias} cannot send to reliable channels: is Django set up?")
    return layer.reliable


def run_parcel(parcel: Parcel, redelivered: bool) -> Finished | Postponed | Buried | Unsettled:
    """Run the consumer of a message, and have the broker or the database keep what is to become of it.

    Args:
        parcel: the message.
        redelivered: whether this copy was delivered before, and may have run then.
    """
    layer = channel_layers[parcel.alias]
    policy = get_router(parcel.alias).reliable.get(parcel.channel, Reliable())
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


def cut_off(parcel: Parcel, redelivered: bool) -> Finished | Postponed | Buried | Unsettled:
    """Have the broker or the database keep what is to become of a message whose process was ended by its time limit.

    Args:
        parcel: the message.
        redelivered: as for its run.
    """
    layer = channel_layers[parcel.alias]
    policy = get_router(parcel.alias).reliable.get(parcel.channel, Reliable())
    if policy.idempotent and was_done(parcel):
        return _finish(parcel)
    if redelivered:
        try:  # the number after that run's
            parcel = parcel.again(layer.attempts.count(parcel.id, parcel.attempt) - 1)
        except LayerUnavailable as error:
            return Unsettled(f"its runs cannot be counted: {error}")
    end = _End(Ended.TIMED_OUT, "it went on after its time limit, so that its process was ended")
    match after_run(policy, parcel.attempt, end.ended):
        case Again() as again:
            return _postpone(layer, parcel, policy, again, end.detail)
        case Dead() as dead:
            return _bury(layer, parcel, dead, end)
        case Done():
            return _finish(parcel)


def _count_and_run(
    layer: ChannelLayer, parcel: Parcel, policy: Reliable, redelivered: bool
) -> Finished | Postponed | Buried | Unsettled:
    if redelivered:
        try:
            parcel = parcel.again(layer.attempts.count(parcel.id, parcel.attempt))
        except LayerUnavailable as error:
            # it must not run uncounted: the copy counts this run, which is not one
            return _postpone(
                layer, parcel, policy, Again(parcel.attempt + 1, _UNCOUNTED), f"it cannot be counted: {error}"
            )
    if (dead := before_run(policy, parcel.attempt)) is not None:
        if policy.idempotent and was_done(parcel):
            return _finish(parcel)
        detail = f"its {policy.max_attempts} runs ended with their processes, or were cut off"
        return _bury(layer, replace(parcel, attempt=policy.max_attempts), dead, _End(Ended.RAISED, detail))
    found = _received(layer, parcel, redelivered)
    if isinstance(found, Reason):
        return _bury(layer, parcel, Dead(found), _End(Ended.REJECTED, _DETAILS[found]))
    if isinstance(found, Run):
        run = found
    else:
        run = run_once(found, parcel) if policy.idempotent else run_received(found, Counter())
    if isinstance(run.error, SystemExit) and run.error.code in _ENDED:
        raise run.error  # the main process sees to it
    end = _end_of(run, policy)
    match after_run(policy, parcel.attempt, end.ended, end.after):
        case Done():
            return _finish(parcel)
        case Again() as again:
            return _postpone(layer, parcel, policy, again, end.detail)
        case Dead() as dead:
            return _bury(layer, parcel, dead, end)


def _finish(parcel: Parcel) -> Finished:
    if parcel.outbox:
        leave_outbox(parcel)
    return Finished()


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
    return Reason.UNROUTED if match is None else Received(message, *match, reliable=True)


def _end_of(run: Run, policy: Reliable) -> _End:
    """Send what a consumer sent that returned, and say how its run ended."""
    if run.error is None:
        dropped = flush(run.sends)
        # what an idempotent one did is committed: another run would send nothing either
        lost = {} if policy.idempotent else {reason: dropped[reason] for reason in _FAILED if dropped[reason]}
        return _End(Ended.UNSENT, f"what it sent could not leave: {lost}") if lost else _End(Ended.RETURNED)
    detail = f"{type(run.error).__name__}: {run.error}"
    text = "".join(traceback.format_exception(run.error))
    match run.error:
        case Reject():
            return _End(Ended.REJECTED, str(run.error), text)
        case Retry():
            return _End(Ended.RETRIED, str(run.error), text, run.error.after)
        case ConsumeLater():
            return _End(Ended.RETRIED, "the consumer raised ConsumeLater", text)
        case SoftTimeLimitExceeded():
            return _End(Ended.TIMED_OUT, "it took longer than its time limit", text)
    return _End(Ended.RAISED, detail, text)


def _postpone(layer: ChannelLayer, parcel: Parcel, policy: Reliable, again: Again, why: str) -> Postponed | Unsettled:
    seconds = wait_before(policy, again)
    if parcel.outbox and run_again_from_outbox(parcel, again.attempt, seconds):
        return Postponed(again.attempt, seconds, why)
    try:
        sender_of(layer).send_again(parcel.again(again.attempt), seconds)
    except BrokerUnavailable as error:
        return Unsettled(str(error))
    return Postponed(again.attempt, seconds, why)


def _bury(layer: ChannelLayer, parcel: Parcel, dead: Dead, end: _End) -> Buried | Unsettled:
    death = Death(parcel, dead.reason, end.detail, end.traceback, time.time())
    try:
        sender_of(layer).keep_dead(death)
    except BrokerUnavailable as error:
        return Unsettled(str(error))
    logger.error(
        "a message of %s is dead after %d runs (%s): %s; see manage.py deadletters",
        parcel.channel,
        parcel.attempt,
        dead.reason,
        end.detail,
    )
    try:
        layer.attempts.forget(parcel.id)
    except LayerUnavailable as error:  # it ends by itself
        logger.warning("the count of a dead message's runs stays: %s", error)
    return Buried(dead.reason)
