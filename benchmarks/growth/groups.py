"""A group send against its members, against the nodes that hold them, and against the groups that there are."""

import shlex
import sys
from typing import Any

from benchmarks.growth.system import Point, System, cpu_by_role, run_system

__all__ = ["groups", "members", "nodes"]

_SENDER = shlex.join([sys.executable, "-m", "benchmarks.project.sender"])
#: Sockets that are in all groups of a measurement together, and the most that each may be in.
_SOCKETS, _MOST = 100, 1_000


def members(*, quick: bool) -> list[Point]:
    """Measure a send to more and more members of one interface."""
    with run_system("redis") as system:
        counts = (10, 100, 1000) if quick else (10, 100, 1000, 5000, 10_000)
        return [{"members": count} | _send(system, system.urls("/group"), count, 20) for count in counts]


def nodes(*, quick: bool) -> list[Point]:
    """Measure a send to ten members on each of more and more nodes."""
    counts = (1, 2, 4) if quick else (1, 2, 4, 8, 16)
    with run_system("redis", interfaces=counts[-1]) as system:
        return [{"nodes": count} | _send(system, system.urls("/group", count), 10 * count, 300) for count in counts]


def groups(*, quick: bool) -> list[Point]:
    """Measure a send to one group of 100 members that are in more and more other groups."""
    points = []
    with run_system("redis") as system:
        for count in (10, 1000) if quick else (10, 100, 1000, 10_000, 100_000):
            each = min(-(-count // _SOCKETS), _MOST - 1)
            urls = ",".join(system.urls(f"/groups/{min(count, turn * each)}/{each}") for turn in range(_SOCKETS))
            points.append({"groups": count} | _send(system, urls, _SOCKETS, 100, handshakes=4))
    return points


def _send(system: System, urls: str, sockets: int, sends: int, handshakes: int = 50) -> Point:
    counts = ["--conns", sockets, "--sends", sends, "--connect-concurrency", handshakes]
    report = system.load("group", "--url", urls, *counts, "--sender", _SENDER, "--duration", 1, "--settle", 1)
    found: dict[str, Any] = report["one_by_one"]
    return {
        "sockets": report["connected"],
        "send_call_ms": found["send_call"]["p50_ms"],
        "to_last_ms": found["to_last"]["p50_ms"],
        "sender_cpu_us": found["send_cpu_us"],
        "cpu_us_per_send": cpu_by_role(found["cpu"], found["sends"]),
        "cpu_us_per_delivery": found["cpu"].get("server_cpu_us_per"),
        "rss_mib": {name: round(row["rss_kib"] / 1024, 1) for name, row in found["cpu"]["procs"].items()},
        "lost": found["lost"] + report["paced"]["lost"],
    }
