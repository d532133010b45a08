"""Calling the consumer of one message; total functions that count."""

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
from channelcelery.core.sends import ReliableSend, Send
from channelcelery.exceptions import (
    BrokerUnavailable,
    ChannelFull,
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    Reject,
    Retry,
)
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.signals import Worker, consumer_finished, consumer_started
from channelcelery.tracing import processing
from channelcelery.worker.reading import Received, route_of

__all__ = ["MAX_RETRIES", "Run", "run_message", "run_received"]

logger = logging.getLogger("django.channels.worker")

#: How often a message whose consumer raises ConsumeLater runs again after its first run (item 80).
MAX_RETRIES = 10


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


def run_message(message: Message, counts: Counter[str], retries: int = 0) -> Run:
    """Route one message and run its consumer; see `run_received`."""
    found = route_of(message, counts)
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
