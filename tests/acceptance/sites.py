"""The example site as a person starts it: real processes, found by a port, with a database of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

from tests.processes import is_listening
from tests.servers import LOOPBACK, Process, free_port, wait_until

__all__ = ["BIN", "ROOT", "Site", "open_socket", "program", "wait_for_worker"]

ROOT = Path(__file__).resolve().parent.parent.parent
#: The programs of the environment in which the tests run.
BIN = Path(sys.executable).parent
#: What a shell of the tests' own holds and a user's does not.
_NOT_OURS = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "CELERY_BROKER_URL", "CHANNEL_LAYER_URL", "DEBUG", "SECRET_KEY")


def program(name: str) -> str:
    """Return the path of a program of the tests' environment."""
    return str(BIN / name)


def open_socket(port: int, path: str) -> ClientConnection:
    """Open a WebSocket; a context manager that closes it."""
    return connect(f"ws://{LOOPBACK}:{port}{path}", proxy=None, open_timeout=20, close_timeout=1)


@dataclass
class Site:
    """The example site, not yet started.

    Args:
        directory: where its database and its logs are.
        broker: CELERY_BROKER_URL, or None to leave it unset.
        layer: CHANNEL_LAYER_URL, likewise.
        root: the working copy that it is started from.
        environment: more variables; None as a value removes one.
        port: where it listens.
    """

    directory: Path
    broker: str | None = None
    layer: str | None = None
    root: Path = ROOT
    environment: dict[str, str | None] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """The address for a browser."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.directory / "db.sqlite3"

    def env(self) -> dict[str, str | None]:
        """Return what is added to the tests' own environment."""
        return {
            **dict.fromkeys(_NOT_OURS),
            "CELERY_BROKER_URL": self.broker,
            "CHANNEL_LAYER_URL": self.layer,
            "EXAMPLE_DATABASE": str(self.database),
            **self.environment,
        }

    def manage(self, *arguments: str) -> list[str]:
        """Return the command line of manage.py."""
        return [sys.executable, str(self.root / "example_site" / "manage.py"), *arguments]

    def run(self, command: Sequence[str], timeout: float = 60) -> str:
        """Run a command to its end and return what it printed; it must succeed."""
        variables = {key: value for key, value in {**os.environ, **self.env()}.items() if value is not None}
        done = subprocess.run(
            command, cwd=self.root, env=variables, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: Sequence[str], *, name: str, cwd: Path | None = None) -> Process:
        """Start a process of the site; its log stays in the directory."""
        return Process(command, cwd=cwd or self.root, env=self.env(), name=name, log=self.directory / f"{name}.log")

    @contextmanager
    def demo(self, *arguments: str) -> Iterator[Process]:
        """Run interface and worker in one process, ready when the block begins."""
        command = self.manage("runserver", "--noreload", *arguments, f"{LOOPBACK}:{self.port}")
        with self.start(command, name="runserver") as process:
            self.wait_for_interface(process)
            yield process

    @contextmanager
    def interface(self, *arguments: str, name: str = "interface", port: int | None = None) -> Iterator[Process]:
        """Run the process that holds sockets, ready when the block begins."""
        port = port or self.port
        command = self.manage("runinterface", "--host", LOOPBACK, "--port", str(port), *arguments)
        with self.start(command, name=name) as process:
            self.wait_for_interface(process, port)
            yield process

    @contextmanager
    def worker(self, *arguments: str, name: str = "worker") -> Iterator[Process]:
        """Run a Celery worker, ready when the block begins."""
        command = [program("celery"), "-A", "example_site", "worker", "--loglevel", "info", *arguments]
        with self.start(command, name=name) as process:
            wait_for_worker(process)
            yield process

    @contextmanager
    def production(self, *arguments: str) -> Iterator[tuple[Process, Process]]:
        """Run an interface and a worker, given `arguments`; both start at the same time."""
        interface = self.manage("runinterface", "--host", LOOPBACK, "--port", str(self.port))
        with self.start(interface, name="interface") as process, self.worker(*arguments) as worker:
            self.wait_for_interface(process)
            yield process, worker

    def wait_for_interface(self, process: Process, port: int | None = None) -> None:
        """Wait until a process takes sockets."""
        process.wait_for_output(r"sockets are taken", timeout=40)
        wait_until(lambda: is_listening(port or self.port), timeout=20, what=f"{process.name} to listen")

    def socket(self, path: str) -> ClientConnection:
        """Open a socket of the site; a context manager that closes it."""
        return open_socket(self.port, path)


def wait_for_worker(process: Process) -> None:
    """Wait until a worker runs consumers."""
    process.wait_for_output(r"running \d+ channels", timeout=40)
