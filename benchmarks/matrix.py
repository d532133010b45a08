"""What is measured, for how long, and how long all of it takes."""

from collections.abc import Collection
from dataclasses import dataclass

from benchmarks.subjects import PRODUCT, SLOW, SUBJECTS

__all__ = ["BROKERS", "PARTS", "Measurement", "Windows", "matrix", "seconds", "windows"]

PARTS = ("echo", "group", "idle", "queue", "reliable", "http")
BROKERS = ("rabbitmq", "redis")
_NO_BROKER = ""
#: About how many seconds servers and processes take to start and to end.
_AROUND = {"rabbitmq": 12, "redis": 6, _NO_BROKER: 3}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement, with processes of its own.

    Args:
        part: one of PARTS.
        broker: one of BROKERS, or "" for what has none; the layer is on Redis always.
        subject: one of SUBJECTS.
        size: sockets (echo, group, idle), connections (http), or messages sent together (queue, reliable).
    """

    part: str
    broker: str
    subject: str
    size: int

    def __str__(self) -> str:
        return f"{self.part} {self.size}, {self.subject}{f' on {self.broker}' if self.broker else ''}"


@dataclass(frozen=True, slots=True)
class Windows:
    """How long each measurement takes.

    Args:
        warmup: seconds before an echo or HTTP window.
        duration: seconds of a window.
        sends: group sends one by one, by the number of sockets.
        idle: idle sockets.
        hold: seconds that these are held.
        settle: seconds of rest after connecting.
        batched: messages of a queue that are sent together.
        single: messages of a queue that are sent one at a time.
        slow: messages of what takes longer for each: reliable ones, and Celery's tasks.
    """

    warmup: int
    duration: int
    sends: dict[int, int]
    idle: int
    hold: float
    settle: float
    batched: int
    single: int
    slow: int

    def messages(self, measurement: Measurement) -> int:
        """Return how many messages a measurement of a queue has."""
        if measurement.subject != PRODUCT:
            return self.slow
        return self.single if measurement.size == 1 else self.batched


_QUICK = Windows(1, 2, {1000: 3, 5000: 2}, 1000, 1, 1, 20_000, 4_000, 1_000)
_NORMAL = Windows(1, 4, {1000: 10, 5000: 3}, 5000, 2, 1, 60_000, 10_000, 3_000)


def windows(*, quick: bool) -> Windows:
    """Return how long to measure."""
    return _QUICK if quick else _NORMAL


def matrix(parts: Collection[str], chosen: Windows, *, others: bool) -> list[Measurement]:
    """Return the measurements of one repeat; what is to be compared stands side by side.

    Args:
        parts: which of PARTS.
        chosen: how long they take.
        others: whether the environment of the other projects is there.
    """
    found = [*_of_echo(), *_of_groups(), *_of_idle(chosen.idle), *_of_queues(), *_of_http()]
    return [each for each in found if each.part in parts and (others or not SUBJECTS[each.subject].is_other)]


def _of_echo() -> list[Measurement]:
    found = []
    for broker in BROKERS:
        found += [Measurement("echo", broker, *each) for each in ((PRODUCT, 1), (PRODUCT, 100), ("floor", 100))]
    found += [Measurement("echo", _NO_BROKER, "Channels 4", size) for size in (1, 100)]
    return [*found, Measurement("echo", "redis", SLOW, 100)]


def _of_groups() -> list[Measurement]:
    # a group send goes through no broker; the interface's worker has one none the less
    subjects = ((PRODUCT, "redis"), *((other, _NO_BROKER) for other in _GROUPS))
    found = [Measurement("group", broker, subject, size) for size in (1000, 5000) for subject, broker in subjects]
    # the slower layer of Channels 4 once: a send to 5,000 takes it three seconds
    return [*found, Measurement("group", _NO_BROKER, "Channels 4", 1000)]


_GROUPS = ("bare writes", "python-socketio", "Channels 4, pub/sub")


def _of_idle(size: int) -> list[Measurement]:
    return [
        *(Measurement("idle", broker, PRODUCT, size) for broker in BROKERS),
        Measurement("idle", "redis", "channelcelery, deflate", size),
        Measurement("idle", _NO_BROKER, "Channels 4", size),
    ]


def _of_queues() -> list[Measurement]:
    found = []
    for broker in BROKERS:
        found += [
            Measurement("queue", broker, PRODUCT, 64),
            Measurement("queue", broker, PRODUCT, 1),
            Measurement("queue", broker, "Celery task", 1),
            Measurement("reliable", broker, "channelcelery, reliable", 1),
            Measurement("reliable", broker, "Celery task, acks_late", 1),
        ]
    return found


def _of_http() -> list[Measurement]:
    subjects = [(PRODUCT, "rabbitmq"), (PRODUCT, "redis"), ("Django, gunicorn sync", _NO_BROKER)]
    # these two next to each other: the one must not be below the other
    subjects += [("channelcelery, inline", "redis"), ("Django's ASGI handler, uvicorn", _NO_BROKER)]
    return [Measurement("http", broker, subject, 32) for subject, broker in subjects]


def seconds(measurement: Measurement, chosen: Windows) -> float:
    """Return about how many seconds a measurement takes on two idle cores."""
    around, size = _AROUND[measurement.broker], measurement.size
    match measurement.part:
        case "echo" | "http":
            return around + chosen.warmup + chosen.duration + 1
        case "group":
            # Channels 4 takes half a second for 1,000 receipts, the others a tenth or less
            receipts = size * (0.0005 if measurement.subject.startswith("Channels") else 0.00005)
            return around + size / 700 + chosen.settle + chosen.duration + (chosen.sends[size] + 2) * receipts
        case "idle":
            return around + size / 700 + chosen.hold + chosen.settle
    rates = {PRODUCT: (50_000, 15_000) if size > 1 else (6_000, 10_000)}
    filled, drained = rates.get(measurement.subject, (1_500, 1_200))
    messages = chosen.messages(measurement)
    return around + 3 + messages / filled + messages / drained
