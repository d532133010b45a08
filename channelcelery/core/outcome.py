"""What became of a job: the only thing that comes back from a pool's process."""

from dataclasses import dataclass, field

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of one job's messages.

    Args:
        ran: consumers that ran, failed ones included.
        failed: consumers that raised.
        dropped: messages and sends that were dropped, by reason.
        seconds: what the whole job took.
        handed: (channel, encoded item) pairs whose turn has come, for the worker to run next.
    """

    ran: int = 0
    failed: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    handed: tuple[tuple[str, bytes], ...] = ()
