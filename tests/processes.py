"""Processes for tests, and waiting for conditions with deadlines."""

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

import pytest

__all__ = ["LOOPBACK", "Process", "find_program", "free_port", "is_listening", "missing", "wait_until"]

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
# Below Linux's range for outgoing connections (32768 and up), so that no client takes a stopped server's port.
ALL_PORTS = range(20_000, 32_000)
#: Those of this process, so that two that run tests beside each other never look at the same one at the same time.
_PART = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PARTS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS = ALL_PORTS[_PART::_PARTS]


def free_port() -> int:
    """Return a loopback port on which nothing listens now."""
    for _ in range(200):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port found between {PORTS.start} and {PORTS.stop}")


def wait_until(
    condition: Callable[[], T | None], *, timeout: float = 10.0, what: str = "", interval: float = 0.02
) -> T:
    """Call `condition` until its result is true and return that, or raise AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition} (last result: {result!r})")
        time.sleep(interval)


def missing(server: str, package: str) -> NoReturn:
    """Skip the running test because a server is not installed; where CI is set, fail it."""
    text = f"{server} is not installed; run scripts/test-needs, or: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def find_program(name: str, *, package: str, folders: Sequence[Path] = ()) -> str:
    """Return the path of a program, or skip or fail the test if it is missing."""
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    return shutil.which(name) or missing(name, package)


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


class Process:
    """A command in a session and process group of its own, its output captured in a file.

    Args:
        command: program and arguments.
        cwd: working directory.
        env: variables added to the test's own; None as a value removes one.
        log: file that gets stdout and stderr; a temporary one by default.
        name: how errors call it.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        log: Path | None = None,
        name: str | None = None,
    ) -> None:
        self.command = [os.fspath(part) for part in command]
        self.name = name or Path(self.command[0]).name
        variables = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        if log is None:
            handle, path = tempfile.mkstemp(prefix=f"{self.name}-", suffix=".log")
            os.close(handle)
            self.log, self._own_log = Path(path), True
        else:
            self.log, self._own_log = log, False
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                cwd=cwd,
                env={key: value for key, value in variables.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._final_output = ""

    @property
    def pid(self) -> int:
        """The process's id, which is also that of its group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """Return all that was written to stdout and stderr until now."""
        if not self.log.exists():
            return self._final_output
        return self.log.read_text("utf-8", "replace")

    def wait_for_output(self, pattern: str, timeout: float = 20.0, *, start: int = 0) -> re.Match[str]:
        """Wait until a multi-line regular expression matches the output from position `start` on.

        Raises AssertionError with the end of the output after `timeout` seconds, or when the process ends first.
        """
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            ended = self.returncode is not None
            match = expression.search(self.output(), start)
            if match:
                return match
            if ended or time.monotonic() >= deadline:
                why = f"ended with {self.returncode}" if ended else f"did not within {timeout:g} s"
                raise AssertionError(f"{self.name} {why} before it wrote {pattern!r}:\n{self.output()[-6000:]}")
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal to the process itself, not to its children."""
        self._popen.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all of its group, as a terminal does for Ctrl-C."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM to the process itself."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the whole group and collect the process."""
        self.signal_group(signal.SIGKILL)
        self._popen.wait()

    def wait(self, timeout: float = 20.0) -> int:
        """Wait for the end and return the exit status; AssertionError with the output after `timeout` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            text = f"{self.name} did not end within {timeout:g} s:\n{self.output()[-6000:]}"
        raise AssertionError(text)

    def stop(self, timeout: float = 10.0) -> int:
        """End it by SIGTERM, after `timeout` seconds by SIGKILL, with whatever is left of its group."""
        if self.returncode is None:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout)
        self.kill()
        self._drop_log()
        return self._popen.returncode

    def _drop_log(self) -> None:
        if self._own_log and self.log.exists():
            self._final_output = self.output()
            self.log.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            # pytest shows what was printed only beside a failure.
            print(f"--- output of {self.name}\n{self.output()[-20_000:]}---", file=sys.stderr)
