"""Ratios of what ran side by side, taken within each repeat: what was slow for one was slow for the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.matrix import Measurement
from benchmarks.measure import Row
from benchmarks.subjects import PRODUCT
from benchmarks.tables import markdown, ratio_cell

__all__ = ["label", "pairs", "ratios"]

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]

_BROKERS = {"rabbitmq": "RabbitMQ", "redis": "Redis"}
#: Who stands beside whom, by part.
_BESIDE: Mapping[str, Sequence[tuple[str, str]]] = {
    "echo": ((PRODUCT, "floor"), (PRODUCT, "Channels 4")),
    "group": tuple(
        (PRODUCT, other) for other in ("bare writes", "python-socketio", "Channels 4, pub/sub", "Channels 4")
    ),
    "idle": ((PRODUCT, "Channels 4"),),
    "queue": ((PRODUCT, "Celery task"),),
    "reliable": (("channelcelery, reliable", "Celery task, acks_late"),),
    "http": (("channelcelery, inline", "Django's ASGI handler, uvicorn"), (PRODUCT, "Django, gunicorn sync")),
}
#: What is compared, by part: column -> path in a report.
_NUMBERS: Mapping[str, Mapping[str, str]] = {
    "echo": {"rate": "msgs_per_s", "CPU": "cpu.server_cpu_us_per", "p50": "latency.p50_ms"},
    "group": {
        "deliveries/s": "one_by_one.deliveries_per_s",
        "CPU": "one_by_one.cpu.server_cpu_us_per",
        "to last": "one_by_one.to_last.p50_ms",
    },
    "idle": {
        "connects/s": "steps.1.connects_per_s",
        "CPU": "steps.1.connect_cpu.server_cpu_us_per",
        "memory": "steps.1.kib_per_conn.interface",
    },
    "queue": {"rate": "drain_per_s", "CPU": "cpu.server_cpu_us_per", "publish rate": "publish_per_s"},
    "reliable": {"rate": "drain_per_s", "CPU": "cpu.server_cpu_us_per", "publish rate": "publish_per_s"},
    "http": {"rate": "req_per_s", "CPU": "cpu.server_cpu_us_per", "p50": "p50_ms"},
}


def label(measurement: Measurement) -> str:
    """Return what a measurement is called in tables."""
    broker = _BROKERS.get(measurement.broker)
    # neither a group send nor a page made in the interface goes through the broker
    is_apart = measurement.part == "group" or measurement.subject.endswith("inline")
    return measurement.subject if is_apart or not broker else f"{measurement.subject}, {broker}"


def pairs(rows: Sequence[Row], measurement: Measurement, other: str) -> list[Pair]:
    """Return the reports of a measurement and of what stands beside it, by repeat.

    Args:
        rows: of all repeats.
        measurement: one of them.
        other: the other's subject; its broker is the same, or it has none.
    """
    found = {(row.measurement, row.repeat): row.result for row in rows if "error" not in row.result}
    # a task has no other form than one at a time
    size = 1 if other == "Celery task" else measurement.size
    besides = [Measurement(measurement.part, broker, other, size) for broker in (measurement.broker, "")]
    return [
        (result, found[beside, repeat])
        for (own, repeat), result in found.items()
        for beside in besides
        if own == measurement and (beside, repeat) in found
    ]


def ratios(rows: Sequence[Row], part: str) -> str:
    """Return the table of a part's ratios, if anything of it stood beside anything else."""
    lines, numbers = [], _NUMBERS[part]
    for measurement in dict.fromkeys(row.measurement for row in rows if row.measurement.part == part):
        for subject, other in _BESIDE[part]:
            if measurement.subject == subject and (found := pairs(rows, measurement, other)):
                cells = [ratio_cell(found, path) for path in numbers.values()]
                lines.append([label(measurement), other, f"{measurement.size:,}", *cells, str(len(found))])
    title = f"{part.capitalize() if part != 'http' else 'HTTP'}: ours divided by what ran beside it"
    size = {"queue": "sent together", "reliable": "sent together", "http": "connections"}.get(part, "sockets")
    return markdown(title, ["", "beside", size, *numbers, "runs"], lines)
