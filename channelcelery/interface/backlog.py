"""What waits for a client that does not read: plans in order, bounded in bytes and in time."""

import asyncio
from collections import deque
from collections.abc import Callable

from channelcelery.interface.events import Plan

__all__ = ["Backlog"]

#: Bytes that a plan takes in memory beside what it says. Without them tiny and empty frames would wait in any number.
_AROUND = 256


class Backlog:
    """Plans that wait while the transport takes nothing; there is one only as long as that is so.

    Args:
        limit: bytes that may wait; each plan counts 256 besides its own.
        timeout: seconds that the first one may wait.
        failed: called with "send_buffer" or "send_timeout" when the client is to be given up.
    """

    __slots__ = ("_failed", "_is_paused", "_limit", "_plans", "_size", "_timeout", "_timer")

    def __init__(self, limit: int, timeout: float, failed: Callable[[str], None]) -> None:
        self._limit = limit
        self._timeout = timeout
        self._failed = failed
        self._plans: deque[Plan] = deque()
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = True

    def pause(self) -> None:
        """Write nothing: the transport has enough."""
        self._is_paused = True

    def put(self, plan: Plan) -> None:
        """Have a plan wait behind the others; the first is taken whatever its size."""
        size = plan.size + _AROUND
        if self._plans and self._size + size > self._limit:
            self._failed("send_buffer")
            return
        self._plans.append(plan)
        self._size += size
        if self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._failed, "send_timeout")

    def resume(self, do: Callable[[Plan], None]) -> bool:
        """Do plans until none waits or the transport pauses again, from when the next has a time of its own.

        Args:
            do: writes one.

        Returns:
            Whether nothing waits and the transport takes more.
        """
        self.end()
        self._is_paused = False
        while self._plans and not self._is_paused:
            plan = self._plans.popleft()
            self._size -= plan.size + _AROUND
            do(plan)
        if self._plans:
            self._wait()
        return not self._is_paused

    def clear(self) -> None:
        """Drop what waits."""
        self.end()
        self._plans.clear()
        self._size = 0

    def end(self) -> None:
        """Give up nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
