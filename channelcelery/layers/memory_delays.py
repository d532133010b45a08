"""Delayed messages within one process."""

import heapq
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from channelcelery.core.sends import DelayedSend

__all__ = ["MemoryDelayStore"]


class MemoryDelayStore:
    """A `DelayStore` in this process; safe to share between threads.

    Args:
        capacity: messages that may wait.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: list[tuple[float, int, DelayedSend]] = []
        self._numbers = count()
        self._lock = threading.Lock()

    def add(self, sends: Sequence[DelayedSend]) -> bool:
        """Let messages wait; see `DelayStore.add`."""
        with self._lock:
            if len(self._waiting) + len(sends) > self._capacity:
                return False
            for send in sends:
                heapq.heappush(self._waiting, (time.monotonic() + send.delay / 1000, next(self._numbers), send))
            return True

    def take_due(self, limit: int) -> list[DelayedSend]:
        """Take what is due; see `DelayStore.take_due`."""
        due: list[DelayedSend] = []
        with self._lock:
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now and len(due) < limit:
                due.append(replace(heapq.heappop(self._waiting)[2], delay=0))
        return due

    def flush(self) -> None:
        """Drop what waits; see `DelayStore.flush`."""
        with self._lock:
            self._waiting.clear()

    def close(self) -> None:
        """Do nothing: there are no connections."""
