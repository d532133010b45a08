"""A million best-effort messages that wait, and the memory of the worker that drains them."""

import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.drain import drain
from benchmarks.growth.system import Point
from benchmarks.kit.procstat import snapshot
from benchmarks.matrix import BROKERS, Measurement
from benchmarks.processes import Running, run_servers
from benchmarks.subjects import PRODUCT

__all__ = ["backlog"]

_MESSAGES = 1_000_000
#: Seconds between two looks at the memory.
_EVERY = 1.0


def backlog(*, quick: bool) -> list[Point]:
    """Fill a channel on each broker, and drain it by one worker with one process."""
    points = []
    for broker in BROKERS:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory, run_servers(broker, Path(directory)) as servers:
            running = servers.of(PRODUCT)
            with _Watch(running) as watch:
                report = drain(running, Measurement("queue", broker, PRODUCT, 64), 30_000 if quick else _MESSAGES)
        points.append(
            {
                "broker": broker,
                "messages": report["messages"],
                "ran": report["ran"],
                "drained_per_s": report["drain_per_s"],
                "sent_per_s": report["publish_per_s"],
                "memory": watch.seen,
            }
        )
    return points


class _Watch:
    """Looks at the worker's memory as long as there is one."""

    def __init__(self, running: Running) -> None:
        #: [seconds since the first look, MiB of the worker and its child, MiB of what holds the queue]
        self.seen: list[tuple[float, float, float]] = []
        self._running = running
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        begun = None
        while not self._ended.wait(_EVERY):
            usages = snapshot(dict(self._running.pids)).usages
            worker = usages.get("worker")
            if worker is not None and worker.alive:
                begun = begun or time.monotonic()
                holder = usages.get("broker", usages["redis"])
                seconds = round(time.monotonic() - begun, 1)
                self.seen.append((seconds, round(worker.rss_kib / 1024, 1), round(holder.rss_kib / 1024, 1)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
