"""What a Kombu channel on Redis has taken and not yet acknowledged."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from kombu.transport import redis
from kombu.transport.virtual import QoS as VirtualQoS

from channelcelery.broker.leases import keep
from channelcelery.broker.ledger import DELIVERY_COUNT, Ledger

__all__ = ["SafeQoS"]

#: Kombu's own; the stubs know only a part of it
stock: Any = redis

logger = logging.getLogger("django.channels.broker")

#: Times that a message may have been given back and still goes before the others of its queue.
_SOON = 2

#: Seconds between two looks for delayed messages that are due: they may be late by 0.1 s.
_LOOK_EVERY = 0.05


class SafeQoS(stock.QoS):  # type: ignore[misc]
    """Counts what is under way, as Kombu's own; acknowledges many at a time and renews the leases.

    Args:
        amqp_channel: the Kombu channel, one of `broker.safe_redis`.
        prefetch_count: messages that may be under way, 0 for any number.
    """

    def __init__(self, amqp_channel: Any, prefetch_count: int = 0) -> None:
        super().__init__(amqp_channel, prefetch_count)
        self.ledger: Ledger = amqp_channel.ledger
        #: acknowledged, and not yet forgotten by Redis
        self.pending: deque[str] = deque()
        #: what the tags of the present pop begin with, and how many messages it may bring; "" and 0 when all are here
        self.coming = ("", 0)
        #: free places below which nothing is taken or settled for a while; with 1 nothing ever waits
        self.least = 1
        self.interval: float = min(amqp_channel.sweep_interval, _LOOK_EVERY)
        self._sweep_every: float = amqp_channel.sweep_interval
        self._visibility_timeout = float(amqp_channel.visibility_timeout)
        self._renewed = self._swept = float("-inf")
        #: whether the channel is closed, and what it still owes Redis is the thread of leases' to see to
        self.ending = False
        self._ended = False
        self._errors: tuple[type[BaseException], ...] = amqp_channel.connection_errors

    def can_consume(self) -> bool:
        """Tell whether there is room; always while messages are on their way, since they are this process's already."""
        return bool(self.channel.popping) or (not self.waits_for_room and bool(super().can_consume()))

    @property
    def waits_for_room(self) -> bool:
        """Whether acknowledgements and the next pop wait for each other, so that both are for several messages."""
        room = self.can_consume_max_estimate()
        return self.least > 1 and room is not None and room < self.least

    def append(self, message: Any, delivery_tag: str) -> None:
        """Take note of a message; one that our script took is registered in Redis already."""
        if self.channel.is_registered(delivery_tag):
            VirtualQoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)
        keep(self)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge: with the next pop or at the end of a turn (the loop's, the leases' thread's); else at once."""
        self.pending.append(delivery_tag)
        VirtualQoS.ack(self, delivery_tag)
        if not self.channel.settles_soon():
            self.flush()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or forget it; it goes first, and behind the others the third time: it must not spin."""
        if not requeue:
            self.ack(delivery_tag)
            return
        message: Any = self._delivered.get(delivery_tag)
        count = (message.headers or {}).get(DELIVERY_COUNT) if message is not None else None
        self.restore_by_tag(delivery_tag, leftmost=int(count or 0) >= _SOON)
        VirtualQoS.ack(self, delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue."""
        self.ledger.give_back([tag], last=leftmost)

    def restore_unacked(self, client: Any = None) -> None:
        """Put back all that is under way, in its order.

        After the connection broke nothing is put back: consumers still run, and may well end before the leases do.
        """
        self._flush()
        tags = list(self._delivered)
        self._delivered.clear()
        self.flush()
        if tags and not self.channel.broken:
            self.ledger.give_back(tags)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `tend` does it."""

    def flush(self) -> None:
        """Tell Redis what was acknowledged; where it does not answer, `tend` does so later."""
        tags = self.take_pending()
        if not tags:
            return
        try:
            self.ledger.settle(tags)
        except self._errors as error:
            self.pending.extend(tags)
            logger.debug("%d acknowledgements wait for Redis: %s", len(tags), error)
            if self._ended:
                self.end()

    def end(self) -> None:
        """Let the thread of leases do what is left after the channel's end."""
        self._ended = self.ending = True
        keep(self)

    def take_pending(self) -> list[str]:
        """Return what was acknowledged, for a caller that tells Redis."""
        return _drain(self.pending.popleft)

    def tend(self, now: float) -> None:
        """Renew the leases of what is under way, let go of what is due, and put back what dead workers had."""
        try:
            self._tend(now)
        except self._errors:
            if not self.channel.ends:  # which takes its connections away from under this
                raise

    def _tend(self, now: float) -> None:
        if self.ending:
            self.ending = False  # flush says otherwise where it fails
            self.flush()
            self.ledger.close()
        if self.channel.closed:  # and while it closes, it gives messages back over the same connections
            return
        if now - self._renewed >= self.ledger.lease / 3:
            self.ledger.renew(self._under_way())
            self._renewed = now
        if self.waits_for_room:  # for longer than messages that take no time
            self.flush()
        self.ledger.release_due()
        if now - self._swept >= self._sweep_every:
            self.ledger.sweep(self._sweep_every, self._visibility_timeout)
            self._swept = now

    def _under_way(self) -> list[str]:
        prefix, count = self.coming
        coming = [f"{prefix}{number:02}" for number in range(1, count + 1)]
        while True:
            try:
                done = {*self._dirty, *self.pending}
                return [*coming, *(tag for tag in tuple(self._delivered) if tag not in done)]
            except RuntimeError:  # another thread changed one of them meanwhile
                continue


def _drain(pop: Callable[[], str]) -> list[str]:
    tags = []
    while True:
        try:
            tags.append(pop())
        except IndexError:
            return tags
