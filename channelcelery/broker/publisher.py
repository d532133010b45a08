"""Publishing to normal channels: raw Kombu messages, each a batch, on the default exchange."""

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from amqp.exceptions import ChannelError, NotFound
from kombu import Connection

from channelcelery.broker.connection import connect
from channelcelery.broker.link import Link
from channelcelery.conf import LayerConfig
from channelcelery.core.batches import cut
from channelcelery.core.capacity import Gauge
from channelcelery.core.envelope import decode_batch, encode_batch
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, ChannelFull, InvalidEnvelope
from channelcelery.layers.seals import seal_of

__all__ = ["CONTENT_TYPE", "KombuPublisher", "declare", "queue_name"]

logger = logging.getLogger("django.channels.publisher")

CONTENT_TYPE = "application/x-channelcelery"
_NOT_FOUND = "404"
#: Channels that one process remembers the state of; above it everything is learnt anew.
_REMEMBERED = 10_000


def queue_name(prefix: str, channel: str) -> str:
    """Return the name of a normal channel's queue."""
    return f"{prefix}{channel}"


def declare(amqp_channel: Any, queue: str) -> None:
    """Declare a normal channel's queue: durable, and without arguments, since these could never be changed later."""
    amqp_channel.queue_declare(queue=queue, durable=True, auto_delete=False, exclusive=False)


class KombuPublisher:
    """A `Publisher` on one connection per process, shared by its threads.

    Args:
        config: the layer's settings.
        connection: makes a connection; the project's broker by default.
    """

    def __init__(self, config: LayerConfig, connection: Callable[[], Connection] = connect) -> None:
        self._config = config
        self._seal = seal_of(config)
        self._link = Link(config.publish_timeout, connection, after_fork=self._forget)
        self._forget()

    def _forget(self) -> None:
        self._gauges: dict[str, Gauge] = {}
        self._rest: dict[str, deque[bytes]] = {}

    def publish(self, channel: str, items: Sequence[bytes]) -> None:
        """Hand messages to the broker; see `Publisher.publish`."""
        queue = queue_name(self._config.prefix, channel)
        with self._link.exclusively():
            gauge = self._gauge(channel)
            if gauge.wants_sample(now := time.monotonic()):
                gauge.sampled(self._link.persist(partial(self._depth, queue)), now)
            if gauge.full:
                raise ChannelFull([channel])
            self._send_all(channel, items, gauge)

    def put_back(self, channel: str, items: Sequence[bytes]) -> None:
        """Hand messages back that were taken and not run; capacity does not count, since they were in the queue."""
        with self._link.exclusively():
            self._send_all(channel, items)

    def take(self, channel: str) -> bytes | None:
        """Take the oldest message off a channel; see `Publisher.take`. What came with it waits here for the next."""
        queue = queue_name(self._config.prefix, channel)
        with self._link.exclusively():
            while not self._rest.get(channel):
                self._rest.pop(channel, None)
                if (body := self._link.persist(partial(self._get, queue))) is None:
                    return None
                try:
                    self._rest[channel] = deque(decode_batch(self._seal.open(body, queue)).items)
                except InvalidEnvelope as error:
                    logger.error("a message in the queue %.200a cannot be read and is dropped: %s", queue, error)
            return self._rest[channel].popleft()

    def depth(self, channel: str) -> int:
        """Return how many broker messages wait on a channel."""
        with self._link.exclusively():
            return int(self._link.persist(partial(self._depth, queue_name(self._config.prefix, channel))))

    def purge(self, channel: str) -> None:
        """Drop what waits on a channel."""
        with self._link.exclusively():
            self._rest.pop(channel, None)
            self._link.persist(partial(self._purge, queue_name(self._config.prefix, channel)))

    def close(self) -> None:
        """End the connection; the next publish opens a new one. What `take` left over goes back to its channel."""
        with self._link.exclusively():
            rest, self._rest = self._rest, {}
            for channel, items in rest.items():
                self._send_all(channel, items)
            self._link.release()

    def _send_all(self, channel: str, items: Iterable[bytes], gauge: Gauge | None = None) -> None:
        queue, taken = queue_name(self._config.prefix, channel), 0
        for batch in cut(tuple(items)):
            try:
                self._link.persist(partial(self._send, queue, encode_batch(channel, batch)))
            except BrokerUnavailable as error:
                error.taken, error.in_doubt = taken, len(batch) if isinstance(error, BrokerUnanswered) else 0
                raise
            taken += len(batch)
            if gauge is not None:
                gauge.published(len(batch), 1)

    def _send(self, queue: str, body: bytes) -> None:
        self._declared_on(queue)
        producer = self._link.producer()
        try:
            producer.publish(
                self._seal.close(body, queue),
                exchange="",  # the default exchange: on Redis any other costs a lookup for each message
                routing_key=queue,
                content_type=CONTENT_TYPE,
                content_encoding="binary",
                delivery_mode=1,
                expiration=self._config.expiry,
                message_id=secrets.token_hex(8),
            )
        except self._link.no_answer as error:
            raise BrokerUnanswered(error) from error

    def _depth(self, queue: str) -> int:
        try:
            found = self._declared_on(queue).queue_declare(queue=queue, passive=True)
        except NotFound:  # somebody deleted it, and AMQP closes the channel for the question
            self._link.disconnect()
            return 0
        except ChannelError as error:
            if str(error.reply_code) != _NOT_FOUND:  # on Redis an empty queue is no queue
                raise
            return 0
        return int(found.message_count)

    def _get(self, queue: str) -> bytes | None:
        message = self._declared_on(queue).basic_get(queue, no_ack=True)
        if message is None:
            return None
        return message.body if isinstance(message.body, bytes) else str(message.body).encode("latin-1", "replace")

    def _purge(self, queue: str) -> None:
        self._declared_on(queue).queue_purge(queue)

    def _gauge(self, channel: str) -> Gauge:
        if len(self._gauges) > _REMEMBERED:
            self._gauges.clear()
            self._link.declared.clear()
        if channel not in self._gauges:
            self._gauges[channel] = Gauge(self._config.capacity_of(channel))
        return self._gauges[channel]

    def _declared_on(self, queue: str) -> Any:
        amqp_channel = self._link.producer().channel
        if queue not in self._link.declared:
            declare(amqp_channel, queue)
            self._link.declared.add(queue)
        return amqp_channel
