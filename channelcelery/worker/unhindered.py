"""A clock that stands still while a thread could run and no CPU is free, as Linux tells of each thread.

How long a job takes at a machine that is too busy says how busy it is. Jobs that are made smaller for it cost more CPU
for each message, which keeps it busy.
"""

import os
import threading
import time
from contextlib import suppress

__all__ = ["unhindered"]

#: Of the thread that opens it: nanoseconds on a CPU and nanoseconds of waiting for one, and how often it ran.
_FILE = "/proc/thread-self/schedstat"


class _Waited:
    """How long the thread that makes this has waited for a CPU; nothing where the system does not tell."""

    def __init__(self) -> None:
        self._file = -1
        with suppress(OSError):
            self._file = os.open(_FILE, os.O_RDONLY | os.O_CLOEXEC)

    def seconds(self) -> float:
        """Return it."""
        if self._file < 0:
            return 0.0
        try:
            return int(os.pread(self._file, 64, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


class _Here(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.waited = _Waited()


_here = _Here()


def _begin_anew() -> None:
    global _here
    _here = _Here()


# a process that was forked has other threads
os.register_at_fork(after_in_child=_begin_anew)


def unhindered() -> float:
    """Return seconds since an arbitrary moment, in which the thread that asks ran or waited for something but a CPU."""
    return time.monotonic() - _here.waited.seconds()
