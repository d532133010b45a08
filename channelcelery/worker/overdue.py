"""Answers that wait in a job while its next view runs: they leave in time however long that takes."""

import threading
import time
from collections.abc import Callable

__all__ = ["Overdue"]

#: Looks of a thread that finds nothing to wait for, after which it ends.
_LOOKS = 20


class Overdue:
    """Flushes a job's sends from a thread, unless its own comes to it in time; for the thread that runs the jobs.

    Arming and disarming wake no thread, since a busy process does both all the time: the one that flushes looks by
    itself, as often as something that was armed right after its last look could be due.

    Args:
        seconds: the time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._flush: Callable[[], None] | None = None
        self._due = 0.0
        self._thread: threading.Thread | None = None

    def arm(self, flush: Callable[[], None]) -> None:
        """Begin to wait, if this does not already.

        Args:
            flush: sends what waits; called in another thread, which nothing else flushes beside.
        """
        if self._flush is not None:
            return
        with self._lock:
            self._due = time.monotonic() + self._seconds
            self._flush = flush
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="overdue", daemon=True)
                self._thread.start()

    def disarm(self) -> None:
        """Wait no more; a flush under way ends first."""
        with self._lock:
            self._flush = None

    def _run(self) -> None:
        wait, looks = self._seconds, 0
        while True:
            time.sleep(wait)
            with self._lock:
                wait = self._seconds
                if (flush := self._flush) is None:
                    looks += 1
                    if looks == _LOOKS:
                        self._thread = None
                        return
                    continue
                looks = 0
                if (left := self._due - time.monotonic()) > 0:
                    wait = left
                else:
                    self._flush = None
                    flush()
