"""A running system that several points of a curve are measured on, one after the other."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import Running, run_servers, run_worker, start_interface
from benchmarks.starting import run_kit
from benchmarks.subjects import PRODUCT, SUBJECTS
from tests.servers import free_port

__all__ = ["Point", "System", "cpu_by_role", "run_system"]

#: One point of a curve: numbers by what they are.
Point = dict[str, Any]


class System:
    """Servers, workers and interfaces.

    Args:
        running: the servers and all processes.
        ports: of the interfaces.
    """

    def __init__(self, running: Running, ports: list[int]) -> None:
        self.running = running
        self.ports = ports

    def urls(self, path: str, nodes: int | None = None) -> str:
        """Return the URLs of a path at some interfaces, or at all, with commas between them."""
        return ",".join(f"ws://127.0.0.1:{port}{path}" for port in self.ports[:nodes])

    def load(self, *arguments: object) -> dict[str, Any]:
        """Run the load kit beside it.

        Raises:
            RuntimeError: the kit failed.
        """
        report = run_kit(self.running, [str(argument) for argument in arguments])
        if "error" in report:
            raise RuntimeError(report["error"])
        return report


@contextmanager
def run_system(broker: str, *, interfaces: int = 1, workers: int = 1, children: int = 1) -> Iterator[System]:
    """Run empty servers, workers and interfaces, all ready when the block begins.

    Args:
        broker: "redis" or "rabbitmq".
        interfaces: how many processes hold sockets.
        workers: how many workers run.
        children: processes of each worker's pool.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, ExitStack() as stack:
        servers = stack.enter_context(run_servers(broker, Path(directory)))
        running = servers.of(PRODUCT)
        started = [
            stack.enter_context(run_worker(running, PRODUCT, children, role=f"worker{number or ''}"))
            for number in range(workers)
        ]
        for worker in started:
            worker.wait_for_output(SUBJECTS[PRODUCT].ready, timeout=120)
        ports = [free_port() for _ in range(interfaces)]
        for number, port in enumerate(ports):
            stack.enter_context(start_interface(running, PRODUCT, port, role=f"interface{number or ''}"))
        yield System(running, ports)


def cpu_by_role(cpu: dict[str, Any], per: float) -> dict[str, float]:
    """Return microseconds of CPU by role, those of several processes of a role together.

    Args:
        cpu: of a report of the kit.
        per: the messages or sends to divide by.
    """
    found: dict[str, float] = {}
    for name, row in cpu["procs"].items():
        role = name.rstrip("0123456789")
        found[role] = found.get(role, 0) + row["cpu_s"] * 1e6 / per
    return {role: round(value, 2) for role, value in found.items()}
