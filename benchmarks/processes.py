"""The processes that are measured: servers of their own, an interface and a worker, all ended by pid."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.others.environment import OTHERS
from benchmarks.subjects import SUBJECTS
from tests.processes import is_listening
from tests.servers import Process, free_port, rabbitmq_server, redis_server, wait_until

__all__ = [
    "ROOT",
    "Running",
    "complaints",
    "interpreter",
    "run_interface",
    "run_servers",
    "run_worker",
    "start_interface",
]

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

    def start(self, role: str, command: Sequence[str], *, python: str = sys.executable) -> Process:
        """Start a process with an interpreter, by default the one that runs this."""
        process = Process(
            [python, "-m", *command], cwd=ROOT, env=dict(self.env), log=self.logs / f"{role}.log", name=role
        )
        self.pids[role] = process.pid
        return process

    def of(self, subject: str) -> "Running":
        """Return the same with the environment of a subject."""
        return replace(self, env={**self.env, **SUBJECTS[subject].env})


def interpreter(subject: str) -> str:
    """Return the interpreter that runs a subject."""
    return str(OTHERS) if SUBJECTS[subject].is_other else sys.executable


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
            "BENCH_SOCKET": str(logs / "floor.sock"),
            "REDIS_PORT": str(redis.port),
            "PYTHONPATH": str(ROOT),
        }
        yield Running(pids, env, logs, free_port())


@contextmanager
def run_worker(
    running: Running, subject: str, children: int = 1, role: str = "worker", level: str = "info"
) -> Iterator[Process]:
    """Run a subject's worker, and go on without waiting until it is ready.

    Args:
        running: the servers.
        subject: one of SUBJECTS.
        children: processes of its pool.
        role: its name.
        level: what it logs; at "info" that it is ready, and two lines for each task.
    """
    app = SUBJECTS[subject].worker or ""
    command = ["celery", "-A", app, "worker", "-P", "prefork", "-c", str(children), "-l", level]
    with running.start(role, [*command, "-n", f"{role}@localhost"]) as process:
        yield process


@contextmanager
def run_interface(running: Running, subject: str, children: int = 1) -> Iterator[Process]:
    """Run a subject's worker, if it has one, and its interface, both ready when the block begins."""
    chosen = SUBJECTS[subject]
    with ExitStack() as stack:
        if chosen.worker:
            worker = stack.enter_context(run_worker(running, subject, children))
            worker.wait_for_output(chosen.ready, timeout=60)
        yield stack.enter_context(start_interface(running, subject, running.port))


@contextmanager
def start_interface(running: Running, subject: str, port: int, role: str = "interface") -> Iterator[Process]:
    """Run an interface by itself, ready when the block begins."""
    command = SUBJECTS[subject].interface.format(port=port).split()
    with running.start(role, command, python=interpreter(subject)) as process:
        wait_until(lambda: _listens(process, port), timeout=60, what=f"the {role} to listen")
        yield process


def _listens(process: Process, port: int) -> bool:
    if process.returncode is not None:
        raise AssertionError(f"the interface ended with {process.returncode}:\n{process.output()[-2000:]}")
    return is_listening(port)


def complaints(logs: Path) -> list[str]:
    """Return the first lines of interface and worker that look like trouble."""
    found = []
    for log in sorted(logs.glob("*.log")):
        lines = log.read_text("utf-8", "replace").splitlines()
        bad = [line for line in lines if _COMPLAINT.search(line)]
        found += [f"{log.stem}: {line[:300]}" for line in bad[:_LINES]]
        if len(bad) > _LINES:
            found.append(f"{log.stem}: {len(bad) - _LINES} more such lines")
    return found
