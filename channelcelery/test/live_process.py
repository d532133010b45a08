"""A process of a live site, as the tests that start it see it."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from channelcelery.test.live_main import READY, Orders

__all__ = ["LiveProcess"]

#: Seconds for a process to start, and to end before it is killed.
_START = 60.0
_END = 10.0
#: Characters of a process's output that are shown at the end of an error.
_SHOWN = 10_000


class LiveProcess:
    """One process of a site, its output kept in a file; ended by its id, and by itself when this process ends.

    Args:
        orders: what it is told.
    """

    def __init__(self, orders: Orders) -> None:
        self.name = orders.role
        handle, path = tempfile.mkstemp(prefix=f"live-{self.name}-", suffix=".log")
        self._log = Path(path)
        self._ready, ready = os.pipe()
        # the process reads its orders from one end, and ends when the other is closed, be it by the end of this process
        ordered, self._lifeline = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "channelcelery.test.live_main"],
                stdin=ordered,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env={**os.environ, READY: str(ready), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[ready, *([orders.socket] if orders.role == "interface" else [])],
                start_new_session=True,
            )
        finally:
            os.close(handle)
            os.close(ready)
            os.close(ordered)
        with suppress(BrokenPipeError):  # it has ended already, and `wait_until_ready` says so
            os.write(self._lifeline, orders.to_json().encode() + b"\n")

    @property
    def pid(self) -> int:
        """Its id, which is also that of its group."""
        return self._popen.pid

    def wait_until_ready(self, timeout: float = _START) -> None:
        """Wait until it can be used.

        Raises:
            RuntimeError: it ended, or took too long; its output is in the text.
        """
        there, _, _ = select.select([self._ready], [], [], timeout)
        if not there or not os.read(self._ready, 16):
            why = "ended" if there else f"was not ready within {timeout:g} s"
            raise RuntimeError(f"the {self.name} of the live site {why}:\n{self.output()[-_SHOWN:]}")

    def output(self) -> str:
        """Return what it wrote until now."""
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """End it, and whatever is left of its group; nothing of it remains."""
        self._popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(_END)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        os.close(self._lifeline)
        os.close(self._ready)
        self._log.unlink()
