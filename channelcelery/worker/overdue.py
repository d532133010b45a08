"""Answers that wait in a job while its next view runs: they leave in time however long that takes."""

import threading
from collections.abc import Callable

__all__ = ["Overdue"]


class Overdue:
    """Flushes a job's sends from a thread, unless its own comes to it in time; for the thread that runs the job.

    Args:
        seconds: the time.
        flush: sends what waits; called in another thread, which nothing else flushes beside.
    """

    def __init__(self, seconds: float, flush: Callable[[], None]) -> None:
        self._seconds, self._flush = seconds, flush
        self._timer: threading.Timer | None = None

    def arm(self) -> None:
        """Begin to wait, if this does not already."""
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(self._seconds, self._flush)
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        """Wait no more; a flush under way ends first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
