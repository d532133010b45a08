"""Running a job in the pool: its messages one by one, and what their consumers sent in as few flushes as possible."""

import time
from collections import Counter

from channelcelery.core.envelope import count_retry
from channelcelery.core.outcome import Outcome
from channelcelery.core.sends import Send
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.ordering import ordering_of
from channelcelery.routing import get_router
from channelcelery.worker import claims
from channelcelery.worker.consume import read, run_received
from channelcelery.worker.flush import flush, put_back
from channelcelery.worker.forward import forward
from channelcelery.worker.ordered import Turns
from channelcelery.worker.overdue import Overdue

__all__ = ["FLUSH_AFTER", "run_job"]

#: Seconds after which a job's replies leave although more of its messages are to run.
FLUSH_AFTER = 0.005


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
    begun = flushed = time.monotonic()
    layer = channel_layers[alias]
    counts: Counter[str] = Counter()
    waiting: list[tuple[ChannelLayer, Send]] = []
    if channel in get_router(alias).reliable:
        return Outcome(0, 0, dict(forward(layer, channel, items)), time.monotonic() - begun)
    turns = Turns(layer, counts, waiting)

    def leave() -> None:
        sends = waiting.copy()
        counts.update(flush(sends))
        # not cleared: a view may have ended meanwhile
        del waiting[: len(sends)]

    overdue = Overdue(FLUSH_AFTER, leave)
    again: list[bytes] = []
    for number, item in enumerate(items, 1):
        if (received := read(layer, channel, item, counts)) is None:
            continue
        if (ordering := ordering_of(received.consumer, channel)) is not None:
            overdue.disarm()  # turns flush, too
            turns.run(received, ordering)
        elif received.expired:
            counts["expired"] += 1
        else:
            received.message.ordered = False
            run = run_received(received, counts)
            waiting += run.sends
            if run.later:
                again.append(count_retry(item))
        if waiting and time.monotonic() - flushed > FLUSH_AFTER:
            overdue.disarm()
            leave()
            flushed = time.monotonic()
        elif waiting and channel == "http.request" and number < len(items):
            # who waits for a page is not to wait for the next one too, which may be slow
            overdue.arm()
    overdue.disarm()
    leave()
    counts.update(put_back(layer, channel, again))
    ran, failed = counts.pop("ran", 0), counts.pop("failed", 0)
    return Outcome(ran, failed, dict(counts), time.monotonic() - begun, tuple(turns.handed))
