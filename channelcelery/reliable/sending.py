"""Sending to reliable channels: what was sent is kept by the broker, or an error says that it may not be."""

import logging
from collections.abc import Callable
from math import ceil

from celery.utils.time import get_exponential_backoff_interval
from kombu import Connection

from channelcelery.broker.confirmed import ConfirmedPublisher
from channelcelery.broker.connection import connect
from channelcelery.conf import LayerConfig
from channelcelery.core.reliable import Again, Reliable
from channelcelery.core.sends import ReliableSend
from channelcelery.reliable.dead import Death, drain, keep
from channelcelery.reliable.parcel import TASK, Parcel

__all__ = ["ReliableSender", "wait_before"]

logger = logging.getLogger("django.channels.reliable")


class ReliableSender:
    """Sends to the reliable channels of a layer; safe to share between threads, and usable again after a fork.

    Args:
        config: the layer's settings.
        connection: makes a connection; the project's broker by default.
    """

    def __init__(self, config: LayerConfig, connection: Callable[[], Connection] = connect) -> None:
        self._alias = config.alias
        self._publisher = ConfirmedPublisher(config, connection)

    def send(self, send: ReliableSend) -> None:
        """Send a message for the first time.

        Raises:
            ChannelFull: the channel is at capacity.
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """
        parcel = Parcel(send.id, self._alias, send.channel, send.content)
        self._publisher.publish(send.channel, TASK, parcel.task(), delay=send.delay / 1000)

    def send_again(self, parcel: Parcel, delay: float = 0) -> None:
        """Send a copy of a message that is there already, or was: capacity does not count.

        Args:
            parcel: the copy.
            delay: seconds to wait before it may run.

        Raises:
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """
        self._publisher.publish(parcel.channel, TASK, parcel.task(), delay=delay, force=True)

    def keep_dead(self, death: Death) -> None:
        """Write a dead letter, or have the broker keep it until a worker can write it.

        Raises:
            BrokerUnavailable: neither worked.
        """
        keep(death, self._publisher.bury)

    def drain_dead(self) -> int:
        """Write what lies in the broker's queue of dead messages, and return how many there were; see `drain`."""
        return drain(self._publisher.dig_up)

    def depth(self, channel: str) -> int:
        """Return how many messages wait on a reliable channel."""
        return self._publisher.depth(channel)

    def close(self) -> None:
        """End the connection; the next send opens a new one."""
        self._publisher.close()


def wait_before(policy: Reliable, again: Again) -> float:
    """Return the seconds to wait before a run: what the consumer asked for, or else a random part of the backoff.

    Args:
        policy: the channel's.
        again: the run.
    """
    if again.after is not None:
        return again.after
    # in milliseconds, since the function draws whole numbers
    factor, most = ceil(policy.backoff * 1000), ceil(policy.max_backoff * 1000)
    return get_exponential_backoff_interval(factor, min(again.attempt - 2, 64), most, full_jitter=True) / 1000
