"""`python -m benchmarks.large_bodies`: large uploads and downloads by slow clients, and what they cost everyone else.

Ten clients upload 50 MB and ten download 50 MB, at 1 MB/s each, through an interface and two worker children, while
another client asks for a small page ten times a second. Prints how much memory each process took beyond what it had
after a warm-up, and how long the small page took.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

from benchmarks.processes import Running, complaints, run_interface, run_servers

__all__ = ["Load", "Report", "measure"]

_MIB = 1024 * 1024
#: Seconds between two pieces of a slow client.
_TICK = 0.05
_BOUNDARY = b"a-boundary-that-no-body-has"


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients do.

    Args:
        clients: that upload, and as many that download.
        size: bytes of each body.
        rate: bytes a second of each.
    """

    clients: int = 10
    size: int = 50_000_000
    rate: int = 1_000_000


@dataclass(slots=True)
class Report:
    """What came of it.

    Args:
        before: bytes by process after the warm-up.
        peak: the most bytes by process during the load.
        seconds: that each small page took.
        took: seconds that all of it took.
        faults: what went wrong.
    """

    before: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    took: float = 0.0
    faults: list[str] = field(default_factory=list)

    def growth(self, process: str) -> float:
        """Return MiB that a process took beyond what it had."""
        return (self.peak[process] - self.before[process]) / _MIB

    def percentile(self, part: float) -> float:
        """Return milliseconds that this part of the small pages did not exceed."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def measure(broker: str, load: Load) -> Report:
    """Run the load on servers and processes of its own.

    Args:
        broker: "redis" or "rabbitmq".
        load: what the clients do.
    """
    report = Report()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, run_servers(broker, Path(directory)) as running:
        running = Running(running.pids, {**running.env, "BENCH_HTTP": "worker"}, running.logs, running.port)
        with run_interface(running, "channelcelery", children=2):
            asyncio.run(_clients(running.port, Load(1, _MIB, 100 * _MIB), Report()))
            asyncio.run(_clients(running.port, Load(2, _MIB, 100 * _MIB), Report()))
            watch = _Watch(running, report)
            watch.start()
            begun = time.monotonic()
            asyncio.run(_clients(running.port, load, report))
            report.took = time.monotonic() - begun
            watch.stop()
        report.faults += complaints(running.logs)
    return report


class _Watch(threading.Thread):
    """Reads how much memory everyone has, twenty times a second."""

    def __init__(self, running: Running, report: Report) -> None:
        super().__init__(daemon=True)
        self._report = report
        self._redis = redis.Redis(port=int(running.env["REDIS_PORT"]))
        self._pids = {"interface": running.pids["interface"]}
        for number, pid in enumerate(_children(running.pids["worker"]), 1):
            self._pids[f"worker child {number}"] = pid
        self._ends = threading.Event()
        report.before = self._read()
        report.peak = dict(report.before)

    def _read(self) -> dict[str, int]:
        found = {name: _resident(pid) for name, pid in self._pids.items()}
        return {**found, "Redis": int(self._redis.info("memory")["used_memory"])}  # type: ignore[index]

    def run(self) -> None:
        while not self._ends.wait(0.05):
            for name, size in self._read().items():
                self._report.peak[name] = max(self._report.peak[name], size)

    def stop(self) -> None:
        """End, and close what was opened."""
        self._ends.set()
        self.join()
        self._redis.close()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _clients(port: int, load: Load, report: Report) -> None:
    slow = [_upload(port, load) for _ in range(load.clients)] + [_download(port, load) for _ in range(load.clients)]
    small = asyncio.create_task(_small_pages(port, report))
    results = await asyncio.gather(*slow, return_exceptions=True)
    small.cancel()
    await asyncio.wait({small})
    report.faults += [f"{type(result).__name__}: {result}" for result in results if isinstance(result, BaseException)]


@asynccontextmanager
async def _connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _small_pages(port: int, report: Report) -> None:
    """Ask for a small page ten times a second, on connections of their own; a late answer holds up no other."""
    async with asyncio.TaskGroup() as asking:
        while True:
            asking.create_task(_small_page(port, report))
            await asyncio.sleep(0.1)


async def _small_page(port: int, report: Report) -> None:
    begun = time.monotonic()
    async with _connection(port) as (reader, writer):
        writer.write(b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    report.seconds.append(time.monotonic() - begun)
    if not answer.startswith(b"HTTP/1.1 200 "):
        report.faults.append(f"the small page: {answer[:100]!r}")


async def _upload(port: int, load: Load) -> None:
    head = b'--%b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' % _BOUNDARY
    tail = b"\r\n--%b--\r\n" % _BOUNDARY
    length = len(head) + load.size + len(tail)
    request = (
        b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=%b\r\n\r\n%b" % (length, _BOUNDARY, head)
    )
    left, piece = load.size, int(load.rate * _TICK)
    async with _connection(port) as (reader, writer):
        writer.write(request)
        begun, ticks = time.monotonic(), 0
        while left:
            writer.write(b"a" * min(piece, left))
            left -= min(piece, left)
            await writer.drain()
            ticks += 1
            await asyncio.sleep(max(0.0, begun + ticks * _TICK - time.monotonic()))
        writer.write(tail)
        answer = await reader.read()
    if not answer.endswith(b"\r\n%d" % load.size):
        raise AssertionError(f"an upload was answered {answer[-200:]!r}")


async def _download(port: int, load: Load) -> None:
    piece, got = int(load.rate * _TICK), 0
    async with _connection(port) as (reader, writer):
        writer.write(b"GET /download?%d HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % load.size)
        head = await reader.readuntil(b"\r\n\r\n")
        begun = time.monotonic()
        while data := await reader.read(piece):
            got += len(data)
            await asyncio.sleep(max(0.0, begun + got / load.rate - time.monotonic()))
    if not head.startswith(b"HTTP/1.1 200 ") or got != load.size:
        raise AssertionError(f"a download brought {got} bytes of {load.size}: {head[:100]!r}")


def _print(broker: str, load: Load, report: Report) -> None:
    print(
        f"\n{broker}: {load.clients} uploads and {load.clients} downloads of {load.size / 1e6:g} MB at "
        f"{load.rate / 1e6:g} MB/s, {report.took:.0f} s"
    )
    for name, before in report.before.items():
        print(f"  {name:15} {before / _MIB:7.1f} MiB  +{report.growth(name):.1f} MiB at most")
    print(
        f"  small page      p50 {report.percentile(0.5):.0f} ms, p99 {report.percentile(0.99):.0f} ms, "
        f"longest {report.percentile(1):.0f} ms, {len(report.seconds)} of them"
    )
    for fault in report.faults[:10]:
        print(f"  wrong: {fault}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure on the brokers asked for, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_bodies", description=__doc__)
    parser.add_argument("--broker", choices=["redis", "rabbitmq"], action="append")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--rate", type=float, default=1.0, help="MB/s of each client")
    options = parser.parse_args(arguments)
    load = Load(options.clients, options.megabytes * 1_000_000, int(options.rate * 1_000_000))
    faults = 0
    for broker in options.broker or ["redis", "rabbitmq"]:
        report = measure(broker, load)
        _print(broker, load, report)
        faults += len(report.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
