"""Memory of idle sockets and the cost of an echo, against the number of sockets."""

import resource

from benchmarks.growth.system import Point, cpu_by_role, run_system
from benchmarks.matrix import BROKERS

__all__ = ["echo", "memory"]

#: Files that a process has besides its sockets.
_FILES = 300


def memory(*, quick: bool) -> list[Point]:
    """Measure an interface that holds more and more idle sockets, up to 20,000 or what the limit on files allows."""
    most = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _FILES)
    steps = [step for step in (1000, 2000, 5000, 10_000, 15_000) if step < most] + [most]
    with run_system("redis") as system:
        chosen = ",".join(map(str, steps[:2] if quick else steps))
        report = system.load("idle", "--url", system.urls("/echo"), "--steps", chosen, "--hold", 1, "--settle", 1)
    return [
        {
            "sockets": step["conns"],
            "interface_mib": round(step["rss_kib"]["interface"] / 1024, 1),
            "kib_per_socket": step["kib_per_conn"]["interface"],
            "connects_per_s": step["connects_per_s"],
            "cpu_us_per_connect": cpu_by_role(step["connect_cpu"], step["conns"] - before["conns"]),
            "errors": step["errors"],
        }
        for before, step in zip(report["steps"], report["steps"][1:], strict=False)
    ]


def echo(*, quick: bool) -> list[Point]:
    """Measure an echo of more and more sockets, on both brokers."""
    points = []
    for broker in BROKERS:
        with run_system(broker) as system:
            for sockets in (1, 100) if quick else (1, 10, 100, 1000, 5000):
                window = ["--conns", sockets, "--warmup", 1, "--duration", 1 if quick else 3]
                report = system.load("echo", "--url", system.urls("/echo"), *window)
                points.append(
                    {
                        "broker": broker,
                        "sockets": sockets,
                        "messages_per_s": report["msgs_per_s"],
                        "p50_ms": report["latency"]["p50_ms"],
                        "p99_ms": report["latency"]["p99_ms"],
                        "cpu_us": cpu_by_role(report["cpu"], max(1, report["messages"])),
                        "lost": report["wrong_payload"] + report["stalled"] + report["closed_early"],
                    }
                )
    return points
