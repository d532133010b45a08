"""The goals, with what was reached beside them."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.matrix import BROKERS, Measurement
from benchmarks.measure import Row
from benchmarks.ratios import label, pairs
from benchmarks.subjects import PRODUCT
from benchmarks.tables import cell, look_up, markdown, ratio_cell

__all__ = ["TARGETS", "Target", "goals", "in_short", "targets"]


@dataclass(frozen=True, slots=True)
class Target:
    """One goal.

    Args:
        measurement: where it is measured.
        what: in words, with the unit.
        path: of the number in the report.
        limit: what it is to be.
        is_least: whether it is to be that at least, rather than at most.
        beside: the subject whose same number it is divided by, if it is a ratio.
    """

    measurement: Measurement
    what: str
    path: str
    limit: float
    is_least: bool = False
    beside: str = ""


def _of(part: str, broker: str, subject: str, size: int, *goals: tuple[Any, ...]) -> list[Target]:
    return [Target(Measurement(part, broker, subject, size), *goal) for goal in goals]


_CPU = "cpu.server_cpu_us_per"
_FLOOR = ("CPU / floor", _CPU, 1.4, False, "floor")


def _echo(broker: str) -> list[Target]:
    goals = (("messages/s", "msgs_per_s", 10_000, True), ("CPU us/message", _CPU, 150), _FLOOR)
    return [
        *_of("echo", broker, PRODUCT, 100, *goals),
        *_of("echo", broker, PRODUCT, 1, ("p50 ms", "latency.p50_ms", 1.3)),
    ]


def _group(size: int, to_last: float) -> list[Target]:
    return _of(
        "group", "redis", PRODUCT, size,
        ("send call p50 ms", "one_by_one.send_call.p50_ms", 0.5),
        ("to last p50 ms", "one_by_one.to_last.p50_ms", to_last),
        ("deliveries/s", "one_by_one.deliveries_per_s", 60_000, True),
        ("CPU us/delivery", f"one_by_one.{_CPU}", 14),
        ("CPU / bare writes", f"one_by_one.{_CPU}", 1.3, False, "bare writes"),
        ("lost of a paced stream", "paced.lost", 0),
    )  # fmt: skip


def _others(broker: str) -> list[Target]:
    connecting = (
        ("connects/s", "steps.1.connects_per_s", 1_500, True),
        ("CPU us/connect", f"steps.1.connect_{_CPU}", 700),
    )
    page = (("requests/s", "req_per_s", 1_500, True), ("CPU us/request", _CPU, 850))
    queue = ("messages/s", "drain_per_s", 15_000, True)
    least = 2.0 if broker == "redis" else 1.0
    task = ("rate / Celery task, acks_late", "drain_per_s", least, True, "Celery task, acks_late")
    return [
        *_of("idle", broker, PRODUCT, 5000, *connecting),
        *_of("http", broker, PRODUCT, 32, *page),
        *_of("queue", broker, PRODUCT, 64, queue),
        *_of("queue", broker, PRODUCT, 1, queue),
        *_of("reliable", broker, "channelcelery, reliable", 1, task),
    ]


_ASGI = "Django's ASGI handler, uvicorn"
TARGETS: Sequence[Target] = (
    *(target for broker in BROKERS for target in _echo(broker)),
    *_group(1000, 20),
    *_group(5000, 90),
    *_of("idle", "redis", PRODUCT, 5000, ("KiB/socket, deflate off", "steps.1.kib_per_conn.interface", 12)),
    *(target for broker in BROKERS for target in _others(broker)),
    *_of("http", "redis", "channelcelery, inline", 32, (f"rate / {_ASGI}", "req_per_s", 1.0, True, _ASGI)),
)


def targets(rows: Sequence[Row]) -> str:
    """Return the table of all goals for which there are rows, under its title."""
    return f"### Goals\n\n{table}" if (table := goals(rows)) else ""


def goals(rows: Sequence[Row]) -> str:
    """Return the table alone."""
    lines = []
    for target in TARGETS:
        values, reached = _reached(rows, target)
        if values:
            size = "" if target.measurement.part == "http" else f"{target.measurement.size:,}"
            goal = f"{'at least' if target.is_least else 'at most'} {target.limit:,g}"
            what = f"{target.measurement.part}: {target.what}"
            lines.append([label(target.measurement), size, what, goal, reached, _verdict(target, values)])
    return markdown("", ["", "sockets, or sent together", "what", "goal", "reached", ""], lines)


_SHORT = {
    Measurement("echo", "rabbitmq", PRODUCT, 100): "an echo of 100 sockets through RabbitMQ and a worker",
    Measurement("echo", "", "Channels 4", 100): "the same in Channels 4, without broker and worker",
    Measurement("group", "redis", PRODUCT, 1000): "a send to a group of 1,000 sockets, for each of them",
    Measurement("group", "", "Channels 4, pub/sub", 1000): "the same in Channels 4 with its pub/sub layer",
    Measurement("group", "", "python-socketio", 1000): "the same in python-socketio",
}


def in_short(rows: Sequence[Row]) -> str:
    """Return a small table of the best known work, with CPU first."""
    lines = []
    for measurement, what in _SHORT.items():
        base = "one_by_one." if measurement.part == "group" else ""
        results = [row.result for row in rows if row.measurement == measurement and "error" not in row.result]
        if results:
            rate = "deliveries_per_s" if base else "msgs_per_s"
            lines.append([what, cell(results, base + _CPU), cell(results, base + rate)])
    return markdown("", ["work", "CPU of all processes, us", "a second"], lines)


def _reached(rows: Sequence[Row], target: Target) -> tuple[list[float], str]:
    if target.beside:
        found = pairs(rows, target.measurement, target.beside)
        numbers = [(look_up(one, target.path), look_up(other, target.path)) for one, other in found]
        return [one / other for one, other in numbers if one is not None and other], ratio_cell(found, target.path)
    results: list[Mapping[str, Any]] = [row.result for row in rows if row.measurement == target.measurement]
    return [value for value in (look_up(each, target.path) for each in results) if value is not None], cell(
        results, target.path
    )


def _verdict(target: Target, values: Sequence[float]) -> str:
    """Return whether the median reached the goal, and by how much it missed it."""
    median = statistics.median(values)
    if median >= target.limit if target.is_least else median <= target.limit:
        return "reached"
    if not target.limit:
        return "**missed**"
    return f"**missed** by {abs(median - target.limit) / target.limit:.0%}"
