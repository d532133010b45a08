"""Reading normal channels from one of Kombu's own transports: Redis, memory.

A record of deliveries would cost more than the messages. So one is taken only while there is room for it, and is this
worker's from then on.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kombu import Connection, Consumer, Message
from kombu.transport.virtual import Channel as VirtualChannel
from redis.exceptions import ResponseError, TimeoutError

from channelcelery.core.backlog import Delivery, Key
from channelcelery.core.batches import MAX_BATCH
from channelcelery.core.envelope import replace_items
from channelcelery.core.sealing import Seal
from channelcelery.worker.deliveries import Received, decode, drop, queue_of, queues_of, seals_of

__all__ = ["AT_ONCE", "VirtualSource"]

logger = logging.getLogger("django.channels.worker")

#: Broker messages of one queue that are taken at once, where nothing is acknowledged: those that carry little.
AT_ONCE = 32


class VirtualSource:
    """Reads from one of Kombu's own transports, only while there is room.

    Args:
        amqp_channel: a Kombu channel of the worker's connection, for this source alone.
        received: takes what was read.
        dropped: counts what could not be read, by reason.
        has_room: tells whether another message may be taken.
        share: how many items of one message should stay; more of them go back, where the transport can do that.
        eager: whether what comes is read at once, whatever consumers do.
    """

    def __init__(
        self,
        amqp_channel: VirtualChannel,
        received: Received,
        dropped: Callable[[str], None],
        has_room: Callable[[], bool],
        share: Callable[[Key], int],
        *,
        eager: bool = False,
    ) -> None:
        self._amqp_channel: Any = amqp_channel
        self._received = received
        self._dropped = dropped
        self._share = share
        self._put_first: Callable[[str, dict[str, Any]], None] | None = getattr(amqp_channel, "put_first", None)
        self._queues: Mapping[str, Key] = {}
        self._seals: Mapping[str, Seal] = {}
        # how many messages those of the broker carry, by queue: no fewer than lately
        self._carried: dict[str, float] = {}
        self._has_room = has_room
        # of our own transport
        amqp_channel.most = self._most  # type: ignore[attr-defined]
        amqp_channel.eager = eager  # type: ignore[attr-defined]
        # Kombu asks its QoS object before each pop; without acknowledgements that is the only brake there is
        amqp_channel.qos.can_consume = self._can_consume  # type: ignore[method-assign]
        handlers = getattr(amqp_channel, "handlers", {})
        if "BRPOP" in handlers:  # Redis, where a list may hold what Kombu did not write
            handlers["BRPOP"] = partial(self._read, handlers["BRPOP"])

    def consume(self, queues: Mapping[str, Key]) -> None:
        """Start, without acknowledgements."""
        self._queues = queues
        self._seals = seals_of(queues)
        Consumer(
            self._amqp_channel,
            queues=queues_of(queues),
            on_message=self._on_message,
            on_decode_error=self._on_decode_error,
            no_ack=True,
        ).consume()

    def _can_consume(self) -> bool:
        # what was asked for is out of its queue, or will be, and must not lie unread
        return bool(getattr(self._amqp_channel, "popping", None)) or self._has_room()

    def watch(self, connection: Connection, hub: Any) -> None:
        """Nothing to do: these transports hide nothing from the loop."""

    def _on_message(self, message: Message) -> None:
        read = decode(message, self._queues, self._seals, self._dropped)
        if read is None:
            return
        key, items = read
        queue = queue_of(message)
        self._carried[queue] = max(len(items), 0.9 * self._carried.get(queue, 0.0))
        share = self._share(key)
        if len(items) > share and self._gives_back(message, key, items[share:]):
            items = items[:share]
        self._received(key, items, Delivery(None, owned=True))

    def _most(self, queue: str) -> int:
        """Return how many of a queue's messages may be taken at once: what is given back must not be overtaken."""
        share = self._share(self._queues[queue])
        return max(1, min(AT_ONCE, int(share / self._carried.get(queue, MAX_BATCH)))) if share >= MAX_BATCH else 1

    def _gives_back(self, message: Any, key: Key, items: tuple[bytes, ...]) -> bool:
        """Put items of a message that was taken back in front of their queue; false if they are to stay."""
        if self._put_first is None or not isinstance(message.body, bytes):
            return False
        queue, seal = queue_of(message), self._seals[key[0]]
        message.body = seal.close(replace_items(seal.open(message.body, queue), items), queue)
        try:
            # while the message itself waits: the pool `solo` runs what is received at once
            self._put_first(queue, message.serializable())
        except ResponseError as error:  # such as OOM
            logger.warning("%d messages of %s stay here, since Redis takes nothing: %s", len(items), key[1], error)
            return False
        except TimeoutError as error:
            # Redis may have them: they count as lost rather than run twice
            for _ in items:
                self._dropped("broker_unanswered")
            logger.error("%d messages of %s may be lost, since Redis did not answer: %r", len(items), key[1], error)
        except self._amqp_channel.connection_errors as error:
            # it went away, as by a restart: what it still read from a connection that it closes is next to nothing
            logger.warning("%d messages of %s stay here, since Redis is away: %r", len(items), key[1], error)
            return False
        return True

    def _on_decode_error(self, message: Message, error: Exception) -> None:
        drop(message.delivery_info.get("routing_key"), error, self._dropped)

    def _read(self, read: Callable[..., bool], **options: Any) -> bool:
        """Read one entry as Kombu does; what it cannot make a message of would end the worker."""
        try:
            return read(**options)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._dropped("unreadable")
            logger.error("an entry of a queue's list in Redis cannot be read and is dropped: %r", error, exc_info=True)
            return True

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing to tell: a message that was taken is out of its queue."""

    def close(self) -> None:
        """Stop; a message that was on its way is still received."""
        self._amqp_channel.close()
