"""Publishing what must not get lost: a message counts as sent when the broker has said that it keeps it."""

import threading
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

from amqp.exceptions import ChannelError, MessageNacked
from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.transport import native_delayed_delivery

from channelcelery.broker.connection import broker_app, connect
from channelcelery.broker.ledger import DELAY
from channelcelery.broker.link import Link
from channelcelery.broker.reliable_queues import dead_queue, declare, reliable_queue
from channelcelery.conf import LayerConfig
from channelcelery.core.capacity import Gauge
from channelcelery.exceptions import BrokerRefused, ChannelFull

__all__ = ["ConfirmedPublisher"]

_delivery: Any = native_delayed_delivery  # the stubs know an older one
#: Stands for the exchanges and queues of delayed delivery among what a connection has declared.
_DELAYED = "delayed delivery"


class ConfirmedPublisher:
    """Sends Celery tasks to the queues of reliable channels, on a connection of its own that confirms each.

    A message may arrive twice, with the same id, where an answer got lost; none that was sent is missing.

    Args:
        config: the layer's settings.
        connection: makes a connection; the project's broker by default.
    """

    def __init__(self, config: LayerConfig, connection: Callable[[], Connection] = connect) -> None:
        self._config = config
        # on AMQP every publish then waits for its confirm; others ignore the option
        options = {"confirm_publish": True}
        self._link = Link(config.publish_timeout, connection, options=options, after_fork=self._forget)
        self._forget()

    def _forget(self) -> None:
        self._gauges: dict[str, Gauge] = {}

    def publish(self, channel: str, task: str, message: Any, *, delay: float = 0, force: bool = False) -> None:
        """Send one task, and return when the broker keeps it.

        Args:
            channel: a reliable channel's name.
            task: the task's name.
            message: what the Celery app's `amqp.as_task_v2` made.
            delay: seconds until it may be delivered; RabbitMQ takes whole ones, so that they are rounded up.
            force: whatever the channel's capacity: the message is, or was, there already.

        Raises:
            ChannelFull: the channel is at capacity.
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """
        with self._link.exclusively():
            if delay > 0 and self._link.persist(self._driver) not in ("amqp", "redis"):
                self._later(delay, partial(self.publish, channel, task, message, force=True))
                return
            gauge = self._gauges.setdefault(channel, Gauge(self._config.capacity_of(channel)))
            if not force and gauge.wants_sample(now := time.monotonic()):
                gauge.sampled(self._link.persist(partial(self._depth, channel)), now)
            if gauge.full and not force:
                raise ChannelFull([channel])
            self._link.persist(partial(self._send, channel, task, message, delay))
            gauge.published(1, 1)

    def bury(self, message: Any) -> None:
        """Put a dead task where RabbitMQ puts those that it takes for dead, on any broker.

        Args:
            message: what the Celery app's `amqp.as_task_v2` made.

        Raises:
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """
        with self._link.exclusively():
            self._link.persist(partial(self._bury, message))

    def dig_up(self, take: Callable[[Any], None]) -> bool:
        """Take the oldest dead task, and forget it when the caller has taken note of it.

        Args:
            take: takes note of a Kombu message; whatever it raises goes on to the caller, and the message stays.

        Returns:
            False if there was none.

        Raises:
            BrokerUnavailable: the broker could not be reached in time.
        """
        with self._link.exclusively():
            found: Any = self._link.persist(self._dead_one)
            if found is None:
                return False
            try:
                take(found)
            except BaseException:
                found.requeue()
                raise
            found.ack()
            return True

    def depth(self, channel: str) -> int:
        """Return how many messages wait on a reliable channel."""
        with self._link.exclusively():
            return int(self._link.persist(partial(self._depth, channel)))

    def close(self) -> None:
        """End the connection; the next publish opens a new one."""
        with self._link.exclusively():
            self._link.release()

    def _send(self, channel: str, task: str, message: Any, delay: float) -> None:
        producer = self._link.producer()
        queue = self._declared(channel)
        options: dict[str, Any] = {"queue": queue, "declare": [], "retry": False, "delivery_mode": 2}
        if delay > 0 and self._driver() == "amqp":
            options |= self._delayed(queue, delay)
        elif delay > 0:
            message.headers[DELAY] = ceil(delay * 1000)
        try:
            broker_app().amqp.send_task_message(
                producer,
                task,
                message,
                serializer="json",
                # without it a message that no queue takes is confirmed, and gone
                mandatory=True,
                confirm_timeout=max(0.001, self._link.left),
                **options,
            )
        except MessageNacked as error:
            raise BrokerRefused(f"it refused the message ({error!r})") from error
        except ChannelError as error:
            # somebody deleted the queue: on a new connection it is declared again
            raise OperationalError(str(error)) from error

    def _driver(self) -> str:
        producer: Any = self._link.producer()
        return str(producer.connection.transport.driver_type)

    def _later(self, delay: float, publish: Callable[[], None]) -> None:
        """Publish after a while, on a broker in memory: what it holds ends with this process anyway."""
        timer = threading.Timer(delay, publish)
        timer.daemon = True
        timer.start()

    def _bury(self, message: Any) -> None:
        producer: Any = self._link.producer()
        queue = self._declared_dead()
        producer.publish(
            message.body,
            # by name: the exchange of the dead is a fanout, which on Redis reaches who listens, and nobody may
            exchange="",
            routing_key=queue.name,
            serializer="json",
            headers=message.headers,
            delivery_mode=2,
            retry=False,
            mandatory=True,
            confirm_timeout=max(0.001, self._link.left),
            **message.properties,
        )

    def _dead_one(self) -> Any:
        producer: Any = self._link.producer()
        return self._declared_dead().bind(producer.channel).get(accept=["json"])

    def _declared_dead(self) -> Queue:
        producer: Any = self._link.producer()
        queue = dead_queue(self._config.prefix, producer.connection.transport.driver_type)
        if queue.name not in self._link.declared:
            declare(queue, producer.channel)
            self._link.declared.add(queue.name)
        return queue

    def _delayed(self, queue: Queue, delay: float) -> dict[str, Any]:
        """Return where a message goes that is to come back to its queue after a while."""
        connection: Any = self._link.producer().connection
        prefix = self._config.prefix.rstrip(":")
        if _DELAYED not in self._link.declared:
            _delivery.declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum", prefix)
            self._link.declared.add(_DELAYED)
        if (bound := f"{_DELAYED} of {queue.name}") not in self._link.declared:
            _delivery.bind_queue_to_native_delayed_delivery_exchange(connection, queue, prefix)
            self._link.declared.add(bound)
        routing_key = _delivery.calculate_routing_key(ceil(delay), queue.routing_key)
        return {"exchange": _delivery.level_name(_delivery.MAX_LEVEL, prefix), "routing_key": routing_key}

    def _declared(self, channel: str) -> Queue:
        """Return a channel's queue, which exists from now on."""
        producer: Any = self._link.producer()
        driver = producer.connection.transport.driver_type
        queue = reliable_queue(self._config.prefix, channel, driver)
        if queue.name not in self._link.declared:
            # the dead ones' first: what dies while there is none would be gone
            for each in (dead_queue(self._config.prefix, driver), queue):
                declare(each, producer.channel)
            self._link.declared.add(queue.name)
        return queue

    def _depth(self, channel: str) -> int:
        queue = self._declared(channel)
        amqp_channel: Any = self._link.producer().channel
        try:
            return int(amqp_channel.queue_declare(queue=queue.name, passive=True).message_count)
        except ChannelError:  # on Redis an empty queue is no queue; on AMQP the channel is closed for the question
            self._link.disconnect()
            return 0
