"""How far the pool's jobs have come, in memory that the main process can read when a job's process hangs or is dead.

Each job has a place there, as in `worker.claims`, and writes only while that place is its own. Its number comes last,
so that what an earlier job left is not taken for it.
"""

import mmap
import os
import time
from dataclasses import dataclass

from channelcelery.worker.claims import PLACES

__all__ = ["Mark", "Progress", "read_mark"]

#: Bytes of a consumer's name that are kept.
_NAME = 120

_memory = memoryview(mmap.mmap(-1, 4 * 8 * PLACES)).cast("Q")
_numbers, _begun, _since, _pids = (_memory[i * PLACES : (i + 1) * PLACES] for i in range(4))
_names = memoryview(mmap.mmap(-1, _NAME * PLACES))


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a job is.

    Args:
        begun: how many of its messages have begun.
        since: the monotonic time in seconds at which the last of these did.
        pid: the process that runs it.
        consumer: the name of the consumer that runs, or "" where none does.
    """

    begun: int
    since: float
    pid: int
    consumer: str


class Progress:
    """Writes down where a job is, in the process that runs it.

    Args:
        place: the job's place, below `PLACES`.
        number: the job's number, with which it has claimed the place.
    """

    def __init__(self, place: int, number: int) -> None:
        self._place = place
        _begun[place] = 0
        self.rest()
        _pids[place] = os.getpid()
        _numbers[place] = number

    def begin(self, messages: int = 1) -> None:
        """Take note that the next message begins, or several at once that cannot be told apart."""
        _begun[self._place] += messages
        self.rest()

    def run(self, consumer: str) -> None:
        """Take note that a consumer begins."""
        start = self._place * _NAME
        _names[start : start + _NAME] = consumer.encode()[:_NAME].ljust(_NAME, b"\0")
        _since[self._place] = time.monotonic_ns()

    def rest(self) -> None:
        """Take note that no consumer runs."""
        self.run("")


def read_mark(place: int, number: int) -> Mark | None:
    """Return where a job is, or None if no process has begun it.

    Args:
        place: the job's place.
        number: the job's number.
    """
    if _numbers[place] != number:
        return None
    name = bytes(_names[place * _NAME : (place + 1) * _NAME]).rstrip(b"\0").decode(errors="replace")
    return Mark(_begun[place], _since[place] / 1e9, _pids[place], name)
