"""The processes that are measured: servers of their own, an interface and a worker, all ended by pid."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import is_listening
from tests.servers import LOOPBACK, Process, free_port, rabbitmq_server, redis_server, wait_until

__all__ = ["ROOT", "Running", "complaints", "run_interface", "run_servers", "run_worker"]

ROOT = Path(__file__).resolve().parent.parent

# not Celery's advice against running as root, as containers do
_COMPLAINT = re.compile(r"\b(WARNING|ERROR|CRITICAL)\b|^Traceback|\b(?!Security)\w*(Error|Warning|Exception)\b")
#: How many lines of a log are kept.
_LINES = 5


@dataclass(frozen=True, slots=True)
class Running:
    """Empty servers, and what joins them.

    Args:
        pids: process ids by role; those of interface and worker come as they start.
        env: the environment of whatever talks to them.
        logs: the directory of logs.
        port: where the interface listens.
    """

    pids: dict[str, int]
    env: Mapping[str, str]
    logs: Path
    port: int

    def start(self, role: str, command: Sequence[str]) -> Process:
        """Start a process with the interpreter that runs this."""
        process = Process(
            [sys.executable, "-m", *command], cwd=ROOT, env=dict(self.env), log=self.logs / f"{role}.log", name=role
        )
        self.pids[role] = process.pid
        return process


@contextmanager
def run_servers(broker: str, logs: Path) -> Iterator[Running]:
    """Run an empty Redis and, for "rabbitmq", an empty RabbitMQ; on Redis the broker has a database of its own."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        pids, url = {"redis": redis.pid}, redis.database(1)
        if broker == "rabbitmq":
            rabbit = stack.enter_context(rabbitmq_server())
            pids["broker"], url = rabbit.pid, rabbit.url
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.project.settings",
            "CELERY_BROKER_URL": url,
            "CHANNEL_LAYER_URL": redis.url,
            "BROKER": url,
            "BENCH_DATABASE": str(logs / "db.sqlite3"),
            "REDIS_PORT": str(redis.port),
            "PYTHONPATH": str(ROOT),
        }
        yield Running(pids, env, logs, free_port())


@contextmanager
def run_worker(running: Running, app: str, children: int = 1) -> Iterator[Process]:
    """Run a worker of a Celery app, and go on without waiting until it is ready."""
    command = ["celery", "-A", app, "worker", "-P", "prefork", "-c", str(children), "-l", "info"]
    with running.start("worker", command) as process:
        yield process


@contextmanager
def run_interface(running: Running, subject: str, children: int = 1) -> Iterator[Process]:
    """Run a worker and an interface, both ready when the block begins; gives the interface."""
    app = "benchmarks.project" if subject == "channelcelery" else "benchmarks.floor.worker"
    with run_worker(running, app, children) as worker:
        worker.wait_for_output(r"running \d+ channels" if subject == "channelcelery" else r" ready\.", timeout=60)
        with running.start("interface", _interface_command(subject, running.port)) as process:
            wait_until(lambda: _listens(process, running.port), timeout=30, what="the interface to listen")
            yield process


def _interface_command(subject: str, port: int) -> list[str]:
    if subject == "channelcelery":
        return ["django", "runinterface", "--host", LOOPBACK, "--port", str(port)]
    options = "--ws websockets-sansio --loop uvloop --ws-per-message-deflate false --log-level warning"
    return ["uvicorn", "benchmarks.floor.interface:app", "--port", str(port), *options.split()]


def _listens(process: Process, port: int) -> bool:
    if process.returncode is not None:
        raise AssertionError(f"the interface ended with {process.returncode}:\n{process.output()[-2000:]}")
    return is_listening(port)


def complaints(logs: Path) -> list[str]:
    """Return the first lines of interface and worker that look like trouble."""
    found = []
    for role in ("interface", "worker"):
        log = logs / f"{role}.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        bad = [line for line in lines if _COMPLAINT.search(line)]
        found += [f"{role}: {line[:300]}" for line in bad[:_LINES]]
        if len(bad) > _LINES:
            found.append(f"{role}: {len(bad) - _LINES} more such lines")
    return found
