"""Whose turn it is among the messages of a connection: strict and slight order (Channels 1.x, items 155 to 172).

A message that comes before its turn is parked, and released by whoever finishes the one before it. Every connection
that has something to wait for has a time at which somebody looks at it: that is how what is lost, raised or killed
holds up the rest for a limited time only. In memory this state is behind a lock; the scripts of the Redis layer decide
likewise, and both run the same tests.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "AGAIN",
    "LAST",
    "LAST_CHANNEL",
    "MAX_PARKED",
    "MAX_PARKED_BYTES",
    "PATIENCE",
    "RENEW",
    "SWEEP",
    "Arrival",
    "Left",
    "OrderState",
    "Parked",
    "Swept",
    "Verdict",
    "read_order",
]

#: The number of a message that has none and comes after all others: the disconnect of a socket whose process died.
LAST = 2**53 - 1
#: After its message nothing of a connection runs any more.
LAST_CHANNEL = "websocket.disconnect"
#: What one connection may have parked; its disconnect is parked beside that.
MAX_PARKED = 100
MAX_PARKED_BYTES = 16 * 1024 * 1024

# Parts of CONFIG["order_stall"], which they do not exceed although what is handed on may be lost once.
#: Without any sign of progress a connection waits for so long, then it goes on.
PATIENCE = 0.7
#: What it then goes on with is handed on once more if it did not come after this time.
AGAIN = 0.2
#: A running consumer gives a sign this often.
RENEW = 0.1
#: Workers look for connections that wait too long this often.
SWEEP = 0.05

#: Seconds that is remembered that a connection has had its last message.
OVER_EXPIRY = 60
#: Seconds that the state of a connection is kept after it closed.
CLOSED_EXPIRY = 120
#: Seconds that it is kept without any message.
EXPIRY = 25 * 3600


class Verdict(Enum):
    """What becomes of a message that came."""

    RUN = "run"  #: it is its turn, and `leave` must follow
    FREE = "free"  #: it may run, beside others
    PARKED = "parked"  #: another one comes first
    LATE = "late"  #: its turn is over: it came twice, or after the connection went on without it
    FULL = "full"  #: it would have to be parked, and too many are


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that came.

    Args:
        number: its place in the connection's messages, or `LAST`.
        channel: the channel that it came by.
        item: itself, encoded.
        slight: only number 0 comes before the others.
    """

    number: int
    channel: str
    item: bytes
    slight: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waited for its turn."""

    number: int
    channel: str
    item: bytes

    @property
    def size(self) -> int:
        """The bytes that it takes where it waits."""
        return len(self.channel) + 1 + len(self.item)


@dataclass(frozen=True, slots=True)
class Left:
    """What follows a message that ended.

    Args:
        taken: what the caller is to run now; of strict order at most one, whose turn it is and which it must `leave`.
        handed: what the caller is to put back into its channel.
    """

    taken: tuple[Parked, ...] = ()
    handed: tuple[Parked, ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What was done for connections that waited too long.

    Args:
        handed: what the caller is to put back into its channel.
        unfinished: messages whose consumer gave no sign of life any more; they count as done.
        missing: messages that never came.
    """

    handed: tuple[Parked, ...] = ()
    unfinished: int = 0
    missing: int = 0


def read_order(value: object) -> int:
    """Return a message's number (item 168).

    Args:
        value: a whole number from 0, or text that is one.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            number = int(value)
        except ValueError:
            number = -1
        if 0 <= number < LAST:
            return number
    raise ValueError(f"`order` is {value!r:.50}: it must be a whole number from 0")


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

    def enter(self, token: str, arrival: Arrival, now: float) -> Verdict:
        """Decide what becomes of a message that came.

        Args:
            token: its connection.
            arrival: the message.
            now: the time.
        """
        order = self._known(token, now)
        if arrival.slight:
            return self._enter_slightly(token, order, arrival, now)
        if order is None:
            # no client is heard before its connect was answered: number 0 ran, though not in order (defect 5)
            order = self.orders[token] = _Order(min(arrival.number, 1), now + EXPIRY)
        if order.over or arrival.number < order.next or (order.running and arrival.number == order.next):
            return Verdict.LATE
        if not order.running and order.due(arrival.number):
            self._run(order, arrival.number, arrival.channel, now)
            return Verdict.RUN
        return self._park(order, arrival, now)

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
            return self._release(token, order, now, room, channels)
        if order.ends:
            self._end(token, now)
            return Left()
        order.running, order.next, order.look = False, number + 1, None
        following = next((n for n in (order.next, LAST) if n in order.parked and order.due(n)), None)
        if following is None:
            order.look = now + self._patience if order.parked else None
            return Left()
        parked = order.parked[following]
        if room and parked.channel in channels:
            self._run(order, following, parked.channel, now)
            return Left(taken=(parked,))
        order.look = now + self._patience
        return Left(handed=(parked,))

    def _release(self, token: str, order: _Order, now: float, room: int, channels: Collection[str]) -> Left:
        del self.orders[token]
        taken: list[Parked] = []
        handed: list[Parked] = []
        for _, parked in sorted(order.parked.items()):
            fits = len(taken) < room and parked.channel in channels
            (taken if fits else handed).append(parked)
            if fits and parked.channel == LAST_CHANNEL:
                self.orders[token] = _Order(0, now + OVER_EXPIRY, over=True)
        return Left(tuple(taken), tuple(handed))

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
                handed += self._release(token, order, now, 0, ()).handed
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
