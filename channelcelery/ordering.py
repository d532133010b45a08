"""`enforce_ordering`: the messages of a connection are handled one after another (Channels 1.x, items 155 to 172).

The decorator itself only says what a consumer wants, and looks whether its message can be ordered. Who keeps the order
is the worker, before it calls the consumer and after it has sent what the consumer sent; see `worker.ordered`.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from channelcelery.around import around
from channelcelery.core.bursts import Bursts
from channelcelery.core.ordering import LAST, LAST_CHANNEL, read_order
from channelcelery.message import Message
from channelcelery.sessions import with_channel_session

__all__ = ["Ordering", "enforce_ordering", "message_order", "ordering_of", "with_order"]

logger = logging.getLogger("django.channels.worker")

_ATTRIBUTE = "channelcelery_ordering"
_bursts = Bursts()


class Ordering(Enum):
    """What order a consumer wants the messages of a connection in."""

    STRICT = "strict"  #: one after another, by number
    SLIGHT = "slight"  #: number 0 before all others (item 172)


def enforce_ordering(func: Callable[..., Any] | None = None, slight: bool = False) -> Callable[..., Any]:
    """Decorator: the messages of a connection are handled one after another, by their `order` (item 155).

    Every consumer of the connection needs it, as the first decorator of all (item 163). It implies `channel_session`.

    Args:
        func: the consumer, if the decorator is used bare.
        slight: only `websocket.connect` is handled before all others, which then run in any order (item 172).

    Raises:
        ValueError: when called: the message has no `order`, and is no `websocket.disconnect` (item 156).
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        ordered = around("enforce_ordering", with_order)(function)
        setattr(ordered, _ATTRIBUTE, Ordering.SLIGHT if slight else Ordering.STRICT)
        return ordered

    return decorate if func is None else decorate(func)


@contextmanager
def with_order(message: Message) -> Iterator[None]:
    """Make sure that a message can be ordered, and give it its `channel_session`; see `enforce_ordering`."""
    message_order(message)
    if message.ordered is False and (silent := _bursts.hit("hidden", time.monotonic())) is not None:
        text = (
            "enforce_ordering of a consumer of %s has no effect: no worker sees it. Use functools.wraps in the "
            "decorators above it, and strict_ordering or slight_ordering in classes (%d times before, unlogged)"
        )
        logger.warning(text, message.channel.name, silent)
    with with_channel_session(message):
        yield


def message_order(message: Message) -> int:
    """Return the number of a message, `LAST` for the disconnect of a socket whose interface process died.

    Raises:
        ValueError: it has none, or none that counts (items 156 and 168).
    """
    if (order := message.get("order")) is not None:
        return read_order(order)
    if message.channel.name == LAST_CHANNEL:
        return LAST
    raise ValueError(
        f"No `order` value in a message of {message.channel.name}: enforce_ordering is for the messages of sockets"
    )


def ordering_of(consumer: Any, channel: str) -> Ordering | None:
    """Return what order a consumer wants, or None.

    Args:
        consumer: a function, perhaps decorated by more than `enforce_ordering`; a class of `channelcelery.generic`,
            which says it by a flag, by the decorator on the method for the channel (items 164 and 187), or by one of
            its streams, whose messages cannot be told apart yet; or the `consumer` of a binding (item 202).
        channel: the channel of the message.
    """
    owner = getattr(consumer, "__self__", None)
    if isinstance(owner, type):
        return _flag(owner)
    if isinstance(consumer, type):
        streams = {ordering_of(each, channel) for each in getattr(consumer, "consumers", {}).values()}
        for ordering in Ordering:
            if ordering in streams | {_flag(consumer)}:
                return ordering
        consumer = getattr(consumer, getattr(consumer, "method_mapping", {}).get(channel, ""), None)
    found = getattr(consumer, _ATTRIBUTE, None)
    return found if isinstance(found, Ordering) else None


def _flag(owner: type) -> Ordering | None:
    if getattr(owner, "strict_ordering", False):
        return Ordering.STRICT
    return Ordering.SLIGHT if getattr(owner, "slight_ordering", False) else None
