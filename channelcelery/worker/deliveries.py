"""What a worker reads from a queue, whatever the broker: a message, which carries items of one channel."""

import logging
from collections.abc import Callable, Iterable, Mapping

from kombu import Message, Queue

from channelcelery.core.backlog import Delivery, Key
from channelcelery.core.envelope import decode_batch
from channelcelery.core.sealing import Seal
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers import channel_layers
from channelcelery.layers.seals import seal_of

__all__ = ["Received", "decode", "drop", "queue_of", "queues_of", "seals_of"]

logger = logging.getLogger("django.channels.worker")

#: Takes a channel's messages: (alias, channel), items, delivery.
Received = Callable[[Key, tuple[bytes, ...], Delivery], None]


def queues_of(names: Iterable[str]) -> list[Queue]:
    """Return queues by their names, as all processes declare them."""
    return [Queue(name, durable=True, routing_key=name) for name in names]


def seals_of(queues: Mapping[str, Key]) -> dict[str, Seal]:
    """Return alias -> what opens its messages."""
    return {alias: seal_of(channel_layers.config(alias)) for alias, _ in queues.values()}


def queue_of(message: Message) -> str:
    """Return the queue that a message came by, since all come by the default exchange."""
    return str(message.delivery_info.get("routing_key"))


def decode(
    message: Message, queues: Mapping[str, Key], seals: Mapping[str, Seal], dropped: Callable[[str], None]
) -> tuple[Key, tuple[bytes, ...]] | None:
    """Return whose items a message has, and these; or None if it cannot be read, which is logged.

    Args:
        message: what came.
        queues: queue names -> (alias, channel).
        seals: alias -> what opens its messages.
        dropped: counts it.
    """
    queue, body = queue_of(message), message.body
    try:
        if (key := queues.get(queue)) is None:
            raise InvalidEnvelope("it came by an exchange, and we use none")
        sealed = body if isinstance(body, bytes) else str(body).encode("latin-1")
        batch = decode_batch(seals[key[0]].open(sealed, queue))
        if batch.channel != key[1]:
            raise InvalidEnvelope(f"it was written for {batch.channel!r:.120}")
    except (InvalidEnvelope, UnicodeEncodeError) as error:
        drop(queue, error, dropped)
        return None
    return key, batch.items


def drop(queue: object, error: Exception, dropped: Callable[[str], None]) -> None:
    """Count and log a message that cannot be read."""
    dropped("unreadable")
    logger.error("a message in the queue %.200a cannot be read and is dropped: %.200s", queue, error)
