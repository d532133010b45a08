"""Reading one message: decode it, and find the consumer that it is for."""

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from channelcelery.core.envelope import decode_item
from channelcelery.exceptions import InvalidEnvelope, InvalidName
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.routes import Consumer, Match
from channelcelery.routing import get_router

__all__ = ["Received", "read", "route_of"]

logger = logging.getLogger("django.channels.worker")


@dataclass(slots=True)
class Received:
    """One message, and the consumer that it is for.

    Args:
        message: the message.
        consumer: what its route leads to.
        kwargs: the named groups of the route.
        item: the message as it came, encoded.
        retries: how often it went back to its channel.
        expired: its deadline is over, so that it may not run.
        followed: another one ran in this thread right before it, after which old database connections were closed.
        copy: it was parked, and may have had its turn meanwhile.
        reliable: its channel is, so that its end is the caller's to handle, and nothing leaves unless it returned.
        outbox: the database in whose transaction it runs, so that what it sends to reliable channels goes to the outbox
            there; None has it sent to the broker.
        trace: what it carried along for `tracing`.
    """

    message: Message
    consumer: Consumer
    kwargs: dict[str, Any]
    item: bytes = b""
    retries: int = 0
    expired: bool = False
    followed: bool = False
    copy: bool = False
    reliable: bool = False
    outbox: str | None = None
    trace: str = ""


def read(layer: ChannelLayer, channel: str, item: bytes, counts: Counter[str]) -> Received | None:
    """Decode a message and find its consumer.

    Args:
        layer: the layer that it came by.
        channel: the channel that it came by.
        item: the message, encoded.
        counts: "unreadable", "unrouted" and "failed" are counted up.

    Returns:
        None if there is nothing to run, which is logged.
    """
    try:
        decoded = decode_item(item)
        message = Message(decoded.content, channel, layer)
    except (InvalidEnvelope, InvalidName) as error:
        counts["unreadable"] += 1
        logger.error("a message on %s cannot be read and is dropped: %s", channel, error)
        return None
    if (found := route_of(message, counts)) is None:
        return None
    expired = decoded.deadline < time.time() * 1000
    return Received(message, *found, item, decoded.retries, expired, copy=decoded.copy, trace=decoded.trace)


def route_of(message: Message, counts: Counter[str]) -> Match | None:
    """Return the consumer of a message and its arguments, or None, which is logged and counted as `read` does."""
    try:
        found = get_router(message.channel_layer.alias).match(message)
    except Exception:  # routes of the project's own
        counts["failed"] += 1
        logger.exception("a message of %s could not be handled", message.channel.name)
        return None
    if found is None:
        counts["unrouted"] += 1
        logger.error("no route for a message on %s: check the routing; the message is dropped", message.channel.name)
    return found
