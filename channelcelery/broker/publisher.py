"""Publishing to normal channels: raw Kombu messages, each a batch, on the default exchange."""

import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from amqp.exceptions import ChannelError, NotFound
from kombu import Connection, Exchange, Producer
from kombu.exceptions import OperationalError
from kombu.utils.functional import retry_over_time

from channelcelery.broker.connection import connect
from channelcelery.conf import LayerConfig
from channelcelery.core.batches import cut
from channelcelery.core.capacity import Gauge
from channelcelery.core.envelope import decode_batch, encode_batch
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, ChannelFull, InvalidEnvelope

__all__ = ["CONTENT_TYPE", "KombuPublisher", "declare", "queue_name"]

logger = logging.getLogger("django.channels.publisher")

CONTENT_TYPE = "application/x-channelcelery"
_NOT_FOUND = "404"
_DEFAULT_EXCHANGE = Exchange("")
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
        self._connect = connection
        self._forget()

    def _forget(self) -> None:
        # after a fork nothing of the parent's may be used, the lock included: another thread may have held it
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._declared: set[str] = set()
        self._gauges: dict[str, Gauge] = {}
        self._rest: dict[str, deque[bytes]] = {}
        self._recoverable: tuple[type[BaseException], ...] = (OperationalError, OSError)
        self._errors: tuple[type[BaseException], ...] = self._recoverable
        self._no_answer: tuple[type[BaseException], ...] = ()
        self._until = 0.0

    def publish(self, channel: str, items: Sequence[bytes]) -> None:
        """Hand messages to the broker; see `Publisher.publish`."""
        queue = queue_name(self._config.prefix, channel)
        with self._exclusively():
            gauge = self._gauge(channel)
            if gauge.wants_sample(now := time.monotonic()):
                gauge.sampled(self._persist(partial(self._depth, queue)), now)
            if gauge.full:
                raise ChannelFull([channel])
            for batch in cut(items):
                self._persist(partial(self._send, queue, encode_batch(channel, batch)))
                gauge.published(len(batch), 1)

    def put_back(self, channel: str, items: Sequence[bytes]) -> None:
        """Hand messages back that were taken and not run; capacity does not count, since they were in the queue."""
        with self._exclusively():
            self._send_all(channel, items)

    def take(self, channel: str) -> bytes | None:
        """Take the oldest message off a channel; see `Publisher.take`. What came with it waits here for the next."""
        queue = queue_name(self._config.prefix, channel)
        with self._exclusively():
            while not self._rest.get(channel):
                self._rest.pop(channel, None)
                if (body := self._persist(partial(self._get, queue))) is None:
                    return None
                try:
                    self._rest[channel] = deque(decode_batch(body).items)
                except InvalidEnvelope as error:
                    logger.error("a message in the queue %.200a cannot be read and is dropped: %s", queue, error)
            return self._rest[channel].popleft()

    def depth(self, channel: str) -> int:
        """Return how many broker messages wait on a channel."""
        with self._exclusively():
            return int(self._persist(partial(self._depth, queue_name(self._config.prefix, channel))))

    def purge(self, channel: str) -> None:
        """Drop what waits on a channel."""
        with self._exclusively():
            self._rest.pop(channel, None)
            self._persist(partial(self._purge, queue_name(self._config.prefix, channel)))

    def close(self) -> None:
        """End the connection; the next publish opens a new one. What `take` left over goes back to its channel."""
        with self._exclusively():
            rest, self._rest = self._rest, {}
            for channel, items in rest.items():
                self._send_all(channel, items)
            producer, self._producer = self._producer, None
            self._declared.clear()
            if producer is not None and producer.connection is not None:
                # with the broker's consent: a socket that is merely closed can take what was just written with it
                producer.connection.release()

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        if self._pid != os.getpid():
            self._forget()
        until = time.monotonic() + self._config.publish_timeout
        if not self._lock.acquire(timeout=self._config.publish_timeout):
            raise BrokerUnavailable("another thread has been waiting for it for too long")
        self._until = until
        try:
            yield
        finally:
            self._lock.release()

    def _persist(self, call: Callable[[], Any]) -> Any:
        """Call something on the connection, on a new one where it broke, until the time limit."""
        try:
            return retry_over_time(
                call,
                self._recoverable,
                errback=self._on_error,  # type: ignore[arg-type]  # the stubs know an older signature
                interval_start=0,
                interval_step=0.05,
                interval_max=0.5,
                timeout=max(0.001, self._until - time.monotonic()),  # 0 would mean for ever
            )
        except BrokerUnanswered:
            self._disconnect()
            raise
        except self._errors as error:
            self._disconnect()
            raise BrokerUnavailable(error) from error

    def _on_error(self, error: BaseException, intervals: Any, tries: int) -> float:
        self._disconnect()
        logger.debug("the broker did not answer, try %d: %s", tries, error)
        return float(next(intervals))

    def _send_all(self, channel: str, items: Iterable[bytes]) -> None:
        for batch in cut(tuple(items)):
            self._persist(partial(self._send, queue_name(self._config.prefix, channel), encode_batch(channel, batch)))

    def _send(self, queue: str, body: bytes) -> None:
        self._declared_on(queue)
        producer = self._connected()
        try:
            producer.publish(
                body,
                exchange="",  # the default exchange: on Redis any other costs a lookup for each message
                routing_key=queue,
                content_type=CONTENT_TYPE,
                content_encoding="binary",
                delivery_mode=1,
                expiration=self._config.expiry,
                message_id=secrets.token_hex(8),
            )
        except self._no_answer as error:
            raise BrokerUnanswered(error) from error

    def _depth(self, queue: str) -> int:
        try:
            found = self._declared_on(queue).queue_declare(queue=queue, passive=True)
        except NotFound:  # somebody deleted it, and AMQP closes the channel for the question
            self._disconnect()
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
            self._declared.clear()
        if channel not in self._gauges:
            self._gauges[channel] = Gauge(self._config.capacity_of(channel))
        return self._gauges[channel]

    def _declared_on(self, queue: str) -> Any:
        amqp_channel = self._connected().channel
        if queue not in self._declared:
            declare(amqp_channel, queue)
            self._declared.add(queue)
        return amqp_channel

    def _connected(self) -> Producer:
        if self._producer is None:
            connection = self._connect()
            self._recoverable = (
                *connection.recoverable_connection_errors,
                *connection.recoverable_channel_errors,
                OperationalError,
                OSError,
            )
            self._errors = (*self._recoverable, *connection.connection_errors, *connection.channel_errors)
            self._no_answer = _no_answer_of(connection)
            self._establish(connection)
            self._producer = Producer(connection.channel(), exchange=_DEFAULT_EXCHANGE, auto_declare=False)
        return self._producer

    def _establish(self, connection: Connection) -> None:
        """Connect, so that nothing on the connection waits for longer than a sender may."""
        limit = self._config.publish_timeout
        connection.connect_timeout = limit
        limits = {"socket_timeout": limit, "socket_connect_timeout": limit}  # Redis
        connection.transport_options = {**(connection.transport_options or {}), **limits}
        # each host once: Kombu would wait for seconds between tries, and `_persist` tries again by itself
        connection.ensure_connection(
            max_retries=max(0, len(connection.alt) - 1), interval_start=0, interval_step=0, interval_max=0
        )
        # AMQP; its option `read_timeout` is overridden wherever an answer is awaited
        sock = getattr(connection.connection, "sock", None)
        if sock is not None:
            sock.settimeout(limit)

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        self._declared.clear()
        if producer is not None and producer.connection is not None:
            producer.connection.collect()


def _no_answer_of(connection: Connection) -> tuple[type[BaseException], ...]:
    """Return the errors that leave open whether a message was taken.

    AMQP has none: nobody answers a message, and one that could not be written to its end does not exist for the broker.
    """
    if connection.transport.driver_type != "redis":
        return ()
    from redis.exceptions import TimeoutError as RedisTimeout

    return (RedisTimeout,)
