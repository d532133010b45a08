"""Reading normal channels from the broker, in the two ways that brokers allow.

RabbitMQ keeps a record of what it delivered: a bounded number of messages is under way and each is acknowledged when
it goes to the pool. Kombu's own transports (Redis, memory) would spend more on such a record than on the message:
there a message is taken only while there is room for it, and is this worker's from then on.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from amqp.exceptions import AMQPError
from kombu import Connection, Consumer, Message, Queue
from kombu.transport.virtual import Channel as VirtualChannel
from redis.exceptions import ResponseError

from channelcelery.core.acks import AckWindow
from channelcelery.core.backlog import Delivery, Key
from channelcelery.core.batches import MAX_BATCH
from channelcelery.core.envelope import decode_batch, replace_items
from channelcelery.core.sealing import Seal
from channelcelery.exceptions import InvalidEnvelope
from channelcelery.layers import channel_layers
from channelcelery.layers.seals import seal_of

__all__ = ["AT_ONCE", "AmqpSource", "Received", "Source", "VirtualSource", "make_source"]

logger = logging.getLogger("django.channels.worker")

#: Takes a channel's messages: (alias, channel), items, delivery.
Received = Callable[[Key, tuple[bytes, ...], Delivery], None]

#: Unacknowledged broker messages of all queues together; each may carry a batch.
BUDGET = 64
#: Ids of messages that were acknowledged lately, to recognise one whose acknowledgement was lost with the connection.
REMEMBERED = 4_096
#: Broker messages of one queue that are taken at once, where nothing is acknowledged.
AT_ONCE = 8


class Source(Protocol):
    """Where a worker's messages come from."""

    def consume(self, queues: Mapping[str, Key]) -> None:
        """Start: queue names -> (alias, channel)."""

    def watch(self, connection: Connection, hub: Any) -> None:
        """Make an event loop read what has come already."""

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that messages are this worker's now."""

    def close(self) -> None:
        """Stop; what the broker keeps a record of and was not acknowledged goes back to its queue."""


def _queues(names: Mapping[str, Key]) -> list[Queue]:
    return [Queue(name, durable=True, routing_key=name) for name in names]


def _seals(queues: Mapping[str, Key]) -> dict[str, Seal]:
    """Return alias -> what opens its messages."""
    return {alias: seal_of(channel_layers.config(alias)) for alias, _ in queues.values()}


def _queue_of(message: Message) -> str:
    """Return the queue that a message came by, since all come by the default exchange."""
    return str(message.delivery_info.get("routing_key"))


def _decode(
    message: Message, queues: Mapping[str, Key], seals: Mapping[str, Seal], dropped: Callable[[str], None]
) -> tuple[Key, tuple[bytes, ...]] | None:
    queue, body = _queue_of(message), message.body
    try:
        if (key := queues.get(queue)) is None:
            raise InvalidEnvelope("it came by an exchange, and we use none")
        sealed = body if isinstance(body, bytes) else str(body).encode("latin-1")
        batch = decode_batch(seals[key[0]].open(sealed, queue))
        if batch.channel != key[1]:
            raise InvalidEnvelope(f"it was written for {batch.channel!r:.120}")
    except (InvalidEnvelope, UnicodeEncodeError) as error:
        _drop(queue, error, dropped)
        return None
    return key, batch.items


def _drop(queue: object, error: Exception, dropped: Callable[[str], None]) -> None:
    dropped("unreadable")
    logger.error("a message in the queue %.200a cannot be read and is dropped: %.200s", queue, error)


