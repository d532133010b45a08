"""An echo of 100 sockets through more workers and interfaces, and who uses the machine's cores meanwhile."""

import os

from benchmarks.growth.system import Point, cpu_by_role, run_system

__all__ = ["scale"]

_SOCKETS = 100
#: Interfaces, workers, and processes of each worker's pool.
_SHAPES = ((1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 4, 1), (2, 2, 1), (2, 4, 1))


def scale(*, quick: bool) -> list[Point]:
    """Measure each shape on RabbitMQ, which shares a queue among workers."""
    points = []
    for interfaces, workers, children in _SHAPES[:2] if quick else _SHAPES:
        with run_system("rabbitmq", interfaces=interfaces, workers=workers, children=children) as system:
            window = ["--conns", _SOCKETS, "--warmup", 1, "--duration", 1 if quick else 4]
            report = system.load("echo", "--url", system.urls("/echo"), *window)
        cpu = report["cpu"]
        seconds = cpu["wall_s"]
        points.append(
            {
                "interfaces": interfaces,
                "workers": workers,
                "children": children,
                "messages_per_s": report["msgs_per_s"],
                "p50_ms": report["latency"]["p50_ms"],
                "cpu_us": cpu_by_role(cpu, max(1, report["messages"])),
                # of one core each, by role; the client is the load kit itself
                "cores": cpu_by_role(cpu, 1e6 * seconds) | {"client": round(cpu["client"]["cpu_s"] / seconds, 2)},
                "all_cores": os.cpu_count(),
                "lost": report["wrong_payload"] + report["stalled"] + report["closed_early"],
            }
        )
    return points
