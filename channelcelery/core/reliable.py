"""Reliable channels: how often a message may run, and what becomes of a run."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

__all__ = [
    "Again",
    "Dead",
    "Done",
    "Ended",
    "Reason",
    "Reliable",
    "after_run",
    "before_run",
    "count_redelivery",
    "wait_for_end",
]

#: More runs, or seconds, than this are a slip.
_MOST = 10**6
#: Seconds between two publications of a message from the outbox at most.
_LONGEST_WAIT = 86_400.0


@dataclass(frozen=True, slots=True)
class Reliable:
    """How a reliable channel handles messages whose consumer does not return.

    Args:
        max_attempts: runs of one message at most, those that ended with their process included.
        backoff: seconds before the second run at most; twice as many before each further one, of which a random part
            is waited.
        max_backoff: seconds between two runs at most.
        time_limit: seconds that one run may take, or None; prefork can enforce it, other pools cannot.
        outbox: a message is written to the sender's database, in its transaction, and stays there until it is done.
        idempotent: a run and the mark that its message is done are one transaction, so that no further run has effects
            in that database.

    Raises:
        TypeError: a value is no number, or not True or False.
        ValueError: a number is out of its range.
    """

    max_attempts: int = 5
    backoff: float = 1.0
    max_backoff: float = 600.0
    time_limit: float | None = None
    outbox: bool = False
    idempotent: bool = False

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int:
            raise TypeError(f"Reliable(max_attempts={self.max_attempts!r:.100}): write a whole number")
        if not 1 <= self.max_attempts <= _MOST:
            raise ValueError(f"Reliable(max_attempts={self.max_attempts}): write 1 to {_MOST:,}")
        _check_seconds("backoff", self.backoff, least=0)
        _check_seconds("max_backoff", self.max_backoff, least=0)
        if self.time_limit is not None:
            _check_seconds("time_limit", self.time_limit, least=0.1)
        for name in ("outbox", "idempotent"):
            if type(value := getattr(self, name)) is not bool:
                raise TypeError(f"Reliable({name}={value!r:.100}): write True or False")


def _check_seconds(name: str, value: object, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"Reliable({name}={value!r:.100}): write a number of seconds")
    # so written that not-a-number is refused
    if not least <= value <= _MOST:
        raise ValueError(f"Reliable({name}={value}): write {least:g} to {_MOST:,} seconds")


class Reason(StrEnum):
    """Why a message is dead."""

    RAISED = "raised"  #: its consumer raised in the last of its runs
    RETRIED = "retried"  #: its consumer asked for one run more than there are
    REJECTED = "rejected"  #: its consumer said that no further run could do better
    TIMED_OUT = "timed_out"  #: its last run took too long
    UNSENT = "unsent"  #: its last run ended, but what it sent could not leave
    KILLED = "killed"  #: its runs ended with their processes
    UNROUTED = "unrouted"  #: no consumer is for it
    UNREADABLE = "unreadable"  #: it is not what a sender of ours writes
    BROKER = "broker"  #: the broker took it for dead, after very many deliveries


class Ended(Enum):
    """How a run ended."""

    RETURNED = auto()
    RAISED = auto()
    RETRIED = auto()
    REJECTED = auto()
    TIMED_OUT = auto()
    UNSENT = auto()


_REASONS = {
    Ended.RAISED: Reason.RAISED,
    Ended.RETRIED: Reason.RETRIED,
    Ended.TIMED_OUT: Reason.TIMED_OUT,
    Ended.UNSENT: Reason.UNSENT,
}


@dataclass(frozen=True, slots=True)
class Done:
    """The message is done."""


@dataclass(frozen=True, slots=True)
class Again:
    """The message is to run again.

    Args:
        attempt: the number of that run.
        after: seconds from now, or None for what the policy's backoff says.
    """

    attempt: int
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """The message is dead."""

    reason: Reason


def count_redelivery(written: int, counted: int) -> int:
    """Return the number of a run whose message was delivered before, and may have run then.

    Args:
        written: the attempt that the message says it is.
        counted: the number of the last run that was counted for it in the layer, 0 if none was.
    """
    return max(written, counted) + 1


def before_run(policy: Reliable, attempt: int) -> Dead | None:
    """Return why a message may not run, or None.

    Args:
        policy: the channel's.
        attempt: the number that this run would have, from 1.
    """
    return Dead(Reason.KILLED) if attempt > policy.max_attempts else None


def after_run(policy: Reliable, attempt: int, ended: Ended, after: float | None = None) -> Done | Again | Dead:
    """Return what becomes of a message.

    Args:
        policy: the channel's.
        attempt: the number of the run, from 1.
        ended: how it ended.
        after: seconds that the consumer asked to wait, or None.
    """
    match ended:
        case Ended.RETURNED:
            return Done()
        case Ended.REJECTED:
            return Dead(Reason.REJECTED)
    if attempt >= policy.max_attempts:
        return Dead(_REASONS[ended])
    return Again(attempt + 1, after)


def wait_for_end(policy: Reliable, seconds: float, published: int) -> float:
    """Return the seconds after which a message that was published from the outbox, and has not ended, is so again.

    They double each time: what merely waits in a long queue must not make it much longer.

    Args:
        policy: the channel's; no run of it is to be taken for lost.
        seconds: CONFIG["outbox_wait"].
        published: how often it was published for its present attempt, the last time included; from 1.
    """
    least = max(seconds, 2 * (policy.time_limit or 0))
    return max(least, min(least * 2.0 ** min(published - 1, 32), _LONGEST_WAIT))
