"""What became of a job: the only thing that comes back from a pool's process."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Outcome", "Times"]


class Times(dict[str, tuple[int, int, float]]):
    """Of each consumer: how often it ran, how often it failed, and the seconds that this took in all."""

    def note(self, consumer: str, failed: bool, seconds: float) -> None:
        """Count a run."""
        runs, failures, before = self.get(consumer, (0, 0, 0.0))
        self[consumer] = runs + 1, failures + failed, before + seconds

    def add(self, others: Mapping[str, tuple[int, int, float]]) -> None:
        """Count what was counted elsewhere."""
        for consumer, (runs, failures, seconds) in others.items():
            mine = self.get(consumer, (0, 0, 0.0))
            self[consumer] = mine[0] + runs, mine[1] + failures, mine[2] + seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of one job's messages.

    Args:
        ran: consumers that ran, failed ones included.
        failed: consumers that raised.
        dropped: messages and sends that were dropped, by reason.
        seconds: what the whole job took, less what it waited for a CPU.
        handed: (channel, encoded item) pairs whose turn has come, for the worker to run next.
        sent: what consumers sent, by kind (`core.sends.KINDS`).
        times: what each consumer ran and took (`Times`).
        pid: the process that ran the job.
        responses: (alias, reply channel) of what that process goes on to answer beside its jobs.
    """

    ran: int = 0
    failed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    handed: tuple[tuple[str, bytes], ...] = ()
    sent: dict[str, int] = field(default_factory=dict)
    times: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    pid: int = 0
    responses: tuple[tuple[str, str], ...] = ()
