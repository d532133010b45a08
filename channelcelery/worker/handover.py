"""Handing received messages to the pool: as many jobs as it has free slots, and none lost or run twice on the way."""

import logging
import threading
from collections import Counter
from collections.abc import Callable

from channelcelery.core.backlog import Backlog, Delivery, Job, JobSizer, Key
from channelcelery.core.outcome import Outcome, Times
from channelcelery.worker import claims
from channelcelery.worker.progress import read_mark

__all__ = ["Handover"]

logger = logging.getLogger("django.channels.worker")


class Handover:
    """Decides when messages go to the pool and what happens to those that it did not begin.

    Never more jobs are under way than the pool has slots, so that what waits does so here, where it can be counted,
    served fairly and given back. The lock matters only without an event loop, where the pool's threads call in by
    themselves.

    Args:
        submit: gives a job to the pool.
        slots: how many jobs the pool can run at the same time.
        acknowledge: tells the broker that deliveries are this worker's now.
        keep: makes the pool call back for a job that it may have dropped although one of its processes has it.
        abandoned: gets the message whose consumer a process took with it to its end.
    """

    def __init__(
        self,
        submit: Callable[[Job], None],
        slots: Callable[[], int],
        acknowledge: Callable[[tuple[Delivery, ...]], None],
        keep: Callable[[Job], None] = lambda job: None,
        abandoned: Callable[[Key, bytes], None] = lambda key, item: None,
    ) -> None:
        self._submit = submit
        self._slots = slots
        self._acknowledge = acknowledge
        self._keep = keep
        self._abandoned = abandoned
        self._backlog = Backlog()
        self._sizer = JobSizer()
        self._under_way: set[Job] = set()
        self._places = list(range(claims.PLACES))
        self._lock = threading.RLock()
        self._open = False
        self._pumping = False
        self.counts: Counter[str] = Counter()
        #: jobs that began or ended, in all
        self.moves = 0
        #: what consumers sent, by kind
        self.sent: Counter[str] = Counter()
        self.times = Times()

    @property
    def waiting(self) -> int:
        """How many messages were received and not handed over."""
        return len(self._backlog)

    @property
    def under_way(self) -> int:
        """How many jobs the pool has."""
        return len(self._under_way)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that the pool has; for other threads, too."""
        return tuple(self._under_way)  # which no other thread comes between

    @property
    def has_room(self) -> bool:
        """True while more should be taken from the broker: what waits here is bounded by what the pool runs soon."""
        return self._open and self._backlog.has_room(self._sizer, self._slots())

    def share(self, key: Key) -> int:
        """Return how many of the messages that came together should stay; the others are for who is idle, or later."""
        return self._sizer.share(key, self._slots())

    def open(self) -> None:
        """Begin, or go on, handing over."""
        with self._lock:
            self._open = True
            self._pump()

    def received(self, key: Key, items: tuple[bytes, ...], delivery: Delivery) -> None:
        """Take messages of one channel from the broker."""
        with self._lock:
            self._backlog.add(key, items, delivery)
            self._pump()

    def go_on(self) -> None:
        """Hand over what fits now: the pool may have grown."""
        with self._lock:
            self._pump()

    def take(self, key: Key, items: tuple[bytes, ...]) -> None:
        """Take messages of one channel that come from no broker's delivery: this worker's at once."""
        self.received(key, items, Delivery(None, owned=True))

    def accepted(self, job: Job) -> None:
        """Take note that a process of the pool has begun a job."""
        with self._lock:
            if not job.accepted and not job.settled:
                self._begin(job)

    def finished(self, job: Job, outcome: Outcome | None) -> None:
        """Take note of what became of a job; None if it was lost with its process."""
        with self._lock:
            if job.settled:
                return
            if not job.accepted:  # the event loop calls back in no particular order
                self._begin(job)
            self._settle(job)
            job.handle = None  # which has the job, too: only a search for garbage would find the two
            if outcome is not None:
                self._sizer.learn(job.key, outcome.ran, outcome.seconds)
                self.counts["ran"] += outcome.ran
                self.counts["failed"] += outcome.failed
                self.counts.update(outcome.dropped)
                self.sent.update(outcome.sent)
                self.times.add(outcome.times)
                for channel, item in outcome.handed:
                    self.take((job.key[0], channel), (item,))
            else:
                self._lose(job)
            self._pump()

    def _lose(self, job: Job) -> None:
        """Let go of the message that ran when a job's process ended, and have those run that had not begun."""
        mark = read_mark(*job.claim)
        # one message at least, or one that ends each process would go round for ever
        begun = max(1, mark.begun) if mark else 1
        rest = Job(job.key, job.items[begun:], job.deliveries[begun:])
        if rest.items:
            self._backlog.put_back(rest)
        self.counts["lost"] += 1
        logger.error(
            "a message of %s was lost with the process that ran %s; %d that it had not begun go to another one",
            job.key[1],
            (mark.consumer if mark else "") or "it",
            len(rest.items),
        )
        self._abandoned(job.key, job.items[begun - 1])

    def close(self) -> None:
        """Stop handing over, and find out which jobs have begun: the others are put back."""
        with self._lock:
            self._open = False
            # the last first, since each goes in front of what waits
            for job in sorted(self._under_way, key=lambda job: job.claim[1], reverse=True):
                if job.accepted:
                    continue
                if claims.withdraw(*job.claim):
                    self._backlog.put_back(job)
                    self._settle(job)
                else:
                    self._begin(job)
                self._keep(job)

    def forget_unowned(self) -> None:
        """Drop what the broker will deliver again on a new connection."""
        with self._lock:
            self._backlog.forget_unowned()

    def drain(self) -> dict[Key, list[bytes]]:
        """Return everything that this worker owns and will not run."""
        with self._lock:
            self._backlog.forget_unowned()
            return self._backlog.drain()

    def _pump(self) -> None:
        if self._pumping:  # solo runs a job within submit, which calls back here
            return
        self._pumping = True
        try:
            while self._open and self._places and len(self._under_way) < self._slots():
                job = self._backlog.take(self._sizer)
                if job is None:
                    return
                job.claim = (self._places.pop(), claims.new_sequence())
                # before a process can begin it: if this one is killed then, it must not run elsewhere too
                self._own(job)
                self._under_way.add(job)
                self._submit(job)
        finally:
            self._pumping = False

    def _begin(self, job: Job) -> None:
        job.accepted = True
        self.moves += 1

    def _own(self, job: Job) -> None:
        fresh = tuple({delivery: None for delivery in job.deliveries if not delivery.owned})
        for delivery in fresh:
            delivery.owned = True
        if fresh:
            self._acknowledge(fresh)

    def _settle(self, job: Job) -> None:
        job.settled = True
        self.moves += 1
        self._under_way.discard(job)
        self._places.append(job.claim[0])
