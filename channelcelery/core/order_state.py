"""Whose turn it is on every connection of a layer: who may run, who is parked, and what follows when one has ended.

Every connection that has something to wait for has a time at which somebody looks at it: that is how what is lost,
raised or killed holds up the rest for a limited time only. In memory this state is behind a lock; the script of the
Redis layer decides likewise, and both run the same tests.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from channelcelery.core.ordering import (
    AGAIN,
    CLOSED_EXPIRY,
    EXPIRY,
    LAST,
    LAST_CHANNEL,
    MAX_PARKED,
    MAX_PARKED_BYTES,
    OVER_EXPIRY,
    PATIENCE,
    Arrival,
    Entered,
    Left,
    Parked,
    Swept,
    Verdict,
)

__all__ = ["OrderState"]


@dataclass(slots=True)
class _Order:
    """One connection: the number that runs or is to run next, and what waits for it."""

    next: int
    expires: float
    slight: bool = False
    running: bool = False
    ends: bool = False  # what runs is the last
    over: bool = False
    again: bool = False  # what is next was handed on a second time
    look: float | None = None
    parked: dict[int, Parked] = field(default_factory=dict)
    size: int = 0

    def due(self, number: int) -> bool:
        return number == self.next or (number == LAST and not self.parked.keys() - {LAST})

    def following(self) -> Parked | None:
        """What waits and is to run next."""
        if (found := self.parked.get(self.next)) is None and self.due(LAST):
            return self.parked.get(LAST)
        return found

    def park(self, parked: Parked) -> None:
        self.parked[parked.number] = parked
        self.size += parked.size

    def unpark(self, number: int) -> None:
        if (parked := self.parked.pop(number, None)) is not None:
            self.size -= parked.size


class OrderState:
    """The connections of one layer; not safe to share between threads.

    Args:
        stall: seconds that one may be held up by what is lost, at most.

    Every `now` is a monotonic time in seconds.
    """

    def __init__(self, stall: float) -> None:
        self._patience, self._again = stall * PATIENCE, stall * AGAIN
        self.orders: dict[str, _Order] = {}

    def enter(self, token: str, arrival: Arrival, now: float, room: int = 0, channels: Collection[str] = ()) -> Entered:
        """Decide what becomes of a message that came.

        Where the next one was handed on and is still on its way, the one that came gets it going: it may be a long way.

        Args:
            token: its connection.
            arrival: the message.
            now: the time.
            room: how many others the caller is ready to run.
            channels: the channels that it may run.
        """
        order = self._known(token, now)
        if arrival.slight:
            return Entered(self._enter_slightly(token, order, arrival, now))
        if order is None:
            # no client is heard before its connect was answered: number 0 ran, though not in order (defect 5)
            order = self.orders[token] = _Order(min(arrival.number, 1), now + EXPIRY)
        if order.over or arrival.number < order.next or (order.running and arrival.number == order.next):
            return Entered(Verdict.LATE)
        if not order.running and order.due(arrival.number):
            self._run(order, arrival.number, arrival.channel, now)
            return Entered(Verdict.RUN)
        instead = None if order.running else self._take_following(order, now, room, channels)
        return Entered(self._park(order, arrival, now), instead)

    def _take_following(self, order: _Order, now: float, room: int, channels: Collection[str]) -> Parked | None:
        following = order.following()
        if following is None or not room or following.channel not in channels:
            return None
        self._run(order, following.number, following.channel, now)
        return following

    def _enter_slightly(self, token: str, order: _Order | None, arrival: Arrival, now: float) -> Verdict:
        if order is not None and (order.over or not order.running or order.next > 0):
            order.unpark(arrival.number)
            return Verdict.LATE if arrival.number == 0 else Verdict.FREE
        if order is not None:
            return Verdict.LATE if arrival.number == 0 else self._park(order, arrival, now)
        if arrival.number == 0:
            order = self.orders[token] = _Order(0, now + EXPIRY, slight=True)
            self._run(order, 0, arrival.channel, now)
            return Verdict.RUN
        if arrival.channel == LAST_CHANNEL:
            # a connect that comes after it must not run
            self.orders[token] = _Order(0, now + OVER_EXPIRY, over=True)
        return Verdict.FREE

    def _park(self, order: _Order, arrival: Arrival, now: float) -> Verdict:
        if arrival.number in order.parked:
            return Verdict.LATE
        parked = Parked(arrival.number, arrival.channel, arrival.item)
        full = len(order.parked) >= MAX_PARKED or order.size + parked.size > MAX_PARKED_BYTES
        if full and order.parked and arrival.channel != LAST_CHANNEL:
            return Verdict.FULL
        order.park(parked)
        if order.look is None:
            order.look = now + self._patience
        self._keep(order, now)
        return Verdict.PARKED

    def _run(self, order: _Order, number: int, channel: str, now: float) -> None:
        order.unpark(number)
        order.next, order.running, order.again = number, True, False
        order.ends = channel == LAST_CHANNEL
        order.look = now + self._patience
        self._keep(order, now)

    def _keep(self, order: _Order, now: float) -> None:
        if order.expires - now > CLOSED_EXPIRY:
            order.expires = now + EXPIRY

    def _known(self, token: str, now: float) -> _Order | None:
        order = self.orders.get(token)
        if order is not None and order.expires <= now:
            del self.orders[token]
            return None
        return order

    def leave(
        self,
        token: str,
        number: int,
        now: float,
        room: int = 0,
        channels: Collection[str] = (),
        again: Parked | None = None,
    ) -> Left:
        """Take note that a message that had its turn has ended, however it did (defect 4).

        Args:
            token: its connection.
            number: its number.
            now: the time.
            room: how many messages the caller is ready to run.
            channels: the channels that it may run.
            again: the message, if it is to have its turn once more.
        """
        order = self._known(token, now)
        if order is None or not order.running or order.next != number:
            return Left()
        if again is not None:
            order.park(again)
            order.running, order.look = False, now + self._patience
            return Left(handed=(again,))
        if order.slight:
            return Left(handed=self._release(token))
        if order.ends:
            self._end(token, now)
            return Left()
        order.running, order.next = False, number + 1
        if (taken := self._take_following(order, now, room, channels)) is not None:
            return Left(taken)
        order.look = now + self._patience if order.parked else None
        following = order.following()
        return Left(handed=() if following is None else (following,))

    def _release(self, token: str) -> tuple[Parked, ...]:
        """Forget a connection of slight order, and return what waited: it may run now, at the same time."""
        return tuple(parked for _, parked in sorted(self.orders.pop(token).parked.items()))

    def _end(self, token: str, now: float) -> None:
        self.orders[token] = _Order(0, now + OVER_EXPIRY, over=True)

    def renew(self, token: str, number: int, now: float) -> bool:
        """Take a sign of life of a message's consumer; false if its turn is over."""
        order = self._known(token, now)
        if order is None or not order.running or order.next != number:
            return False
        order.look = now + self._patience
        return True

    def close(self, token: str, now: float) -> None:
        """Take note that a connection closed: its state is not kept for long."""
        if (order := self.orders.get(token)) is not None:
            order.expires = min(order.expires, now + CLOSED_EXPIRY)

    def sweep(self, now: float, limit: int) -> Swept:
        """Let connections that waited for too long go on.

        Args:
            now: the time.
            limit: how many at most.
        """
        for token in [token for token, order in self.orders.items() if order.expires <= now]:
            del self.orders[token]
        late = sorted((order.look, token) for token, order in self.orders.items() if order.look is not None)
        handed: list[Parked] = []
        unfinished = missing = 0
        for _, token in [pair for pair in late if pair[0] <= now][:limit]:
            order = self.orders[token]
            lapsed = order.running
            unfinished += lapsed
            if lapsed and order.slight:
                handed += self._release(token)
                continue
            if lapsed and order.ends:
                self._end(token, now)
                continue
            order.next += lapsed
            order.running, order.look = False, None
            if order.parked:
                following = min(order.parked)
                if following != LAST:
                    missing += following - order.next
                    order.next = following
                handed.append(order.parked[following])
                order.look = now + (self._patience if order.again else self._again)
                order.again = True
        return Swept(tuple(handed), unfinished, missing)
