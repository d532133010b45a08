"""What workers do for a layer again and again: send what is due, and end what died without a word."""

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from channelcelery.core.envelope import decode_content, encode_content, encode_item
from channelcelery.core.sends import DelayedSend, ReliableSend, Send
from channelcelery.exceptions import BrokerUnavailable, ChannelCeleryError, LayerUnavailable
from channelcelery.layers.layer import ChannelLayer
from channelcelery.tracing import continuing

__all__ = ["reap", "send_due"]

logger = logging.getLogger("django.channels.layer")

#: Delayed messages that are sent in one go.
_DUE_AT_ONCE = 500
#: Milliseconds after which a delayed message whose channel was full is tried again.
_AGAIN = 1_000
#: Seconds of waiting after which a server counts as away; a channel that cannot be sent to says so at once.
_AWAY = 0.5


def reap(layer: ChannelLayer) -> int:
    """Clear up after interface processes that died, and send the disconnects that these no longer can.

    Args:
        layer: whose interface processes.

    Returns:
        How many connections had been theirs.

    Raises:
        LayerUnavailable: Redis did not answer.
        BrokerUnavailable: the broker did not take a disconnect; it is sent by the next call.
    """
    orphans = layer.replies.reap()
    # kept until the broker has them, since Redis has forgotten them; capacity does not count for what ended
    for orphan in orphans:
        content = encode_content(orphan.disconnect(), layer.config.message_size)
        layer.owed.setdefault(orphan.channel, []).append(encode_item(content, layer.deadline()))
    while layer.owed:
        channel, items = next(iter(layer.owed.items()))
        try:
            layer.publisher.put_back(channel, items)
        except BrokerUnavailable as error:
            del items[: error.settled]
            _doubt(layer, channel, error.in_doubt)
            raise
        del layer.owed[channel]
    return len(orphans)


def send_due(layer: ChannelLayer) -> int:
    """Send the delayed messages that are due; workers do so all the time (items 206, 207).

    Args:
        layer: where they wait.

    Returns:
        How many were due.

    Raises:
        LayerUnavailable: Redis did not answer; what was not sent waits again.
        BrokerUnavailable: the broker did not take a message; what was not sent waits again.
        Exception: whatever else a client library raises; what was not sent waits again.
    """
    due = sorted(layer.delays.take_due(_DUE_AT_ONCE), key=attrgetter("channel"))
    groups = [(channel, list(group)) for channel, group in groupby(due, key=attrgetter("channel"))]
    # so that one that cannot be sent to for long does not keep the same others waiting each time
    random.shuffle(groups)
    again: list[DelayedSend] = []
    failure: Exception | None = None
    away = False
    for channel, sends in groups:
        # nobody but this process has them, which may end while it waits: where one had to wait, no other does
        left = sends
        if not away:
            begun = time.monotonic()
            left, error = _send(layer, channel, sends)
            failure = error or failure
            away = error is not None and time.monotonic() - begun > _AWAY
        # as in 1.x: a second later there may be room (item 207)
        again += [replace(send, delay=_AGAIN) for send in left]
    _wait_again(layer, again)
    if failure is not None:
        raise failure
    return len(due)


def _send(layer: ChannelLayer, channel: str, sends: list[DelayedSend]) -> tuple[list[DelayedSend], Exception | None]:
    """Send the messages of one channel, and return those that it did not take, and why if it was no lack of room."""
    pairs = [(send, prepared) for send in sends if (prepared := _prepare(layer, send)) is not None]
    # reliable ones leave one by one, so that it is known which
    size = 1 if layer.is_reliable(channel) else len(sends)
    while pairs:
        left = [send for send, _ in pairs]
        try:
            if layer.flush_sends([prepared for _, prepared in pairs[:size]]):
                return left, None
        except BrokerUnavailable as error:
            _doubt(layer, channel, error.in_doubt)
            return left[error.settled :], error
        except Exception as error:  # nobody else has them, whatever a client library raises
            return left, error
        pairs = pairs[size:]
    return [], None


def _doubt(layer: ChannelLayer, channel: str, count: int) -> None:
    if count:
        layer.dropped["broker_unanswered"] += count
        logger.error("%d messages for %s may be lost, since the broker did not answer", count, channel)


def _prepare(layer: ChannelLayer, due: DelayedSend) -> Send | None:
    try:
        with continuing(due.trace):
            send = layer.prepare(due.channel, decode_content(due.content))
    except ChannelCeleryError as error:  # such as a limit that is lower now: it would come back for ever
        layer.dropped["delayed_lost"] += 1
        logger.error("a delayed message for %s cannot be sent and is dropped: %s", due.channel, error)
        return None
    # it was sent when its channel had no outbox, and a worker's main process keeps away from the database
    return replace(send, outbox=False) if isinstance(send, ReliableSend) else send


def _wait_again(layer: ChannelLayer, sends: Sequence[DelayedSend]) -> None:
    try:
        if not sends or layer.delays.add(sends):
            return
        reason = "too many wait already"
    except LayerUnavailable as error:
        reason = str(error)
    layer.dropped["delayed_lost"] += len(sends)
    logger.error("%d delayed messages are lost: %s", len(sends), reason)
