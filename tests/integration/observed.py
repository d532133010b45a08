"""A site of real processes as operators see it: an interface and a worker, asked over HTTP."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import ClientConnection, connect

from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import is_listening
from tests.servers import Process, free_port, wait_until

#: Values by the sample's name and those of its labels, in the labels' alphabetical order.
Samples = dict[tuple[str, ...], float]


@dataclass
class Asked:
    """A process that tells of itself.

    Args:
        process: it.
        port: where it is asked.
    """

    process: Process
    port: int

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Return status and text."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode().strip()
        finally:
            connection.close()

    def samples(self) -> Samples:
        """Return the metrics as Prometheus's own parser reads them, without the prefix."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return {
            (sample.name.removeprefix("channelcelery_"), *(value for _, value in sorted(sample.labels.items()))): (
                sample.value
            )
            for family in text_string_to_metric_families(text + "\n")
            for sample in family.samples
        }

    def wait_for(self, timeout: float = 10.0, **expected: Any) -> Samples:
        """Wait until metrics have values; `name__label=value`, or a dict by label."""

        def check() -> Samples | None:
            seen = self.samples()
            wanted = {
                (name, *((label,) if isinstance(label, str) else label)): value
                for name, values in expected.items()
                for label, value in (values.items() if isinstance(values, dict) else [((), values)])
            }
            last.clear()
            last.update({key: seen.get(key) for key in wanted})
            return seen if last == wanted else None

        last: dict[Any, Any] = {}
        return wait_until(check, timeout=timeout, what=f"{expected}, seen {last}")


def metrics_port(process: Process) -> int:
    """Return the port that a process says it is asked at."""
    return int(process.wait_for_output(r"metrics at http://127\.0\.0\.1:(\d+)/metrics", timeout=30)[1])


@dataclass
class Site:
    """Both processes, and where sockets are opened."""

    setup: WorkerSetup
    interface: Asked
    worker: Asked
    port: int

    @contextmanager
    def socket(self, path: str) -> Iterator[ClientConnection]:
        """Open a socket."""
        with connect(f"ws://127.0.0.1:{self.port}{path}", compression=None, proxy=None) as client:
            yield client


@contextmanager
def site(setup: WorkerSetup, *worker_arguments: str, concurrency: int = 2, pool: str = "prefork") -> Iterator[Site]:
    """Run an interface and a worker for the length of a block."""
    port = free_port()
    command = [sys.executable, "-m", "django", "runinterface", "--port", str(port), "--metrics", "0"]
    with (
        setup.start(pool, concurrency, ["--metrics", "0", *worker_arguments]) as worker,
        Process(command, env=setup.env(), cwd=ROOT, name="interface") as interface,
    ):
        worker.wait_for_output(r"running \d+ channels", timeout=30)
        asked = Asked(interface, metrics_port(interface))
        wait_until(lambda: asked.get("/ready")[0] == 200, what="the interface to be ready")
        assert is_listening(port), "it is ready once it listens"
        yield Site(setup, asked, Asked(worker, metrics_port(worker)), port)


def manage(setup: WorkerSetup, *arguments: str) -> Process:
    """Start a command of the project."""
    return Process([sys.executable, "-m", "django", *arguments], env=setup.env(), cwd=ROOT, name=arguments[0])
