"""What a worker tells operators of itself: its main process, which knows what became of all jobs of its pool."""

import time
from collections.abc import Collection, Mapping
from typing import Protocol

from channelcelery.core.backlog import Key
from channelcelery.exceptions import BrokerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.observe.metrics import Value
from channelcelery.worker.handover import Handover
from channelcelery.worker.reliable_counts import ReliableCounts

__all__ = ["TURN", "Reading", "WorkerProbe"]

#: Seconds without a turn of the worker's event loop after which it hangs.
TURN = 30.0
#: Counts of a worker that are no losses.
_NOT_DROPPED = frozenset({"ran", "failed", "forwarded"})


class Reading(Protocol):
    """The step that reads channels."""

    handover: Handover

    @property
    def queues(self) -> Mapping[str, Key]:
        """Its queues, with what they are for."""

    @property
    def is_reading(self) -> bool:
        """Whether it has a connection to the broker, and takes messages."""

    @property
    def slots(self) -> int:
        """How many jobs the pool can run at the same time."""


class WorkerProbe:
    """A `Probe` of a worker.

    Args:
        step: reads its channels.
        reliable: counts of its reliable channels.
        reliable_queues: these, by alias.
    """

    def __init__(self, step: Reading, reliable: ReliableCounts, reliable_queues: Collection[Key] = ()) -> None:
        self._step = step
        self._reliable = reliable
        self._reliable_queues = reliable_queues
        self._turned: float | None = None

    def turned(self) -> None:
        """Take note of a turn of the event loop; it is due again within `TURN` from now on."""
        self._turned = time.monotonic()

    def rests(self) -> None:
        """Expect no turns for now: the worker looks for its broker."""
        self._turned = None

    def live(self) -> str:
        """Return why the process should be started again: its event loop hangs."""
        turned = self._turned
        if turned is not None and time.monotonic() - turned > TURN:
            return f"the event loop took no turn in {TURN:g} s"
        return ""

    def ready(self) -> str:
        """Return why no message is run for now."""
        return "" if self._step.is_reading else "the broker is not reached, or this worker ends"

    def values(self) -> Mapping[str, Value]:
        """Return the metrics; depths are missing while the broker is away."""
        handover = self._step.handover
        # copied in one step, since the worker goes on meanwhile
        counts, times = {**handover.counts}, {**handover.times}
        values: dict[str, Value] = {
            "ready": float(not self.ready()),
            "dropped": {reason: number for reason, number in counts.items() if reason not in _NOT_DROPPED},
            "run": counts.get("ran", 0),
            "failed": counts.get("failed", 0),
            "sent": {**handover.sent},
            "consumer_seconds": {name: (runs, seconds) for name, (runs, _, seconds) in times.items()},
            "consumer_failed": {name: failed for name, (_, failed, _) in times.items()},
            "reliable_run": {**self._reliable.runs},
            "reliable_seconds": {**self._reliable.seconds},
            "worker_waiting": handover.waiting,
            "worker_jobs": handover.under_way,
            "worker_slots": self._step.slots,
        }
        if self._step.is_reading:
            values["queue_depth"] = self._depths()
        return values

    def _depths(self) -> dict[tuple[str, ...], float]:
        depths: dict[tuple[str, ...], float] = {}
        for alias, channel in (*self._step.queues.values(), *self._reliable_queues):
            layer = channel_layers[alias]
            half = layer.reliable if (alias, channel) in self._reliable_queues else None
            try:
                depths[alias, channel] = (half or layer.publisher).depth(channel)
            except BrokerUnavailable:  # the others would take as long to find out
                break
        return depths
