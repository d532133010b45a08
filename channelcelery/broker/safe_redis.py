"""A Kombu transport for Redis that loses nothing: Kombu's own, but for how messages are put, taken and given back.

Messages, queues and the record of what is under way have Kombu's keys and formats, so that processes with Kombu's
transport can share them. What differs:

* A message is taken and registered in one step (`scripts/pop.lua`), as many at a time as there is room for.
* A consumer that found nothing waits at the queues' bells, which ring when a message is put; it looks by itself
  too, every `poll_interval`, since other publishers ring none.
* What is under way has a lease, renewed by a thread. A dead worker's messages are back when theirs have lapsed.
* Each redelivery counts up the header `x-delivery-count`.

Transport options beside Kombu's: `lease` (seconds, 15), `sweep_interval` (1), `poll_interval` (0.25; for so long a
machine that lost its power may yet be given messages).
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from kombu.transport import redis
from redis.exceptions import NoPermissionError, ResponseError

from channelcelery.broker.safe_channel import SafeChannel
from channelcelery.broker.safe_puts import OPTIONS

__all__ = ["OLDEST", "SafeSentinelChannel", "SafeSentinelTransport", "SafeTransport", "check_server"]

logger = logging.getLogger("django.channels.broker")

#: The major version that has `#!lua flags=allow-oom`; LMOVE, fractions of seconds and the rest are older.
OLDEST = 7

#: Kombu's own; the stubs know only a part of it
stock: Any = redis


def check_server(info: Mapping[str, Any]) -> None:
    """Refuse a Redis that cannot be the broker.

    Args:
        info: what INFO says of the server.

    Raises:
        ImproperlyConfigured: it is too old for scripts with flags, or the keys of a queue lie on different nodes.
    """
    if info.get("redis_mode") == "cluster":
        raise ImproperlyConfigured(
            "the broker is a Redis Cluster, which cannot take a message and register it in one step: use a Redis "
            "that is not clustered, with Sentinel for a standby, or RabbitMQ"
        )
    version = str(info.get("redis_version", "7"))
    if int(version.partition(".")[0]) < OLDEST:
        raise ImproperlyConfigured(
            f"the broker is Redis {version}: this transport needs {OLDEST}.0 or newer, whose scripts may free memory "
            "when there is none left; update it, or use RabbitMQ"
        )


class _SafePoller(stock.MultiChannelPoller):  # type: ignore[misc]
    """Kombu's poller, with acknowledgements at the end of each turn of the loop and no search for dead workers."""

    def on_poll_start(self) -> None:
        super().on_poll_start()
        for amqp_channel in self._channels:
            amqp_channel.end_turn()

    def on_poll_init(self, poller: Any) -> None:
        self.poller = poller

    def maybe_restore_messages(self) -> None:
        """Do nothing: `SafeQoS.tend` does it, in a thread."""


class SafeTransport(stock.Transport):  # type: ignore[misc]
    """Kombu's transport for `redis://` and `rediss://`, safe."""

    Channel = SafeChannel
    #: whether the loop of a Celery worker drives it
    in_loop = False
    _suits = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = _SafePoller()

    def establish_connection(self) -> Any:
        """Connect, to a Redis that can do what this transport needs.

        Raises:
            ImproperlyConfigured: it cannot.
        """
        connection = super().establish_connection()
        if not self._suits:
            amqp_channel = connection._avail_channels[0]
            try:
                check_server(amqp_channel.client.info("server"))
            except (NoPermissionError, ResponseError) as error:
                logger.debug("this Redis does not say what it is: %s", error)
            self._suits = True
        return connection

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let a loop drive it."""
        super().register_with_event_loop(connection, loop)
        self.in_loop = True


class SafeSentinelChannel(SafeChannel, stock.SentinelChannel):  # type: ignore[misc]
    """Kombu's channel on a Redis that Sentinel watches, safe."""

    from_transport_options = (*stock.SentinelChannel.from_transport_options, *OPTIONS)


class SafeSentinelTransport(SafeTransport):
    """Kombu's transport for `sentinel://`, safe."""

    Channel = SafeSentinelChannel
    default_port = stock.SentinelTransport.default_port
