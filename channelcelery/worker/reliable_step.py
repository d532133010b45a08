"""The step of a Celery worker's consumer that reads reliable channels: Celery runs what it reads as its tasks.

It has a channel of its own on the worker's connection, and queues that Celery's app does not know: the tasks of the
project keep their prefetch, and autoscaling goes on, which Celery gives up where it sees a quorum queue.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from celery.bootsteps import StartStopStep
from celery.platforms import EX_FAILURE
from celery.worker import state
from kombu import Consumer
from kombu.common import ignore_errors

from channelcelery.broker.patience import answered_within
from channelcelery.broker.reliable_queues import dead_queue, declare, reliable_queue
from channelcelery.exceptions import BrokerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.reliable.parcel import ALIAS, TASK
from channelcelery.routing import get_router
from channelcelery.worker.reliable_acks import LateAcks
from channelcelery.worker.reliable_channels import label_of, prefetch_of, reliable_channels
from channelcelery.worker.reliable_errands import Errands
from channelcelery.worker.reliable_task import ReliableRequest

__all__ = ["GRACE", "ReliableStep"]

logger = logging.getLogger("django.channels.worker")

#: Seconds between a run's time limit, which it may handle, and the end of its process.
GRACE = 5.0
#: Messages of Redis that are acknowledged and taken together: fewer than a worker takes ahead.
TOGETHER = 2


class ReliableStep(StartStopStep):
    """Reads the queues of reliable channels, and hands what comes to Celery's own handler of tasks."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(
        self,
        consumer: Any,
        only_channels: Sequence[str] = (),
        exclude_channels: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        self._channels = reliable_channels(only_channels, exclude_channels)
        self._consumers: list[Consumer] = []
        self._acks: LateAcks | None = None
        self._errands: Errands | None = None
        super().__init__(consumer, **kwargs)

    def start(self, consumer: Any) -> None:
        """Prepare; reading begins in the running loop, as of `ChannelsStep`."""
        if consumer.hub is None and self._channels:
            consumer.call_soon(self._begin, consumer)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Begin reading once the loop runs."""
        if self._channels:
            hub.call_soon(self._begin, consumer)

    def _begin(self, consumer: Any) -> None:
        try:
            self._read(consumer)
        except BrokerUnavailable as error:  # the loop would log it and go on without these channels
            logger.critical("the worker ends, since it cannot read its reliable channels: %s", error)
            state.should_stop = EX_FAILURE  # type: ignore[assignment]  # the exit code

    def _read(self, consumer: Any) -> None:
        driver = consumer.connection.transport.driver_type
        prefetch = prefetch_of(consumer.pool, self._channels)
        # nothing may wait for an acknowledgement where no more is taken than can run
        ahead = consumer.hub is not None and prefetch > consumer.pool.num_processes
        late = ahead and driver == "amqp"
        with self._patience(consumer, "a channel"):
            amqp_channel = consumer.connection.channel()
            # what waits to be acknowledged fills it, too
            amqp_channel.basic_qos(0, prefetch + 1 if late else prefetch, False)
        # a pool that grows has room for the next message at once
        grows = getattr(consumer.controller, "autoscaler", None) is not None
        if ahead and driver == "redis" and not grows:
            amqp_channel.qos.least = TOGETHER
        self._acks = LateAcks(amqp_channel, consumer.hub) if late else None
        ReliableRequest.pool, ReliableRequest.acks = consumer.pool, self._acks
        handle = consumer.create_task_handler()
        self._consumers = []
        for alias, channel in self._channels:
            prefix = channel_layers.config(alias).prefix
            queue = reliable_queue(prefix, channel, driver)
            for each in (dead_queue(prefix, driver), queue):
                with self._patience(consumer, each.name):
                    declare(each, amqp_channel)
            # one for each queue, which tells the channel: a message that waited has another routing key on RabbitMQ
            received = partial(_received, handle, _headers(alias, channel), self._acks)
            self._consumers.append(Consumer(amqp_channel, [queue], accept=["json"], on_message=received))
        for reader in self._consumers:
            with self._patience(consumer, "the messages of a reliable channel"):
                reader.consume()
        self._errands = Errands(consumer.timer, consumer.pool, sorted({alias for alias, _ in self._channels}))
        logger.info(
            "running %d reliable channels: %s", len(self._channels), ", ".join(sorted(c for _, c in self._channels))
        )

    def _patience(self, consumer: Any, what: str) -> AbstractContextManager[None]:
        limit = max(channel_layers.config(alias).publish_timeout for alias, _ in self._channels)
        return answered_within(limit, consumer.connection, what)

    def stop(self, consumer: Any) -> None:
        """Take nothing more; what runs may still be acknowledged."""
        if self._errands is not None:
            self._errands.stop()
            self._errands = None
        if self._acks is not None:
            self._acks.close()
        for reader in self._consumers:
            ignore_errors(consumer, reader.cancel)

    def shutdown(self, consumer: Any) -> None:
        """Take nothing more; the end of the worker's connection gives back what was not acknowledged."""
        self.stop(consumer)
        self._consumers = []

    def info(self, consumer: Any) -> dict[str, Any]:  # type: ignore[override]  # the stubs say None
        """What `celery inspect stats` shows."""
        return {"reliable_channels": sorted(channel for _, channel in self._channels)}


def _received(handle: Callable[[Any], None], written: Mapping[str, Any], acks: LateAcks | None, message: Any) -> None:
    headers = message.headers
    if not isinstance(headers, Mapping) or headers.get("task") != TASK:
        logger.error("a message that is no task of a reliable channel is dropped: %.200r", message.delivery_info)
        message.reject_log_error(logger, ())
        return
    # the sender need not know what runs it, nor for how long it may
    message.headers.update(written)
    if acks is None:
        handle(message)
        return
    acks.delivered(message.delivery_tag)
    handle(message)
    if message.acknowledged:  # Celery could not make a request of it
        acks.settled(message.delivery_tag)


def _headers(alias: str, channel: str) -> dict[str, Any]:
    limit = get_router(alias).reliable[channel].time_limit
    limits = [None, None] if limit is None else [limit + GRACE, limit]
    return {ALIAS: alias, "shadow": label_of(alias, channel), "timelimit": limits}