class AmqpSource:
    """Reads from a broker that keeps a record of deliveries.

    Args:
        amqp_channel: a Kombu channel of the worker's connection, for this source alone.
        received: takes what was read.
        dropped: counts what could not be read, by reason.
        seen: ids of messages that were acknowledged; shared by the sources of one worker's successive connections.
    """

    def __init__(
        self, amqp_channel: Any, received: Received, dropped: Callable[[str], None], seen: OrderedDict[str, None]
    ) -> None:
        self._amqp_channel = amqp_channel
        self._received = received
        self._dropped = dropped
        self._seen = seen
        self._window = AckWindow()
        self._queues: Mapping[str, Key] = {}
        self._seals: Mapping[str, Seal] = {}
        self._consumer: Consumer | None = None

    def consume(self, queues: Mapping[str, Key]) -> None:
        """Start, with a share of the budget for each queue, since the broker counts per consumer."""
        self._queues = queues
        self._seals = _seals(queues)
        self._consumer = Consumer(
            self._amqp_channel,
            queues=_queues(queues),
            on_message=self._on_message,
            on_decode_error=self._on_decode_error,
            prefetch_count=max(1, BUDGET // max(1, len(queues))),
            auto_declare=True,
        )
        self._consumer.consume()

    def watch(self, connection: Connection, hub: Any) -> None:
        """Read once more: deliveries that came with the answers to `consume` lie in the client's buffer, unseen."""
        hub.call_soon(connection.transport.on_readable, connection.connection, hub)

    def _on_message(self, message: Message) -> None:
        tag = int(message.delivery_tag or 0)
        delivery = Delivery(tag, str(message.properties.get("message_id") or ""))
        self._window.delivered(tag)
        read = _decode(message, self._queues, self._seals, self._dropped)
        known = message.delivery_info.get("redelivered") and delivery.message_id in self._seen
        if read is None or known:
            self.acknowledge([delivery])
            return
        self._received(*read, delivery)

    def _on_decode_error(self, message: Message, error: Exception) -> None:
        _drop(message.delivery_info.get("routing_key"), error, self._dropped)
        tag = int(message.delivery_tag or 0)
        self._window.delivered(tag)
        self.acknowledge([Delivery(tag)])

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send as few acknowledgements as settle these deliveries."""
        for delivery in deliveries:
            if delivery.message_id:
                self._seen[delivery.message_id] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        try:
            for tag, multiple in self._window.accepted([d.tag for d in deliveries if d.tag is not None]):
                self._amqp_channel.basic_ack(tag, multiple=multiple)
        except (AMQPError, OSError) as error:
            # the connection is gone, as the event loop is about to notice: the ids tell what comes again
            logger.debug("%d deliveries could not be acknowledged: %s", len(deliveries), error)

    def close(self) -> None:
        """Stop; RabbitMQ puts what was not acknowledged back in its old place."""
        self._amqp_channel.close()


class VirtualSource:
    """Reads from one of Kombu's own transports, only while there is room.

    Args:
        amqp_channel: a Kombu channel of the worker's connection, for this source alone.
        received: takes what was read.
        dropped: counts what could not be read, by reason.
        has_room: tells whether another message may be taken.
        share: how many items of one message should stay; more of them go back, where the transport can do that.
    """

    def __init__(
        self,
        amqp_channel: VirtualChannel,
        received: Received,
        dropped: Callable[[str], None],
        has_room: Callable[[], bool],
        share: Callable[[Key], int],
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
        amqp_channel.most = self._most  # type: ignore[attr-defined]  # of our own transport
        # Kombu asks its QoS object before each pop; without acknowledgements that is the only brake there is
        amqp_channel.qos.can_consume = has_room  # type: ignore[method-assign]
        handlers = getattr(amqp_channel, "handlers", {})
        if "BRPOP" in handlers:  # Redis, where a list may hold what Kombu did not write
            handlers["BRPOP"] = partial(self._read, handlers["BRPOP"])

    def consume(self, queues: Mapping[str, Key]) -> None:
        """Start, without acknowledgements."""
        self._queues = queues
        self._seals = _seals(queues)
        Consumer(
            self._amqp_channel,
            queues=_queues(queues),
            on_message=self._on_message,
            on_decode_error=self._on_decode_error,
            no_ack=True,
        ).consume()

    def watch(self, connection: Connection, hub: Any) -> None:
        """Nothing to do: these transports hide nothing from the loop."""

    def _on_message(self, message: Message) -> None:
        read = _decode(message, self._queues, self._seals, self._dropped)
        if read is None:
            return
        key, items = read
        queue = _queue_of(message)
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
        queue, seal = _queue_of(message), self._seals[key[0]]
        message.body = seal.close(replace_items(seal.open(message.body, queue), items), queue)
        try:
            # while the message itself waits: the pool `solo` runs what is received at once
            self._put_first(queue, message.serializable())
        except ResponseError as error:  # such as OOM
            logger.warning("%d messages of %s stay here, since Redis takes nothing: %s", len(items), key[1], error)
            return False
        except self._amqp_channel.connection_errors as error:
            # Redis may have them: they count as lost rather than run twice
            for _ in items:
                self._dropped("broker_unanswered")
            logger.error("%d messages of %s may be lost, since Redis did not answer: %r", len(items), key[1], error)
        return True

    def _on_decode_error(self, message: Message, error: Exception) -> None:
        _drop(message.delivery_info.get("routing_key"), error, self._dropped)

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


def make_source(
    amqp_channel: Any,
    received: Received,
    dropped: Callable[[str], None],
    has_room: Callable[[], bool],
    share: Callable[[Key], int],
    seen: OrderedDict[str, None],
) -> Source:
    """Return the source that fits the transport."""
    if isinstance(amqp_channel, VirtualChannel):
        return VirtualSource(amqp_channel, received, dropped, has_room, share)
    return AmqpSource(amqp_channel, received, dropped, seen)
