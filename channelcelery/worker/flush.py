"""One flush of what consumers sent: queues, then replies and groups, each failure counted and logged."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from django.db import DatabaseError, InterfaceError

from channelcelery.core.bursts import Bursts
from channelcelery.core.sends import ChannelSend, ReliableSend, Send
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, LayerUnavailable
from channelcelery.layers.layer import ChannelLayer

__all__ = ["flush", "put_all_back", "put_back"]

logger = logging.getLogger("django.channels.worker")

_bursts = Bursts()
#: Seconds that a flush waits for room on a full channel, and between its tries (item 38).
WAIT_FOR_ROOM = 2.0
BETWEEN_TRIES = 0.2
#: Seconds after which a worker that ends puts nothing more back: process managers wait for 30 s before they kill.
PUT_BACK = 10.0


def flush(waiting: Sequence[tuple[ChannelLayer, Send]]) -> Counter[str]:
    """Send what consumers sent; never raises.

    A full queue is tried again for two seconds (item 38). A full inbox is not: one interface process that does not read
    must not hold up the workers.

    Args:
        waiting: (layer, send) pairs in the order of the calls.

    Returns:
        Counts of the sends that were dropped, by reason.
    """
    dropped: Counter[str] = Counter()
    by_layer: dict[ChannelLayer, tuple[list[ReliableSend], list[ChannelSend], list[Send]]] = {}
    for layer, send in waiting:
        reliable, queued, pushed = by_layer.setdefault(layer, ([], [], []))
        if isinstance(send, ChannelSend):
            queued.append(send)
        elif isinstance(send, ReliableSend):
            reliable.append(send)
        else:
            pushed.append(send)
    for layer, (reliable, _, _) in by_layer.items():
        _flush_reliable(layer, reliable, dropped)
    for layer, (_, queued, pushed) in by_layer.items():
        if queued:
            _flush_queued(layer, queued, dropped)
        if pushed:
            _flush_pushed(layer, pushed, dropped)
        if layer.dropped:
            dropped.update(_silently_dropped(layer))
    return dropped


def _silently_dropped(layer: ChannelLayer) -> Counter[str]:
    """Count what a layer dropped without an error, and say so: a group's send skips members at capacity (item 31)."""
    counts = +layer.take_dropped()
    lost = counts.get("inbox_full", 0) + counts.get("channel_full", 0)
    if lost and (silent := _bursts.hit("group_full", time.monotonic())) is not None:
        logger.warning("%d group sends skipped a member at capacity (%d times before, unlogged)", lost, silent)
    return counts


def put_back(layer: ChannelLayer, channel: str, items: Sequence[bytes], until: float = math.inf) -> Counter[str]:
    """Put messages that are to run later at the back of their channel, whatever its capacity; never raises.

    Args:
        layer: the layer that they came by.
        channel: the channel that they came by.
        items: encoded items.
        until: when to try no longer, on the clock `time.monotonic`.

    Returns:
        Counts of the messages that were lost, by reason.
    """
    left, lost = list(items), Counter[str]()
    while left:
        if time.monotonic() >= until:
            return lost + _lose(channel, left, f"others took {PUT_BACK:g} s")
        try:
            layer.publisher.put_back(channel, left)
            left = []
        except BrokerUnanswered as error:  # for the next it may be there again
            doubtful = error.in_doubt or len(left)
            left = left[error.taken + doubtful :]
            lost["broker_unanswered"] += doubtful
            logger.error("%d messages of %s may be lost: %s", doubtful, channel, error)
        except BrokerUnavailable as error:
            return lost + _lose(channel, left[error.taken :], error)
        except Exception as error:  # other channels are to be put back, whatever a client library raises
            return lost + _lose(channel, left, repr(error))
    return lost


def put_all_back(waiting: Iterable[tuple[ChannelLayer, str, Sequence[bytes]]]) -> Counter[str]:
    """Put back what a worker that ends had taken, as `put_back` does, and take no longer than its supervisor waits.

    Args:
        waiting: layers, channels and encoded items.

    Returns:
        Counts of the messages that were lost, by reason.
    """
    lost, until = Counter[str](), time.monotonic() + PUT_BACK
    for layer, channel, items in waiting:
        lost += put_back(layer, channel, items, until)
    return lost


def _lose(channel: str, items: Sequence[bytes], reason: object) -> Counter[str]:
    logger.error("%d messages of %s are lost: %s", len(items), channel, reason)
    return Counter(broker_unavailable=len(items))


def _flush_reliable(layer: ChannelLayer, sends: Sequence[ReliableSend], dropped: Counter[str]) -> None:
    """Send what a consumer left that raised, and is not run again; that of others was sent when they returned."""
    for send in sends:
        try:
            full = layer.flush_sends([send])
            error = f"{', '.join(full)}: at capacity"
        except (BrokerUnavailable, DatabaseError, InterfaceError) as failure:
            full, error = (send.channel,), str(failure)
        if full:
            dropped["reliable_unsent"] += 1
            logger.error("a message for the reliable channel %s was not sent: %s", send.channel, error)


def _flush_queued(layer: ChannelLayer, sends: Sequence[ChannelSend], dropped: Counter[str]) -> None:
    """Send to queues, one channel after the other, so that what left before the broker went away is not counted."""
    deadline = time.monotonic() + WAIT_FOR_ROOM
    waiting: dict[str, list[ChannelSend]] = {}
    for send in sends:
        waiting.setdefault(send.channel, []).append(send)
    while waiting:
        try:
            for channel in tuple(waiting):
                if not layer.flush_sends(waiting[channel]):
                    del waiting[channel]
        except BrokerUnavailable as error:
            lost = sum(map(len, waiting.values())) - error.settled
            dropped += Counter(broker_unavailable=lost, broker_unanswered=error.in_doubt)
            logger.error("%d messages were dropped: %s", lost, error)
            return
        if waiting and time.monotonic() >= deadline:
            dropped["channel_full"] += sum(map(len, waiting.values()))
            logger.error(
                "%d messages were dropped since %s stayed at capacity for %g s: run more workers, raise "
                "the capacity, or send with immediately=True to handle ChannelFull",
                sum(map(len, waiting.values())),
                ", ".join(waiting),
                WAIT_FOR_ROOM,
            )
            return
        if waiting:
            time.sleep(BETWEEN_TRIES)


def _flush_pushed(layer: ChannelLayer, sends: Sequence[Send], dropped: Counter[str]) -> None:
    try:
        full = layer.flush_sends(sends)
    except LayerUnavailable as error:
        dropped["layer_unavailable"] += len(sends)
        logger.error("%d replies and group sends were dropped: %s", len(sends), error)
        return
    except BrokerUnavailable as error:
        # a group with a queue among its members
        dropped["broker_unavailable"] += 1
        logger.error("a group's queue got nothing: %s", error)
        return
    if full:
        text = "%d replies or delayed messages were dropped: an inbox is not read, or too many messages wait already"
        logger.error(text, len(full))
