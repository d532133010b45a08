"""When a worker is taken for stalled: messages wait for it, a slot is free, and it begins none."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Look", "Stall"]

#: How often, within the limit, what waits at the broker is counted.
_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Look:
    """What a worker shows at one moment.

    Args:
        signs: anything that is another value once a message has begun or ended.
        waiting: messages that it has received and not begun.
        busy: each slot of its pool runs something, so that nothing can begin.
    """

    signs: object
    waiting: int
    busy: bool


class Stall:
    """Judges a worker by looks at it.

    Args:
        limit: seconds.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._signs: object = None
        self._well_at: float | None = None
        self._sampled_at = 0.0
        self._looked_at = 0.0

    def well(self, now: float) -> None:
        """Take note that nothing is wrong at this monotonic time in seconds."""
        self._well_at = self._sampled_at = now

    def is_stalled(self, look: Look, depth: Callable[[], int], now: float) -> bool:
        """Tell whether the worker has begun nothing for too long.

        Args:
            look: at the worker.
            depth: counts what waits for it at the broker; what it raises goes through.
            now: a monotonic time in seconds.
        """
        # after a long pause the process itself was stopped, or starved
        paused, self._looked_at = now - self._looked_at > self.limit / 2, now
        if self._well_at is None or paused or look.busy or look.signs != self._signs:
            self._signs = look.signs
            self.well(now)
            return False
        if not look.waiting and now - self._sampled_at >= self.limit / _SAMPLES:
            self._sampled_at = now
            if not depth():
                self.well(now)
        # what waits at the broker was there at each of the samples, the first of which came some time after the start
        return now - self._well_at >= self.limit and (bool(look.waiting) or self._sampled_at > self._well_at)
