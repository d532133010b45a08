"""The interface's publisher: one thread that takes messages from the event loop, and together those that come close."""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence

from channelcelery.conf import LayerConfig
from channelcelery.core.batches import cut, gathering
from channelcelery.core.bursts import Bursts
from channelcelery.core.envelope import decode_item
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, ChannelFull
from channelcelery.layers.base import Publisher

__all__ = ["PublisherThread"]

logger = logging.getLogger("django.channels.publisher")

#: Messages taken from the buffer before they are published.
_TAKE = 1_000
#: Seconds before a channel that was full, or a broker that was away, is tried again.
_PAUSE = 0.05


class PublisherThread:
    """Publishes what an event loop offers, without ever making it wait.

    What was taken is never dropped silently: while a channel is full or the broker is away its messages wait, in order,
    and further ones are refused; those that reach their deadline are dropped, counted and logged once per burst.

    Args:
        publisher: does the publishing, on the thread.
        config: the layer's settings.
    """

    def __init__(self, publisher: Publisher, config: LayerConfig) -> None:
        self._publisher = publisher
        self._limit = config.publish_buffer
        self._offered: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._waiting: dict[str, deque[bytes]] = {}
        self._full: set[str] = set()
        self._offers = 0
        self._ended = 0
        self._left, self._left_at = 1, 0.0  # how many were there to be published last, and when that began
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="channelcelery-publisher", daemon=True)
        self._bursts = Bursts()
        self.dropped: Counter[str] = Counter()
        #: what left for the broker, by channel
        self.published: Counter[str] = Counter()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, channel: str, item: bytes) -> None:
        """Take a message; called on one thread, the event loop's.

        Args:
            channel: a normal channel's name.
            item: the encoded item.

        Raises:
            ChannelFull: the channel is at capacity, or the buffer at its limit; the message was not taken.
        """
        # both counters are written by one thread each, so that their difference needs no lock
        if channel in self._full or self._offers - self._ended >= self._limit:
            raise ChannelFull([channel])
        self._offers += 1
        self._offered.put((channel, item))

    @property
    def waiting(self) -> int:
        """How many messages have been taken and not yet published."""
        return self._offers - self._ended

    def stop(self, timeout: float) -> None:
        """Publish what waits, then end the thread.

        Args:
            timeout: seconds to wait at most; what waits after that is lost, and logged.
        """
        self._stopping = True
        self._offered.put(None)
        self._thread.join(timeout)
        if self.waiting:
            logger.error("%d messages were not published before the process ended", self.waiting)

    def _run(self) -> None:
        while True:
            self._take()
            self._left, self._left_at = sum(map(len, self._waiting.values())), time.monotonic()
            for channel in list(self._waiting):
                self._publish(channel)
            if self._stopping and not self._waiting and self._offered.empty():
                self._publisher.close()
                return

    def _take(self) -> None:
        """Wait for something to do, then take everything that is there."""
        try:
            offered = self._offered.get(timeout=_PAUSE if self._waiting else None)
            if offered is not None:
                self._gather(offered[0])
            for room in reversed(range(_TAKE)):
                if offered is not None:
                    channel, item = offered
                    self._waiting.setdefault(channel, deque()).append(item)
                if room:
                    offered = self._offered.get_nowait()
        except queue.Empty:
            return

    def _gather(self, channel: str) -> None:
        # a publish costs as much as many messages, at the broker and in the worker too
        rest = self._left_at + gathering(channel, self._left) - time.monotonic()
        if rest > 0:
            time.sleep(rest)

    def _publish(self, channel: str) -> None:
        items = self._waiting[channel]
        try:
            # one broker message at a time: after a failure it is clear what was sent
            for batch in cut(list(items)):
                self._publish_once(channel, batch)
                for _ in batch:
                    items.popleft()
                self._ended += len(batch)
        except ChannelFull:
            self._full.add(channel)
            self._expire(channel, "channel_full")
        except BrokerUnavailable as error:
            self._log("broker_unavailable", "%s; %d messages wait", error, self.waiting)
            self._expire(channel, "broker_unavailable")
        except Exception:  # whatever a client library raises, the thread must outlive it
            self._log("publish_error", "publishing failed; %d messages wait", self.waiting, exc_info=True)
            self._expire(channel, "publish_error")
        else:
            self._full.discard(channel)
            del self._waiting[channel]

    def _publish_once(self, channel: str, batch: Sequence[bytes]) -> None:
        try:
            self._publisher.publish(channel, batch)
        except BrokerUnanswered as error:
            # the broker may have them: they count as lost rather than run twice
            self.dropped["broker_unanswered"] += len(batch)
            self._log("broker_unanswered", "%d messages for %s may be lost: %s", len(batch), channel, error)
        self.published[channel] += len(batch)

    def _log(self, kind: str, text: str, *args: object, exc_info: bool = False) -> None:
        if (silent := self._bursts.hit(kind, time.monotonic())) is not None:
            logger.error(text + "; %d times before, unlogged", *args, silent, exc_info=exc_info)

    def _expire(self, channel: str, reason: str) -> None:
        items, now, expired = self._waiting[channel], time.time() * 1000, 0
        while items and decode_item(items[0]).deadline < now:
            items.popleft()
            expired += 1
        if expired:
            self._ended += expired
            self.dropped[reason] += expired
            text = "%d messages for %s reached their deadline unpublished (%s)"
            self._log(f"expired {reason}", text, expired, channel, reason)
        if not items:
            self._full.discard(channel)
            del self._waiting[channel]
