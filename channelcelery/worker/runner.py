"""Running a job in the pool: its messages one by one, and what their consumers sent in as few flushes as possible."""

import os
import threading
import time
from collections import Counter

from channelcelery.beside import beside
from channelcelery.consumers import consumer_name
from channelcelery.core.envelope import count_retry
from channelcelery.core.outcome import Outcome, Times
from channelcelery.core.sends import KINDS, Send
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.ordering import ordering_of
from channelcelery.routing import get_router
from channelcelery.worker import claims
from channelcelery.worker.consume import run_received
from channelcelery.worker.flush import flush, put_back
from channelcelery.worker.forward import forward
from channelcelery.worker.ordered import Turns
from channelcelery.worker.overdue import Overdue
from channelcelery.worker.progress import Progress
from channelcelery.worker.reading import read
from channelcelery.worker.unhindered import unhindered

__all__ = ["FLUSH_AFTER", "run_job"]

#: Seconds after which a job's replies leave although more of its messages are to run.
FLUSH_AFTER = 0.005


class _Here(threading.local):
    """What each thread that runs jobs has for itself."""

    def __init__(self) -> None:
        self.overdue = Overdue(FLUSH_AFTER)


_here = _Here()


def run_job(alias: str, channel: str, items: tuple[bytes, ...], claim: tuple[int, int]) -> Outcome | None:
    """Run the consumers of some messages of one channel; what they send leaves in as few flushes as possible.

    Args:
        alias: the layer's alias.
        channel: the channel that the messages came by.
        items: encoded items, in order.
        claim: the job's place and number (`worker.claims`).

    Returns:
        The counts, or None if the job had been taken back and nothing ran.
    """
    if not claims.begin(*claim):
        return None
    progress = Progress(*claim)
    begun, layer = unhindered(), channel_layers[alias]
    if channel in get_router(alias).reliable:
        progress.begin(len(items))
        return Outcome(0, 0, dict(forward(layer, channel, items)), unhindered() - begun)
    job = _Job(layer, channel, progress)
    for left, item in zip(reversed(range(len(items))), items, strict=True):
        job.run(item, left)
    counts = job.end()
    ran, failed = counts.pop("ran", 0), counts.pop("failed", 0)
    if reliable := counts.pop("sent_reliable", 0):
        job.sent["reliable"] += reliable
    seconds, handed = unhindered() - begun, tuple(job.turns.handed)
    return Outcome(
        ran, failed, dict(counts), seconds, handed, dict(job.sent), dict(job.times), os.getpid(), beside.responses
    )


class _Job:
    """The messages of one job as they run, and what they sent that did not leave yet."""

    def __init__(self, layer: ChannelLayer, channel: str, progress: Progress) -> None:
        self._layer, self._channel, self._progress = layer, channel, progress
        self._counts: Counter[str] = Counter()
        self._waiting: list[tuple[ChannelLayer, Send]] = []
        self._again: list[bytes] = []
        self._flushed = time.monotonic()
        self._ran = False
        self._overdue = _here.overdue
        self.sent: Counter[str] = Counter()
        self.times = Times()
        self.turns = Turns(layer, self._counts, self._waiting, self.sent, self.times, progress)

    def run(self, item: bytes, left: int) -> None:
        """Run the consumer of a message, and flush if it is time to.

        Args:
            item: the message, encoded.
            left: how many come after it.
        """
        self._progress.begin()
        if (received := read(self._layer, self._channel, item, self._counts)) is None:
            return
        if (ordering := ordering_of(received.consumer, self._channel)) is not None:
            self._overdue.disarm()  # turns flush, too
            self.turns.run(received, ordering)
        elif received.expired:
            self._counts["expired"] += 1
        else:
            received.message.ordered = False
            received.followed, self._ran = self._ran, True
            self._progress.run(consumer_name(received.consumer))
            run = run_received(received, self._counts)
            self.times.note(run.consumer, run.error is not None, run.seconds)
            self._waiting += run.sends
            if run.later:
                self._again.append(count_retry(item))
        self._flush_in_time(left)

    def _flush_in_time(self, left: int) -> None:
        if self._waiting and time.monotonic() - self._flushed > FLUSH_AFTER:
            self._overdue.disarm()
            self._leave()
            self._flushed = time.monotonic()
        elif self._waiting and left:
            # who waits for an answer is not to wait for the next consumer too, which may be slow, or its process killed
            self._overdue.arm(self._leave)

    def _leave(self) -> None:
        sends = self._waiting.copy()
        if dropped := flush(sends):
            self._counts.update(dropped)
        self.sent.update(KINDS[type(send)] for _, send in sends)
        # not cleared: a view may have ended meanwhile
        del self._waiting[: len(sends)]

    def end(self) -> Counter[str]:
        """Send what waits, put back what is to run again, and return the counts."""
        self._progress.rest()
        self._overdue.disarm()
        self._leave()
        if self._again:
            self._counts.update(put_back(self._layer, self._channel, self._again))
        return self._counts
