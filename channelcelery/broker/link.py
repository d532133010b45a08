"""One process's connection to the broker: shared by its threads, and never waited for beyond a time limit."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Exchange, Producer
from kombu.exceptions import OperationalError
from kombu.utils.functional import retry_over_time

from channelcelery.broker.connection import connect
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable

__all__ = ["Link"]

logger = logging.getLogger("django.channels.publisher")

_DEFAULT_EXCHANGE = Exchange("")


class Link:
    """A connection that is made when first used, anew after a failure and anew after a fork.

    Args:
        timeout: seconds that one use of it may take, in all.
        connection: makes a connection; the project's broker by default.
        options: transport options beside the project's.
        after_fork: called in a new process, whose owner must not use what it knows from the parent.
    """

    def __init__(
        self,
        timeout: float,
        connection: Callable[[], Connection] = connect,
        *,
        options: Mapping[str, Any] | None = None,
        after_fork: Callable[[], None] = lambda: None,
    ) -> None:
        self._timeout = timeout
        self._connect = connection
        self._options = dict(options or {})
        self._after_fork = after_fork
        self._forget()
        self._pid = os.getpid()

    def _forget(self) -> None:
        # after a fork nothing of the parent's may be used, the lock included: another thread may have held it
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        #: names of what was declared on the present connection
        self.declared: set[str] = set()
        #: what leaves open whether a message was taken
        self.no_answer: tuple[type[BaseException], ...] = ()
        self._recoverable: tuple[type[BaseException], ...] = (OperationalError, OSError)
        self._errors: tuple[type[BaseException], ...] = self._recoverable
        self._until = 0.0

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Use the connection; what the block does has the time limit, waiting for other threads included.

        Raises:
            BrokerUnavailable: another thread held it for that long.
        """
        if self._pid != os.getpid():
            self._forget()
            self._after_fork()
            self._pid = os.getpid()  # last: other threads look at it meanwhile
        until, lock = time.monotonic() + self._timeout, self._lock
        if not lock.acquire(timeout=self._timeout):
            raise BrokerUnavailable("another thread has been waiting for it for too long")
        self._until = until
        try:
            yield
        finally:
            lock.release()

    def persist(self, call: Callable[[], Any]) -> Any:
        """Call something on the connection, on a new one where it broke, until the time limit.

        Raises:
            BrokerUnavailable: it did not succeed in time.
            BrokerUnanswered: as raised by the call, which is then not repeated.
        """
        try:
            return retry_over_time(
                call,
                self._recoverable,
                errback=self._on_error,  # type: ignore[arg-type]  # the stubs know an older signature
                interval_start=0,
                interval_step=0.05,
                interval_max=0.5,
                timeout=max(0.001, self.left),  # 0 would mean for ever
            )
        except BrokerUnanswered:
            self.disconnect()
            raise
        except self._errors as error:
            self.disconnect()
            raise BrokerUnavailable(error) from error

    @property
    def left(self) -> float:
        """Seconds of the time limit that are left."""
        return self._until - time.monotonic()

    def _on_error(self, error: BaseException, intervals: Any, tries: int) -> float:
        self.disconnect()
        logger.debug("the broker did not answer, try %d: %s", tries, error)
        return float(next(intervals))

    def producer(self) -> Producer:
        """Return what publishes on the connection, and connect if need be; for calls that `persist` makes."""
        if self._producer is None:
            connection = self._connect()
            self._recoverable = (
                *connection.recoverable_connection_errors,
                *connection.recoverable_channel_errors,
                OperationalError,
                OSError,
            )
            self._errors = (*self._recoverable, *connection.connection_errors, *connection.channel_errors)
            self.no_answer = _no_answer_of(connection)
            self._establish(connection)
            self._producer = Producer(connection.channel(), exchange=_DEFAULT_EXCHANGE, auto_declare=False)
        return self._producer

    def _establish(self, connection: Connection) -> None:
        """Connect, so that nothing on the connection waits for longer than a sender may."""
        limit = self._timeout
        connection.connect_timeout = limit
        limits = {"socket_timeout": limit, "socket_connect_timeout": limit}  # Redis
        connection.transport_options = {**(connection.transport_options or {}), **limits, **self._options}
        # each host once: Kombu would wait for seconds between tries, and `persist` tries again by itself
        connection.ensure_connection(
            max_retries=max(0, len(connection.alt) - 1), interval_start=0, interval_step=0, interval_max=0
        )
        # AMQP; its option `read_timeout` is overridden wherever an answer is awaited
        sock = getattr(connection.connection, "sock", None)
        if sock is not None:
            sock.settimeout(limit)

    def disconnect(self) -> None:
        """Drop the connection as it is."""
        producer, self._producer = self._producer, None
        self.declared.clear()
        if producer is not None and producer.connection is not None:
            producer.connection.collect()

    def release(self) -> None:
        """End the connection with the broker's consent: one that is merely closed can take what was just written."""
        producer, self._producer = self._producer, None
        self.declared.clear()
        if producer is not None and producer.connection is not None:
            producer.connection.release()


def _no_answer_of(connection: Connection) -> tuple[type[BaseException], ...]:
    """Return the errors that leave open whether a message was taken.

    AMQP has none: nobody answers a message, and one that could not be written to its end does not exist for the broker.
    """
    if connection.transport.driver_type != "redis":
        return ()
    from redis.exceptions import TimeoutError as RedisTimeout

    return (RedisTimeout,)
