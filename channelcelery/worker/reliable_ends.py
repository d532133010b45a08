"""What becomes of a reliable message after a run: the broker or the database keeps it, or its queue does."""

import logging
import time
from dataclasses import dataclass

from django.db import close_old_connections

from channelcelery.core.reliable import Again, Dead, Ended, Reason, Reliable
from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable
from channelcelery.layers.layer import ChannelLayer
from channelcelery.reliable.dead import Death
from channelcelery.reliable.parcel import Parcel
from channelcelery.reliable.sending import ReliableSender, wait_before
from channelcelery.worker.reliable_rows import leave_outbox, run_again_from_outbox

__all__ = ["Buried", "End", "Finished", "Postponed", "Settled", "Unsettled", "bury", "finish", "postpone", "sender_of"]

logger = logging.getLogger("django.channels.worker")


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


#: What became of a message.
Settled = Finished | Postponed | Buried | Unsettled


@dataclass(frozen=True, slots=True)
class End:
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


def finish(parcel: Parcel) -> Finished:
    """Let go of a message that is done."""
    if parcel.outbox:
        leave_outbox(parcel)
    return Finished()


def postpone(layer: ChannelLayer, parcel: Parcel, policy: Reliable, again: Again, why: str) -> Postponed | Unsettled:
    """Have the outbox or the broker keep a message for another run.

    Args:
        layer: the message's.
        parcel: the message.
        policy: its channel's.
        again: which run, and when.
        why: in a line, for people.
    """
    seconds = wait_before(policy, again)
    if parcel.outbox and run_again_from_outbox(parcel, again.attempt, seconds):
        return Postponed(again.attempt, seconds, why)
    try:
        sender_of(layer).send_again(parcel.again(again.attempt), seconds)
    except BrokerUnavailable as error:
        return Unsettled(str(error))
    return Postponed(again.attempt, seconds, why)


def bury(layer: ChannelLayer, parcel: Parcel, dead: Dead, end: End) -> Buried | Unsettled:
    """Put a message among the dead letters.

    Args:
        layer: the message's.
        parcel: the message.
        dead: why.
        end: how its last run ended.
    """
    death = Death(parcel, dead.reason, end.detail, end.traceback, time.time())
    close_old_connections()
    try:
        sender_of(layer).keep_dead(death)
    except BrokerUnavailable as error:
        return Unsettled(str(error))
    finally:
        close_old_connections()
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
