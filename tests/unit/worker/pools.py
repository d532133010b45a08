"""A pool that begins, accepts and finishes jobs when a test says so, in any order."""

from collections.abc import Sequence

from channelcelery.core.backlog import Delivery, Job, Key
from channelcelery.core.outcome import Outcome
from channelcelery.worker import claims
from channelcelery.worker.handover import Handover
from channelcelery.worker.progress import Progress

KEY: Key = ("default", "chat")


class FakePool:
    """Slots for a `Handover`, and the messages that ran in them.

    Args:
        slots: jobs that run at the same time.
    """

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        #: handed over and not finished
        self.jobs: list[Job] = []
        self.most = 0
        self.ran: list[bytes] = []
        self.acknowledged: list[Delivery] = []
        self.kept: list[Job] = []
        self.abandoned: list[bytes] = []
        self.handover = Handover(
            self._submit,
            lambda: self.slots,
            self._acknowledge,
            self.kept.append,
            lambda key, item: self.abandoned.append(item),
        )
        self.handover.open()

    def _submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += deliveries

    def receive(self, *items: bytes, key: Key = KEY, owned: bool = False) -> Delivery:
        """Have the broker deliver one message that carries these items."""
        delivery = Delivery(None if owned else 1, owned=owned)
        self.handover.received(key, items, delivery)
        return delivery

    def begin(self, job: Job) -> bool:
        """Begin a job as a process of the pool does, unheard of by the main process; false if it was taken back."""
        if not claims.begin(*job.claim):
            return False
        self.ran += job.items
        return True

    def accept(self, job: Job) -> None:
        """Begin a job, and let the main process know."""
        assert self.begin(job)
        self.handover.accepted(job)

    def finish(self, job: Job, seconds: float = 0.001) -> None:
        """Tell the main process that a job which had begun is done."""
        self.jobs.remove(job)
        self.handover.finished(job, Outcome(ran=len(job.items), seconds=seconds * len(job.items)))

    def die(self, job: Job, begun: int, consumer: str = "project.consume") -> None:
        """End the process of a job in the middle of one of its messages, and let the main process know."""
        self.jobs.remove(job)
        for item in job.items[begun:]:
            self.ran.remove(item)
        progress = Progress(*job.claim)
        for _ in range(begun):
            progress.begin()
            progress.run(consumer)
        self.handover.finished(job, None)

    def run(self, job: Job, seconds: float = 0.001) -> None:
        """Do a job from beginning to end."""
        self.accept(job)
        self.finish(job, seconds)

    def run_all(self, seconds: float = 0.001) -> list[bytes]:
        """Do jobs until none is handed over, and return what ran in this test."""
        while self.jobs:
            self.run(self.jobs[0], seconds)
        return self.ran
