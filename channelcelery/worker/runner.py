"""Running consumers in the pool: decode, route, call, collect what was sent, flush; total functions that count."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.db import close_old_connections

from channelcelery.channel import CollectedSends, collect_sends
from channelcelery.core.envelope import decode_item
from channelcelery.core.outcome import Outcome
from channelcelery.core.sends import Send
from channelcelery.exceptions import ChannelSocketException, DenyConnection, InvalidEnvelope, InvalidName
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.message import Message
from channelcelery.routing import get_router
from channelcelery.signals import consumer_finished, consumer_started
from channelcelery.worker import claims
from channelcelery.worker.flush import flush

__all__ = ["run_job", "run_message"]

logger = logging.getLogger("django.channels.worker")

#: Seconds after which a job's replies leave although more of its messages are to run.
FLUSH_AFTER = 0.005


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
    dropped: Counter[str] = Counter()
    waiting: list[tuple[ChannelLayer, Send]] = []
    for item in items:
        message = _read(layer, channel, item, dropped)
        if message is not None:
            collected = run_message(message, counts)
            waiting += collected.sends
        if waiting and time.monotonic() - flushed > FLUSH_AFTER:
            dropped.update(flush(waiting))
            waiting = []
            flushed = time.monotonic()
    if waiting:
        dropped.update(flush(waiting))
    return Outcome(counts["ran"], counts["failed"], dict(dropped), time.monotonic() - begun)


def _read(layer: ChannelLayer, channel: str, item: bytes, dropped: Counter[str]) -> Message | None:
    try:
        decoded = decode_item(item)
        message = Message(decoded.content, channel, layer)
    except (InvalidEnvelope, InvalidName) as error:
        dropped["unreadable"] += 1
        logger.error("a message on %s cannot be read and is dropped: %s", channel, error)
        return None
    if decoded.deadline < time.time() * 1000:
        dropped["expired"] += 1
        return None
    return message


def run_message(message: Message, counts: Counter[str]) -> CollectedSends:
    """Route one message and run its consumer; whatever it raises is logged and goes no further (items 76 to 82).

    Args:
        message: the message.
        counts: "ran", "failed" and "unrouted" are counted up.

    Returns:
        What the consumer sent, to be flushed by the caller, also if it raised.
    """
    channel = message.channel.name
    found = get_router(message.channel_layer.alias).match(message)
    with collect_sends() as collected:
        if found is None:
            counts["unrouted"] += 1
            logger.error("no route for a message on %s: check the routing; the message is dropped", channel)
            return collected
        consumer, kwargs = found
        logger.debug("%s -> %s", channel, _name(consumer))
        raised = _call(consumer, message, kwargs)
        counts["ran"] += 1
        counts["failed"] += raised
        if channel == "websocket.connect":
            _answer(message, collected, raised)
    return collected


def _call(consumer: Callable[..., Any], message: Message, kwargs: dict[str, Any]) -> bool:
    """Call a consumer as a request would be handled; true if it failed."""
    channel = message.channel.name
    consumer_started.send(sender=run_job, environ={})
    close_old_connections()
    try:
        if iscoroutinefunction(consumer):
            async_to_sync(consumer)(message, **kwargs)
        else:
            consumer(message, **kwargs)
    except DenyConnection:
        if channel == "websocket.connect":
            message.reply_channel.send({"close": True})  # type: ignore[union-attr]
            return False
        logger.exception("%s denied a connection on %s: only websocket.connect can", _name(consumer), channel)
    except ChannelSocketException as error:
        return _run_exception(error, consumer, message)
    except Exception:
        logger.exception("the consumer %s raised on a message of %s", _name(consumer), channel)
    else:
        return False
    finally:
        close_old_connections()
        consumer_finished.send(sender=run_job)
    return True


def _run_exception(error: ChannelSocketException, consumer: Callable[..., Any], message: Message) -> bool:
    try:
        error.run(message)
    except Exception:
        logger.exception("%s raised by %s could not act", type(error).__name__, _name(consumer))
        return True
    return False


def _answer(message: Message, collected: CollectedSends, raised: bool) -> None:
    """Answer a handshake whose consumer sent nothing (section 0, item 1): accept, or refuse at once if it raised."""
    reply = message.reply_channel
    if reply is None or reply.name in collected.answered:
        return
    if raised:
        reply.send({"close": True})
    elif message.channel_layer.config.implicit_accept:
        reply.send({"accept": True})


def _name(consumer: Callable[..., Any]) -> str:
    return f"{getattr(consumer, '__module__', '?')}.{getattr(consumer, '__qualname__', type(consumer).__name__)}"
