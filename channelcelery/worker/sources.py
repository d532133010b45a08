"""Where a worker's messages come from: one of two ways to read, by what its broker allows (docs/decisions/0001)."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from celery.concurrency.solo import TaskPool as SoloPool
from kombu import Connection
from kombu.transport.virtual import Channel as VirtualChannel

from channelcelery.core.backlog import Delivery, Key
from channelcelery.worker.amqp_source import AmqpSource
from channelcelery.worker.deliveries import Received
from channelcelery.worker.virtual_source import VirtualSource

__all__ = ["Source", "loops_on", "make_source"]


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


def loops_on(consumer: Any) -> bool:
    """Tell whether a worker has an event loop that goes on while its consumers run: with the pool `solo` it does not.

    At a cold shutdown, with or without a soft one before it, Celery holds up any loop until consumers have ended.

    Args:
        consumer: Celery's.
    """
    return consumer.hub is not None and not isinstance(consumer.pool, SoloPool)


def make_source(
    amqp_channel: Any,
    received: Received,
    dropped: Callable[[str], None],
    has_room: Callable[[], bool],
    share: Callable[[Key], int],
    seen: OrderedDict[str, None],
    *,
    eager: bool,
) -> Source:
    """Return the source that fits the transport."""
    if isinstance(amqp_channel, VirtualChannel):
        return VirtualSource(amqp_channel, received, dropped, has_room, share, eager=eager)
    return AmqpSource(amqp_channel, received, dropped, seen)
