"""The curves in figures: the ends of each, and what a million sockets need by the measured costs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.growth.system import Point
from benchmarks.tables import markdown

__all__ = ["ends", "million"]

Curves = Mapping[str, Mapping[str, Any]]

_SOCKETS = 1_000_000
#: What each of them does: seconds between two messages it sends, between two it gets from a group, and of its life.
_SENDS_EVERY, _GETS_EVERY, _LIVES = 60, 10, 3600
_MEMBERS = 100
#: How busy a core may be, and a single-threaded server.
_BUSY = 0.5
#: Sockets of one interface process, as CONFIG["connections"] has it.
_OF_ONE = 20_000


def ends(curves: Curves) -> str:
    """Return a table of what the first and the last point of each curve say, and when they were measured."""
    lines = []
    for part, axis, unit, what in _ENDS:
        for points in _by_broker(curves.get(part, {}).get("points", ())):
            first, last = points[0], points[-1]
            broker = f", {points[0]['broker']}" if "broker" in points[0] else ""
            shown = [f"{_count(point[axis], unit)}: {_value(point, what):,.2f}" for point in (first, last)]
            lines.append([f"{_NAMES[what]}{broker}", *shown])
    for point in curves.get("backlog", {}).get("points", ()):
        worker = [seen[1] for seen in point["memory"]]
        # the first seconds are its start, the last ones its end
        middle = worker[len(worker) // 5 : -3] or worker
        name = f"worker's MiB while {point['ran']:,} messages are drained, {point['broker']}"
        lines.append([name, f"lowest: {min(middle):,.0f}", f"highest: {max(middle):,.0f}"])
    when = sorted({f"{part['measured']['date'][:10]}, commit {part['measured']['commit']}" for part in curves.values()})
    machine = sorted({part["measured"]["machine"] for part in curves.values()})
    table = markdown("", ["", "from", "to"], lines)
    load = max(part["measured"]["load"] for part in curves.values())
    return f"Measured {'; '.join(when)}, on {'; '.join(machine)}; load average at most {load:g}.\n\n{table}"


_NAMES = {
    "send_call_ms": "group send, p50 of the call in ms",
    "kib_per_socket": "KiB of the interface process for each idle socket",
    "cpu_us": "us of CPU an echo, all processes",
    "channels_us": "us to find a consumer, each route for a channel of its own",
    "paths_us": "us to find a consumer, all routes for one channel, by path",
    "redis": "us of Redis's CPU a group send",
}
#: Part, axis, its unit, value.
_ENDS = (
    ("members", "members", "members", "send_call_ms"),
    ("nodes", "nodes", "nodes", "send_call_ms"),
    ("nodes", "nodes", "nodes", "redis"),
    ("groups", "groups", "groups", "send_call_ms"),
    ("memory", "sockets", "sockets", "kib_per_socket"),
    ("echo", "sockets", "sockets", "cpu_us"),
    ("routes", "routes", "routes", "channels_us"),
    ("routes", "routes", "routes", "paths_us"),
)


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def _by_broker(points: Sequence[Point]) -> list[list[Point]]:
    brokers = dict.fromkeys(point.get("broker") for point in points)
    return [[point for point in points if point.get("broker") == broker] for broker in brokers]


def _value(point: Point, what: str) -> float:
    if what == "redis":
        return float(point["cpu_us_per_send"]["redis"])
    value = point[what]
    return float(sum(value.values()) if isinstance(value, dict) else value)


def million(curves: Curves) -> str:
    """Return what a million sockets need, on paper, from the curves "memory", "members", "nodes" and "echo"."""
    if not {"memory", "members", "nodes", "echo"} <= set(curves):
        return "Not all of its costs have been measured."
    nodes = _SOCKETS // _OF_ONE
    sent, got = _SOCKETS / _SENDS_EVERY, _SOCKETS / _GETS_EVERY
    sends, connects = got / _MEMBERS, _SOCKETS / _LIVES
    echo = next(point for point in curves["echo"]["points"] if point["broker"] == "rabbitmq" and point["sockets"] > 50)
    memory = max(curves["memory"]["points"], key=lambda point: point["sockets"])
    delivery = min(point["cpu_us_per_send"]["interface"] / point["members"] for point in curves["members"]["points"])
    connect: Mapping[str, float] = memory["cpu_us_per_connect"]
    # members of a group are anywhere, so that each send has an entry for nearly every node that can hold one
    met = nodes * (1 - (1 - 1 / nodes) ** _MEMBERS)
    few, many = curves["nodes"]["points"][0], curves["nodes"]["points"][-1]
    each = (_value(many, "redis") - _value(few, "redis")) / (many["nodes"] - few["nodes"])
    of_send = _value(few, "redis") + max(each, 0) * (met - 1)
    # reading an entry costs an interface what a send to few members costs it
    entry = _value({"x": curves["members"]["points"][0]["cpu_us_per_send"]["interface"]}, "x")

    used = {
        "interface": sent * echo["cpu_us"]["interface"]
        + connects * connect["interface"]
        + got * delivery
        + sends * met * entry,
        "worker": sent * echo["cpu_us"]["worker"] + connects * connect["worker"],
        "redis": sent * echo["cpu_us"]["redis"] + connects * connect["redis"] + sends * of_send,
        "broker": sent * echo["cpu_us"]["broker"] + connects * connect.get("broker", echo["cpu_us"]["broker"]),
    }
    cores = {role: us / 1e6 for role, us in used.items()}
    gib = memory["kib_per_socket"] * _SOCKETS / 1024**2
    base = memory["interface_mib"] - memory["kib_per_socket"] * memory["sockets"] / 1024
    by_cores = math.ceil(cores["interface"] / _BUSY)
    lines = [
        [
            "interface processes",
            f"{max(nodes, by_cores)}",
            f"{nodes} by their sockets ({_OF_ONE:,} each), {by_cores} by their {cores['interface']:.1f} cores; "
            f"{gib + nodes * base / 1024:,.0f} GiB in all",
        ],
        ["pool processes of workers", f"{math.ceil(cores['worker'] / _BUSY)}", f"{cores['worker']:.1f} cores"],
        ["Redis servers for replies and groups", f"{max(1, math.ceil(cores['redis'] / _BUSY))}",
         f"{cores['redis']:.2f} cores; a send to {_MEMBERS} members reaches {met:.0f} of {nodes} nodes"],
        ["RabbitMQ", _count(max(1, math.ceil(cores["broker"] / _BUSY)), "cores"), f"{cores['broker']:.2f} cores busy"],
    ]  # fmt: skip
    return markdown("", ["what", "how many", "from"], lines)
