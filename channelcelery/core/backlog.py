"""What a worker has received and not yet handed to its pool: by channel, in turn, in jobs of a fit size."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

__all__ = ["Backlog", "Delivery", "Job", "JobSizer", "Key"]

#: A layer's alias and a channel's name.
Key = tuple[str, str]

#: Seconds that a job should take: long enough to pay for its hand-over, short enough to hold nobody up.
JOB_SECONDS = 0.010
MAX_JOB = 128
MAX_JOB_BYTES = 512 * 1024
#: Seconds of the whole pool that one message of the broker may bring: what it carries beyond that is given back, since
#: other queues wait meanwhile, and other workers may be idle.
SHARE_SECONDS = 0.050
#: Jobs for each slot that may wait before nothing more is taken.
AHEAD = 2


@dataclass(slots=True, eq=False)
class Delivery:
    """One message of the broker.

    Args:
        tag: its delivery tag, or None where the broker keeps no record of it.
        message_id: its sender's id, by which a redelivery is recognised.
        owned: it is this worker's: acknowledged, or never the broker's to acknowledge.
    """

    tag: int | None
    message_id: str = ""
    owned: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """Messages of one channel that go to the pool together.

    Args:
        key: the layer's alias and the channel.
        items: encoded items, in order.
        deliveries: for each item, the broker's message that it came in.
        claim: what tells the pool's process and the main process which of them has it.
        accepted: a process of the pool has begun it.
        settled: it needs nothing more: it was finished, withdrawn or lost with its process.
        handle: what the pool gave for it.
    """

    key: Key
    items: tuple[bytes, ...]
    deliveries: tuple[Delivery, ...]
    claim: tuple[int, int] = (0, 0)
    accepted: bool = False
    settled: bool = False
    handle: object = None


@dataclass(slots=True)
class JobSizer:
    """How many messages of a channel fit into one job, learnt from how long they took."""

    costs: dict[Key, float] = field(default_factory=dict)

    def learn(self, key: Key, messages: int, seconds: float) -> None:
        """Take note of a job that ran."""
        if messages:
            cost = seconds / messages
            known = self.costs.get(key, cost)
            self.costs[key] = known + 0.3 * (cost - known)

    def size(self, key: Key) -> int:
        """Return the messages of one job; one, while nothing is known."""
        cost = self.costs.get(key)
        if cost is None:
            return 1
        return max(1, min(MAX_JOB, int(JOB_SECONDS / cost))) if cost > 0 else MAX_JOB

    def share(self, key: Key, slots: int) -> int:
        """Return how many messages of a channel may be taken at once, by a pool with so many slots."""
        cost = self.costs.get(key, JOB_SECONDS)
        return slots * (max(1, min(MAX_JOB, int(SHARE_SECONDS / cost))) if cost > 0 else MAX_JOB)


class Backlog:
    """Messages that wait, each channel in its own order, the channels served in turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Key, deque[tuple[bytes, Delivery]]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: Key, items: tuple[bytes, ...], delivery: Delivery) -> None:
        """Append messages of one channel."""
        self._waiting.setdefault(key, deque()).extend((item, delivery) for item in items)
        self._count += len(items)

    def has_room(self, sizer: JobSizer, slots: int) -> bool:
        """Tell whether less waits than a pool with so many slots runs soon, or than MAX_JOB messages for each."""
        jobs = sum(len(queue) * max(1 / sizer.size(key), AHEAD / MAX_JOB) for key, queue in self._waiting.items())
        return jobs < slots * AHEAD

    def take(self, sizer: JobSizer) -> Job | None:
        """Return the next channel's job, or None if nothing waits; that channel then goes to the end of the turn."""
        if not self._waiting:
            return None
        key, queue = self._waiting.popitem(last=False)
        taken = [queue.popleft()]
        size, limit = len(taken[0][0]), sizer.size(key)
        while queue and len(taken) < limit and size + len(queue[0][0]) <= MAX_JOB_BYTES:
            taken.append(queue.popleft())
            size += len(taken[-1][0])
        if queue:
            self._waiting[key] = queue
        self._count -= len(taken)
        return Job(key, tuple(item for item, _ in taken), tuple(delivery for _, delivery in taken))

    def put_back(self, job: Job) -> None:
        """Put the messages of a job that did not run back in front."""
        queue = self._waiting.setdefault(job.key, deque())
        queue.extendleft(reversed(list(zip(job.items, job.deliveries, strict=True))))
        self._count += len(job.items)

    def forget_unowned(self) -> None:
        """Drop what the broker will deliver again."""
        for key, queue in list(self._waiting.items()):
            kept = deque(pair for pair in queue if pair[1].owned)
            self._count -= len(queue) - len(kept)
            if kept:
                self._waiting[key] = kept
            else:
                del self._waiting[key]

    def drain(self) -> dict[Key, list[bytes]]:
        """Return and forget everything."""
        everything = {key: [item for item, _ in queue] for key, queue in self._waiting.items()}
        self._waiting.clear()
        self._count = 0
        return everything
