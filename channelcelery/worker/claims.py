"""Who has a job that was handed to the pool: settled between the main process and the one that would run it.

When a worker stops or loses its broker, Celery empties what no process of the pool has begun. Its own record of that
lags behind by a message through a pipe, so that a job could be run and put back too. Each job therefore has a place in
memory that both share: the runner marks it before it begins, the main process before it takes the job back, and the one
that comes second sees the other's mark. The marks are sequence numbers and never reset, so that a job forgotten in a
pipe cannot be mistaken for a later one in the same place.

The memory is inherited by fork, which is how prefork starts its processes; threads and solo share it anyway.
"""

import mmap
import threading
import time
from itertools import count

__all__ = ["PLACES", "begin", "new_sequence", "withdraw"]

PLACES = 1024
#: Seconds to wait for a runner caught between its two marks; one killed right there counts as having begun.
_LIMIT = 1.0

_memory = memoryview(mmap.mmap(-1, 4 * 8 * PLACES)).cast("Q")
_started, _running, _refused, _withdrawn = (_memory[i * PLACES : (i + 1) * PLACES] for i in range(4))
_sequences = count(1)
# taking and releasing a lock orders the store before it and the load after it, which two plain accesses are not
_fence = threading.Lock()


def new_sequence() -> int:
    """Return the number of the next job: higher than any before, of whatever worker of this process."""
    return next(_sequences)


def begin(place: int, sequence: int) -> bool:
    """Mark a job as begun; false if the main process has taken it back.

    Args:
        place: the job's place, below `PLACES`.
        sequence: the job's number, higher than that of any earlier job.
    """
    if _withdrawn[place] >= sequence:  # its place may be a later job's already
        return False
    _started[place] = sequence
    with _fence:
        pass
    if _withdrawn[place] >= sequence:
        _refused[place] = sequence
        return False
    _running[place] = sequence
    return True


def withdraw(place: int, sequence: int) -> bool:
    """Take a job back; false if a process of the pool has begun it."""
    _withdrawn[place] = sequence
    with _fence:
        pass
    if _started[place] != sequence:
        return True
    deadline = time.monotonic() + _LIMIT
    while _running[place] != sequence and _refused[place] != sequence and time.monotonic() < deadline:
        time.sleep(0.0001)
    return bool(_refused[place] == sequence)
