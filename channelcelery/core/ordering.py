"""Words and limits of strict and slight order among the messages of a connection (Channels 1.x, items 155 to 172)."""

from dataclasses import dataclass
from enum import Enum

__all__ = [
    "AGAIN",
    "CLOSED_EXPIRY",
    "EXPIRY",
    "LAST",
    "LAST_CHANNEL",
    "MAX_PARKED",
    "MAX_PARKED_BYTES",
    "OVER_EXPIRY",
    "PATIENCE",
    "RENEW",
    "SWEEP",
    "Arrival",
    "Entered",
    "Left",
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
class Entered:
    """What follows from a message that came.

    Args:
        verdict: what becomes of it.
        instead: another message, whose turn it is and which the caller is to run now, and must `leave`.
    """

    verdict: Verdict
    instead: Parked | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """What follows a message that ended.

    Args:
        taken: what the caller is to run now, since it is its turn, and must `leave`.
        handed: what the caller is to hand on.
    """

    taken: Parked | None = None
    handed: tuple[Parked, ...] = ()


@dataclass(frozen=True, slots=True)
class Swept:
    """What was done for connections that waited too long.

    Args:
        handed: what the caller is to hand on.
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
