"""What is measured, and for how long."""

from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["BROKERS", "PARTS", "Measurement", "Windows", "matrix", "windows"]

PARTS = ("echo", "idle", "group", "queue", "reliable", "http")
BROKERS = ("rabbitmq", "redis")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement, with processes of its own.

    Args:
        part: one of PARTS.
        broker: one of BROKERS; the layer is on Redis always.
        subject: "channelcelery", "floor", or "task" (reliable).
        size: sockets (echo, group, http), the most sockets (idle), or messages sent together (queue, reliable).
    """

    part: str
    broker: str
    subject: str
    size: int

    def __str__(self) -> str:
        return f"{self.part} {self.size}, {self.subject} on {self.broker}"


@dataclass(frozen=True, slots=True)
class Windows:
    """How long each measurement takes.

    Args:
        warmup: seconds before an echo or HTTP window.
        duration: seconds of a window.
        sends: group sends one by one, by the number of sockets.
        steps: idle sockets.
        hold: seconds that each step is held.
        settle: seconds of rest after connecting.
        messages: of a queue measurement, by how many are sent together.
    """

    warmup: int
    duration: int
    sends: dict[int, int]
    steps: tuple[int, ...]
    hold: float
    settle: float
    messages: dict[int, int]


_QUICK = Windows(1, 3, {1000: 4, 5000: 2}, (1000,), 1, 1, {64: 50_000, 1: 5_000})
_NORMAL = Windows(2, 10, {1000: 10, 5000: 5}, (1000, 5000), 5, 2, {64: 200_000, 1: 20_000})
_FULL = Windows(2, 10, {1000: 10, 5000: 5}, (1000, 5000, 10_000), 5, 2, {64: 200_000, 1: 20_000})


def windows(*, quick: bool, full: bool) -> Windows:
    """Return how long to measure."""
    return _QUICK if quick else _FULL if full else _NORMAL


def matrix(parts: Collection[str], chosen: Windows, *, full: bool) -> list[Measurement]:
    """Return the measurements of one repeat; what is to be compared stands side by side.

    Args:
        parts: which of PARTS.
        chosen: how long they take.
        full: measure a group of 5,000 too.
    """
    product, found = "channelcelery", []
    for broker in BROKERS:
        found += [
            Measurement("echo", broker, product, 1),
            Measurement("echo", broker, product, 100),
            Measurement("echo", broker, "floor", 100),
            Measurement("idle", broker, product, chosen.steps[-1]),
            Measurement("group", broker, product, 1000),
            *([Measurement("group", broker, product, 5000)] if full else []),
            Measurement("queue", broker, product, 64),
            Measurement("queue", broker, product, 1),
            Measurement("reliable", broker, product, 1),
            Measurement("reliable", broker, "task", 1),
        ]
    # no broker is on its way
    found.append(Measurement("http", BROKERS[0], product, 32))
    return [measurement for measurement in found if measurement.part in parts]
