"""Calling the consumer of one message: decode, route, call; total functions that count."""

import logging
import time
from asyncio import CancelledError
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from inspect import iscoroutine
from typing import Any

from asgiref.sync import async_to_sync
from django.db import DatabaseError, InterfaceError, close_old_connections

from channelcelery.channel import CollectedSends, collect_sends
from channelcelery.consumers import consumer_name
from channelcelery.core.envelope import decode_item
from channelcelery.core.sends import ReliableSend, Send
from channelcelery.exceptions import (
    BrokerUnavailable,
    ChannelFull,
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    InvalidEnvelope,
    InvalidName,
    Reject,
    Retry,
)
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.routes import Consumer, Match
from channelcelery.routing import get_router
from channelcelery.signals import Worker, consumer_finished, consumer_started
from channelcelery.tracing import processing

__all__ = ["MAX_RETRIES", "Received", "Run", "read", "run_message", "run_received"]

logger = logging.getLogger("django.channels.worker")

#: How often a message whose consumer raises ConsumeLater runs again after its first run (item 80).
MAX_RETRIES = 10


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


@dataclass(slots=True)
class Run:
    """What came of one message.

    Args:
        sends: (layer, send) pairs, for the caller to flush.
        later: the consumer wants it to run again; it then goes back to its channel.
        error: what the consumer raised, if it did not return.
        consumer: its name, or "" where none ran.
        seconds: what the consumer took.
    """

    sends: list[tuple[ChannelLayer, Send]] = field(default_factory=list)
    later: bool = False
    error: BaseException | None = None
    consumer: str = ""
    seconds: float = 0.0


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
    if (found := _route(message, counts)) is None:
        return None
    expired = decoded.deadline < time.time() * 1000
    return Received(message, *found, item, decoded.retries, expired, copy=decoded.copy, trace=decoded.trace)


def _route(message: Message, counts: Counter[str]) -> Match | None:
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


def run_message(message: Message, counts: Counter[str], retries: int = 0) -> Run:
    """Route one message and run its consumer; see `run_received`."""
    found = _route(message, counts)
    return Run() if found is None else run_received(Received(message, *found, retries=retries), counts)


def run_received(received: Received, counts: Counter[str]) -> Run:
    """Run the consumer of one message; whatever is raised is logged and goes no further (items 76 to 82).

    Args:
        received: the message and its consumer.
        counts: "ran", "failed", "retried_too_often" and "sent_reliable" are counted up.

    Returns:
        What the consumer sent, also if it raised, and whether the message is to run again.
    """
    run, begun = Run(consumer=consumer_name(received.consumer)), time.perf_counter()
    channel = received.message.channel.name
    handshake = channel == "websocket.connect"
    with collect_sends(handshake) as collected, processing(channel, run.consumer, received.trace) as fail:
        try:
            run.later, run.error = _consume(received, run.consumer, counts, collected)
        except Exception as error:  # a reply channel that no interface process made
            counts["failed"] += 1
            logger.exception("a message of %s could not be handled", channel)
            run.error = error
        if run.error is not None:
            fail(run.error)
    run.sends = collected.sends
    run.seconds = time.perf_counter() - begun
    return run


def _consume(
    received: Received, name: str, counts: Counter[str], collected: CollectedSends
) -> tuple[bool, BaseException | None]:
    message, channel = received.message, received.message.channel.name
    logger.debug("%s -> %s", channel, name)
    ended, error = _call(received, name)
    counts["ran"] += 1
    if ended is _Ended.RETURNED and (error := _send_reliable(collected, received, name, counts)) is not None:
        ended = _Ended.RAISED
    if received.reliable:
        if error is not None:
            collected.sends.clear()
            counts["failed"] += 1
        return False, error
    if ended is _Ended.LATER:
        if received.retries < MAX_RETRIES:
            return True, None
        counts["retried_too_often"] += 1
        text = "%s raised ConsumeLater %d times on a message of %s: dropped"
        logger.warning(text, name, received.retries + 1, channel)
    counts["failed"] += ended is _Ended.RAISED
    if channel == "websocket.connect":
        _answer(message, collected, accept=ended is _Ended.RETURNED)
    return False, error


def _send_reliable(collected: CollectedSends, received: Received, name: str, counts: Counter[str]) -> Exception | None:
    """Send what goes to reliable channels before all else, and nothing at all if the broker does not keep it."""
    reliable = [(layer, send) for layer, send in collected.sends if isinstance(send, ReliableSend)]
    try:
        for layer, send in reliable:
            kept = send if received.outbox is None else replace(send, outbox=True, using=received.outbox)
            if full := layer.flush_sends([kept]):
                raise ChannelFull(full)
            collected.sends.remove((layer, send))
            counts["sent_reliable"] += 1
    except (BrokerUnavailable, ChannelFull, DatabaseError, InterfaceError) as error:
        logger.exception("what %s sent to reliable channels did not leave, so that it failed", name)
        collected.sends.clear()
        collected.answered.clear()
        return error
    return None


class _Ended(Enum):
    """How a consumer ended."""

    RETURNED = auto()
    RAISED = auto()
    LATER = auto()


def _call(received: Received, name: str) -> tuple[_Ended, BaseException | None]:
    """Call a consumer as a request would be handled."""
    message = received.message
    consumer_started.send_robust(sender=Worker, environ={})
    # not where one of them has a transaction, which the caller began: Django would take that for left over
    own = received.outbox is None
    if own and not received.followed:
        close_old_connections()
    try:
        result = received.consumer(message, **received.kwargs)
        if iscoroutine(result):  # rather than asking the consumer, which may be async behind a plain decorator
            async_to_sync(_finish)(result)
    except ConsumeLater as error:
        return _Ended.LATER, error
    except DenyConnection as error:
        if message.channel.name == "websocket.connect":
            if message.reply_channel is not None:
                message.reply_channel.send({"close": True})
            return _Ended.RETURNED, None
        logger.exception("%s denied a connection on %s: only websocket.connect can", name, message.channel.name)
        return _Ended.RAISED, error
    except ChannelSocketException as error:
        return _run_exception(error, name, message)
    except (Exception, CancelledError, SystemExit) as error:  # the last two must not end a process of the pool, either
        if not (received.reliable and isinstance(error, Retry | Reject)):
            logger.exception("the consumer %s raised on a message of %s", name, message.channel.name)
        return _Ended.RAISED, error
    else:
        return _Ended.RETURNED, None
    finally:
        if own:
            close_old_connections()
        consumer_finished.send_robust(sender=Worker)


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> None:
    await coroutine


def _run_exception(error: ChannelSocketException, name: str, message: Message) -> tuple[_Ended, BaseException | None]:
    try:
        error.run(message)
    except Exception as failure:
        logger.exception("%s raised by %s could not act", type(error).__name__, name)
        return _Ended.RAISED, failure
    return _Ended.RETURNED, None


def _answer(message: Message, collected: CollectedSends, accept: bool) -> None:
    """Answer a handshake whose consumer sent nothing (section 0, item 1): accept, or refuse at once if it raised."""
    reply = message.reply_channel
    if reply is None or reply.name in collected.answered:
        return
    if not accept:
        reply.send({"close": True})
    elif message.channel_layer.config.implicit_accept:
        reply.send({"accept": True})
