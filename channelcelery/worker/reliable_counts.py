"""Counting what becomes of reliable messages, in a worker's main process: Celery runs them as its tasks."""

from collections import Counter
from collections.abc import Collection

__all__ = ["ReliableCounts", "reliable_counts"]


class ReliableCounts:
    """Runs and their seconds, by channel.

    Args:
        channels: those that may be named; what a message says is no reason to count under its name.
    """

    def __init__(self, channels: Collection[str] = ()) -> None:
        self.channels = frozenset(channels)
        #: by channel and how they ended: "settled", "again" or "given_back"
        self.runs: Counter[tuple[str, ...]] = Counter()
        self.seconds: Counter[str] = Counter()

    def note(self, channel: object, ended: str, seconds: float) -> None:
        """Count a run.

        Args:
            channel: the channel, as the message says.
            ended: "settled", "again" or "given_back".
            seconds: what it took.
        """
        name = channel if isinstance(channel, str) and channel in self.channels else "unknown"
        self.runs[name, ended] += 1
        # floats, which the type of a Counter has no word for
        self.seconds[name] += max(0.0, seconds)  # type: ignore[assignment]


#: Of this process: Celery makes its requests by itself, so that nothing can be passed to them.
reliable_counts = ReliableCounts()
