"""When a fault that comes in floods is worth a line in the log: the first time, then once per interval with a count."""

from dataclasses import dataclass, field

__all__ = ["Bursts"]


@dataclass(slots=True)
class Bursts:
    """Remembers, for each kind of fault, when it was last logged and how many were passed over since.

    Args:
        interval: seconds between two lines about the same kind, at least.
    """

    interval: float = 10.0
    _seen: dict[str, tuple[float, int]] = field(default_factory=dict)

    def hit(self, kind: str, now: float) -> int | None:
        """Take note of a fault and tell whether to log it.

        Args:
            kind: what went wrong; one of few fixed words, since each is remembered.
            now: a monotonic time in seconds.

        Returns:
            None to stay silent, else how many of this kind were passed over in silence since the last line.
        """
        logged_at, passed_over = self._seen.get(kind, (float("-inf"), 0))
        if now - logged_at < self.interval:
            self._seen[kind] = logged_at, passed_over + 1
            return None
        self._seen[kind] = now, 0
        return passed_over
