"""Running consumers in the pool: decode, route, call, collect what was sent, flush; total functions that count."""

import logging
import time
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum, auto
from inspect import iscoroutine
from typing import Any

from asgiref.sync import async_to_sync
from django.db import close_old_connections

from channelcelery.channel import CollectedSends, collect_sends
from channelcelery.consumers import consumer_name
from channelcelery.core.envelope import count_retry, decode_item
from channelcelery.core.outcome import Outcome
from channelcelery.core.sends import Send
from channelcelery.exceptions import (
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    InvalidEnvelope,
    InvalidName,
)
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.routing import get_router
from channelcelery.signals import Worker, consumer_finished, consumer_started
from channelcelery.worker import claims
from channelcelery.worker.flush import flush, put_back

__all__ = ["FLUSH_AFTER", "MAX_RETRIES", "Run", "run_job", "run_message"]

logger = logging.getLogger("django.channels.worker")

#: Seconds after which a job's replies leave although more of its messages are to run.
FLUSH_AFTER = 0.005
#: How often a message whose consumer raises ConsumeLater runs again after its first run (item 80).
MAX_RETRIES = 10


@dataclass(slots=True)
class Run:
    """What came of one message.

    Args:
        sends: (layer, send) pairs, for the caller to flush.
        later: the consumer wants it to run again; it then goes back to its channel.
    """

    sends: list[tuple[ChannelLayer, Send]] = field(default_factory=list)
    later: bool = False


def run_job(alias: str, channel: str, items: tuple[bytes, ...], claim: tuple[int, int]) -> Outcome | None:
    """Run the consumers of some messages of one channel; what they send leaves in as few flushes as possible.

    Args:
        alias: the layer's alias.
        channel: the channel that the messages came by.
        items: encoded items, in order.
        claim: the job's place and number (`worker.claims`).

    Returns:
        The counts, or None if the job had been taken back and nothing ran.
    """
    if not claims.begin(*claim):
        return None
    begun = flushed = time.monotonic()
    layer = channel_layers[alias]
    counts: Counter[str] = Counter()
    waiting: list[tuple[ChannelLayer, Send]] = []
    again: list[bytes] = []
    for item in items:
        run = _run_item(layer, channel, item, counts)
        waiting += run.sends
        if run.later:
            again.append(count_retry(item))
        if waiting and time.monotonic() - flushed > FLUSH_AFTER:
            counts.update(flush(waiting))
            waiting = []
            flushed = time.monotonic()
    counts.update(flush(waiting))
    counts.update(put_back(layer, channel, again))
    return Outcome(counts.pop("ran", 0), counts.pop("failed", 0), dict(counts), time.monotonic() - begun)


def _run_item(layer: ChannelLayer, channel: str, item: bytes, counts: Counter[str]) -> Run:
    try:
        decoded = decode_item(item)
        message = Message(decoded.content, channel, layer)
    except (InvalidEnvelope, InvalidName) as error:
        counts["unreadable"] += 1
        logger.error("a message on %s cannot be read and is dropped: %s", channel, error)
        return Run()
    if decoded.deadline < time.time() * 1000:
        counts["expired"] += 1
        return Run()
    return run_message(message, counts, decoded.retries)


def run_message(message: Message, counts: Counter[str], retries: int = 0) -> Run:
    """Route one message and run its consumer; whatever is raised is logged and goes no further (items 76 to 82).

    Args:
        message: the message.
        counts: "ran", "failed", "unrouted" and "retried_too_often" are counted up.
        retries: how often the message went back to its channel.

    Returns:
        What the consumer sent, also if it raised, and whether the message is to run again.
    """
    later = False
    with collect_sends() as collected:
        try:
            later = _consume(message, counts, retries, collected)
        except Exception:  # routing of the project's own, or a reply channel that no interface process made
            counts["failed"] += 1
            logger.exception("a message of %s could not be handled", message.channel.name)
    return Run(collected.sends, later)


def _consume(message: Message, counts: Counter[str], retries: int, collected: CollectedSends) -> bool:
    channel = message.channel.name
    found = get_router(message.channel_layer.alias).match(message)
    if found is None:
        counts["unrouted"] += 1
        logger.error("no route for a message on %s: check the routing; the message is dropped", channel)
        return False
    consumer, kwargs = found
    name = consumer_name(consumer)
    logger.debug("%s -> %s", channel, name)
    ended = _call(consumer, name, message, kwargs)
    counts["ran"] += 1
    if ended is _Ended.LATER:
        if retries < MAX_RETRIES:
            return True
        counts["retried_too_often"] += 1
        logger.warning("%s raised ConsumeLater %d times on a message of %s: dropped", name, retries + 1, channel)
    counts["failed"] += ended is _Ended.RAISED
    if channel == "websocket.connect":
        _answer(message, collected, accept=ended is _Ended.RETURNED)
    return False


class _Ended(Enum):
    """How a consumer ended."""

    RETURNED = auto()
    RAISED = auto()
    LATER = auto()


def _call(consumer: Callable[..., Any], name: str, message: Message, kwargs: dict[str, Any]) -> _Ended:
    """Call a consumer as a request would be handled."""
    consumer_started.send_robust(sender=Worker, environ={})
    close_old_connections()
    try:
        result = consumer(message, **kwargs)
        if iscoroutine(result):  # rather than asking the consumer, which may be async behind a plain decorator
            async_to_sync(_finish)(result)
    except ConsumeLater:
        return _Ended.LATER
    except DenyConnection:
        if message.channel.name == "websocket.connect":
            if message.reply_channel is not None:
                message.reply_channel.send({"close": True})
            return _Ended.RETURNED
        logger.exception("%s denied a connection on %s: only websocket.connect can", name, message.channel.name)
    except ChannelSocketException as error:
        return _run_exception(error, name, message)
    except (Exception, CancelledError, SystemExit):  # the last two must not end a process of the pool, either
        logger.exception("the consumer %s raised on a message of %s", name, message.channel.name)
    else:
        return _Ended.RETURNED
    finally:
        close_old_connections()
        consumer_finished.send_robust(sender=Worker)
    return _Ended.RAISED


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> None:
    await coroutine


def _run_exception(error: ChannelSocketException, name: str, message: Message) -> _Ended:
    try:
        error.run(message)
    except Exception:
        logger.exception("%s raised by %s could not act", type(error).__name__, name)
        return _Ended.RAISED
    return _Ended.RETURNED


def _answer(message: Message, collected: CollectedSends, accept: bool) -> None:
    """Answer a handshake whose consumer sent nothing (section 0, item 1): accept, or refuse at once if it raised."""
    reply = message.reply_channel
    if reply is None or reply.name in collected.answered:
        return
    if not accept:
        reply.send({"close": True})
    elif message.channel_layer.config.implicit_accept:
        reply.send({"accept": True})
