"""What consumers and senders did, in a file outside the system under test, and what it adds up to."""

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

__all__ = ["Effect", "Effects", "write_down"]


def write_down(what: str, channel: str, number: int, identity: str, attempt: int) -> None:
    """Append an effect; a single small write with O_APPEND does not mix with those of other processes."""
    file = os.open(os.environ["TEST_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{what} {channel} {number} {identity} {attempt} {os.getpid()} {time.time()}\n".encode())
    finally:
        os.close(file)


class Effect(NamedTuple):
    """A line of the file.

    Args:
        what: "sent" (confirmed), "start", "wait" (for another run), "end", or a word of the scenario's own.
        channel: the channel.
        number: the message's; what it sends on has the same.
        identity: the message's id; an error's name where it was not sent.
        attempt: the number of the run.
        pid: of the process.
        at: seconds since the epoch.
    """

    what: str
    channel: str
    number: int
    identity: str
    attempt: int
    pid: int
    at: float


@dataclass(frozen=True)
class _Run:
    identity: str
    pid: int


class Effects:
    """Reads the file as it grows, and counts.

    Args:
        file: where `write_down` writes.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self.all: list[Effect] = []
        self.count: Counter[tuple[str, str]] = Counter()
        self.starts: Counter[str] = Counter()
        #: channel -> numbers of what ended
        self._ended: dict[str, set[int]] = {}
        self._running: dict[_Run, Effect] = {}

    def look(self) -> "Effects":
        """Read what is new, and return itself."""
        if not self._file.exists():
            return self
        with self._file.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read += len(text)
        for line in text.decode().splitlines():
            what, channel, number, identity, attempt, pid, at = line.split()
            self._add(Effect(what, channel, int(number), identity, int(attempt), int(pid), float(at)))
        return self

    def _add(self, effect: Effect) -> None:
        self.all.append(effect)
        self.count[effect.what, effect.channel] += 1
        run = _Run(effect.identity, effect.pid)
        match effect.what:
            case "start":
                self.starts[effect.identity] += 1
                self._running[run] = effect
            case "wait":
                self._running.pop(run, None)
                # the next run is none too many
                self.starts[effect.identity] -= 1
            case "end":
                self._running.pop(run, None)
                self._ended.setdefault(effect.channel, set()).add(effect.number)

    def ended(self, channel: str) -> set[int]:
        """Return the numbers of a channel's messages that ended."""
        return self._ended.get(channel, set())

    def sent(self) -> list[Effect]:
        """Return what was sent and confirmed."""
        return [effect for effect in self.all if effect.what == "sent"]

    def running(self) -> list[Effect]:
        """Return the starts whose run has not ended; those of killed processes are among them for ever."""
        return list(self._running.values())

    def extra_starts(self) -> int:
        """Return how many runs there were beyond one of each message, and one more of each that waited."""
        return sum(max(0, count - 1) for count in self.starts.values())

    def starts_after(self, effect: Effect) -> list[float]:
        """Return when a message started again, by one of its starts."""
        again = (one for one in self.all if one.what == "start" and one.identity == effect.identity)
        return [one.at for one in again if one.at > effect.at]

    def slowest(self, interruptions: dict[Effect, float]) -> float:
        """Return the seconds from a message's interruption to its next start, at most.

        Args:
            interruptions: when the process of a start was killed.
        """
        again = ((self.starts_after(effect), killed_at) for effect, killed_at in interruptions.items())
        # without any it never ran again, which is counted as lost
        return max((min(starts) - killed_at for starts, killed_at in again if starts), default=0.0)
