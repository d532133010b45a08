"""Pings of one socket, both ways: when ours is due or was not answered, and whether the client's are too many."""

import secrets
from enum import Enum

from channelcelery.core.limits import Rate

__all__ = ["Due", "Pings"]

#: Bytes of pongs that wait for a client that does not read, and what one takes at most.
_MAX_PONGS, _PONG = 64 * 1024, 128


class Due(Enum):
    """What is to be done with a socket now."""

    NOTHING = "nothing"
    PING = "ping"
    END = "end"  #: the client does not answer


class Pings:
    """Decides; no clock: time is passed.

    Args:
        interval: seconds between two pings of ours.
        timeout: seconds for a client to answer one; None waits for ever.
        rate: pings a second that a client may send.
        now: a monotonic time in seconds.
    """

    __slots__ = ("_interval", "_payload", "_rate", "_rates", "_sent_at", "_timeout", "_waiting")

    def __init__(self, interval: float, timeout: float | None, rate: float, now: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._rates = rate
        self._rate: Rate | None = None  # made for those that ping
        self._waiting = 0  # bytes of pongs
        self._payload: bytes | None = None  # of a ping that is not answered yet
        self._sent_at = now

    def admits(self, now: float, *, is_blocked: bool) -> bool:
        """Take note of a client's ping, and tell whether it is to be answered or was one too many.

        Args:
            now: a monotonic time in seconds.
            is_blocked: whether pongs wait, since the client does not read.
        """
        self._rate = self._rate or Rate(self._rates)
        self._waiting += _PONG if is_blocked else 0
        return self._waiting <= _MAX_PONGS and self._rate.admits(now)

    def unblocked(self) -> None:
        """Take note that the client reads."""
        self._waiting = 0

    def answered(self, payload: bytes) -> None:
        """Take note of a pong; one that answers nothing, or an earlier ping, is nothing."""
        if payload == self._payload:
            self._payload = None

    def due(self, now: float, *, is_read: bool) -> tuple[Due, float]:
        """Return what is due, and the seconds after which to ask again.

        Args:
            now: a monotonic time in seconds.
            is_read: whether the client is read: otherwise the answer may wait behind its messages.
        """
        waited = now - self._sent_at
        awaited = self._payload is not None and self._timeout is not None
        limit = self._timeout if awaited and self._timeout is not None else self._interval
        if waited < limit:
            return Due.NOTHING, limit - waited
        if not awaited:
            return Due.PING, min(self._interval, self._timeout or self._interval)
        return (Due.END, 0.0) if is_read else (Due.NOTHING, limit)

    def next(self, now: float) -> bytes:
        """Return what the next ping says, as sent now."""
        self._payload, self._sent_at = secrets.token_bytes(4), now
        return self._payload
