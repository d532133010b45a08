"""Sending to reliable channels: what was sent is kept by the broker, or an error says that it may not be."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil

from celery.utils.time import get_exponential_backoff_interval
from django.db import DatabaseError, InterfaceError, connections, transaction
from kombu import Connection

from channelcelery.broker.confirmed import ConfirmedPublisher
from channelcelery.broker.connection import connect
from channelcelery.conf import LayerConfig
from channelcelery.core.bursts import Bursts
from channelcelery.core.reliable import Again, Reliable
from channelcelery.core.rests import Rests
from channelcelery.core.sends import ReliableSend
from channelcelery.exceptions import BrokerRefused, BrokerUnavailable, ChannelFull
from channelcelery.reliable import outbox
from channelcelery.reliable.dead import Death, drain, keep
from channelcelery.reliable.parcel import TASK, Parcel

__all__ = ["FULL_AGAIN", "ReliableSender", "wait_before"]

logger = logging.getLogger("django.channels.reliable")

#: Seconds after which a message in the outbox is tried again whose channel was full.
FULL_AGAIN = 1.0
#: Seconds after a message was written within which its transaction need have ended for it to be published by its
#: sender without asking whether the relay has it.
_SHORT = 1.0
#: Rests, as channels do.
_BROKER = ""


class ReliableSender:
    """Sends to the reliable channels of a layer; safe to share between threads, and usable again after a fork.

    Args:
        config: the layer's settings.
        connection: makes a connection; the project's broker by default.
    """

    def __init__(self, config: LayerConfig, connection: Callable[[], Connection] = connect) -> None:
        self._alias = config.alias
        # until then nobody else publishes what a sender is about to
        self._grace = config.publish_timeout + _SHORT
        self._publisher = ConfirmedPublisher(config, connection)
        self._bursts = Bursts()
        # senders leave publishing to the relay while the broker does not answer, as each would wait for it
        self._rests = Rests()

    def send(self, send: ReliableSend) -> None:
        """Send a message for the first time, or write it into the outbox, from where it leaves after the commit.

        Raises:
            DatabaseError, InterfaceError: it is for the outbox, and the database did not take it.
            ChannelFull: the channel is at capacity; never with an outbox, where it waits.
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same. Likewise.
        """
        parcel = Parcel(send.id, self._alias, send.channel, send.content, sent=time.time(), trace=send.trace)
        if send.outbox:
            self.put_in_outbox(replace(parcel, outbox=send.using or outbox.database()), send.delay / 1000)
        else:
            self._publish(parcel, delay=send.delay / 1000)

    def put_in_outbox(self, parcel: Parcel, delay: float = 0) -> None:
        """Write a message into its outbox, and publish it when the transaction under way there is committed.

        Args:
            parcel: the message; it says which outbox.
            delay: seconds to wait before it may run; the relay sees to it.

        Raises:
            DatabaseError, InterfaceError: the database did not take it.
        """
        database = connections[parcel.outbox]
        # who switched autocommit off has no moment of which Django knows
        follows = database.in_atomic_block or database.get_autocommit()
        at_once = follows and not delay and not self._rests.is_resting((_BROKER, parcel.channel), time.monotonic())
        due = time.time() + (self._grace if at_once else delay)
        outbox.write(parcel, due)
        if at_once:
            publish = partial(self._publish_committed, parcel, due, time.monotonic())
            transaction.on_commit(publish, using=parcel.outbox, robust=True)

    def _publish_committed(self, parcel: Parcel, due: float, written: float) -> None:
        """Publish what has just been committed; never raises for broker or database, as there is the relay."""
        try:
            if time.monotonic() - written > _SHORT:
                claimed = time.time() + self._grace
                if not outbox.reschedule(parcel.outbox, [parcel.id], due, claimed):
                    return  # the relay was faster
                due = claimed
            outbox.reschedule(parcel.outbox, [parcel.id], due, *self._published(parcel))
        except (DatabaseError, InterfaceError) as error:
            self._tell("database", error)

    def _published(self, parcel: Parcel) -> tuple[float, int]:
        """Publish a message of an outbox; return when that is to be done again, and how often it was."""
        now = time.time()
        # of several in one transaction, the first waited for the broker
        if not self._rests.may_try((_BROKER, parcel.channel), time.monotonic()):
            return now, parcel.copy
        try:
            self.publish(parcel)
        except ChannelFull:
            return now + FULL_AGAIN, parcel.copy
        except BrokerUnavailable as error:
            # other channels go on where it is this one's queue that does not take it
            resting = parcel.channel if isinstance(error, BrokerRefused) else _BROKER
            self._rests.failed(resting, time.monotonic())
            self._tell("broker", error)
            return now, parcel.copy
        return now + outbox.wait_of(parcel), parcel.copy + 1

    def _tell(self, what: str, error: Exception) -> None:
        if (silent := self._bursts.hit(what, time.monotonic())) is not None:
            text = "messages stay in the outbox until a worker publishes them (%d times before, unlogged): %s"
            logger.warning(text, silent, error)

    def publish(self, parcel: Parcel) -> None:
        """Publish a message of an outbox.

        Raises:
            ChannelFull: the channel is at capacity.
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """
        self._publish(parcel)

    def send_again(self, parcel: Parcel, delay: float = 0) -> None:
        """Send a copy of a message that is there already, or was: capacity does not count.

        Args:
            parcel: the copy.
            delay: seconds to wait before it may run.

        Raises:
            BrokerUnavailable: the broker did not confirm it in time; it may have it all the same.
        """
        self._publish(parcel, delay=delay, force=True)

    def _publish(self, parcel: Parcel, *, delay: float = 0, force: bool = False) -> None:
        try:
            self._publisher.publish(parcel.channel, TASK, parcel.task(), delay=delay, force=force)
        except ChannelFull:  # which the broker said
            self._rests.well((_BROKER, parcel.channel))
            raise
        self._rests.well((_BROKER, parcel.channel))

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
