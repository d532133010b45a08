"""Whom to leave alone for a while since it did not answer: not for long the first time, and longer each time."""

from collections.abc import Sequence

__all__ = ["LONGEST", "SHORTEST", "Rests"]

#: Seconds of the first rest, which is doubled after each further failure, and of the longest.
SHORTEST = 1.0
LONGEST = 10.0


class Rests:
    """Remembers who rests, by name; what is well is not remembered, and costs nothing."""

    def __init__(self) -> None:
        self._rests: dict[str, tuple[float, float]] = {}

    def failed(self, name: str, now: float) -> None:
        """Begin a rest, or a longer one.

        Args:
            name: who did not answer.
            now: a monotonic time in seconds.
        """
        _, last = self._rests.get(name, (0.0, 0.0))
        seconds = min(max(SHORTEST, 2 * last), LONGEST)
        self._rests[name] = now + seconds, seconds

    def well(self, names: Sequence[str]) -> None:
        """End the rests of those that answered."""
        if self._rests:
            for name in names:
                self._rests.pop(name, None)

    def is_resting(self, names: Sequence[str], now: float) -> bool:
        """Tell whether one of several rests."""
        return bool(self._rests) and any(now < self._rests.get(name, (now, 0.0))[0] for name in names)

    def may_try(self, names: Sequence[str], now: float) -> bool:
        """Tell whether none of several rests. Where a rest is over, the first who asks may try, and others wait for it.

        Args:
            names: who is to answer.
            now: a monotonic time in seconds.
        """
        if self.is_resting(names, now):
            return False
        for name in self._rests.keys() & set(names):
            if (rest := self._rests.get(name)) is not None:
                self._rests[name] = now + LONGEST, rest[1]
        return True
