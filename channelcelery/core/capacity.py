"""When a channel counts as full: a depth sampled now and then, and the sender's own sends since.

Brokers cannot bound a queue in a way that tells the sender for free, so each sender looks at a busy channel's depth
at most every `interval` seconds and counts its own sends in between: the overshoot is at most that traffic times the
senders.
"""

from collections import deque
from dataclasses import dataclass, field

__all__ = ["SAMPLE_INTERVAL", "Gauge"]

#: Seconds between two looks at a channel's depth, at least.
SAMPLE_INTERVAL = 0.05


@dataclass(slots=True)
class Gauge:
    """One sender's idea of how full one channel is, in channel messages.

    Args:
        capacity: messages that may wait.
        interval: seconds between two samples, at least.
    """

    capacity: int
    interval: float = SAMPLE_INTERVAL
    depth: int = 0
    sent: int = 0
    sampled_at: float = float("-inf")
    #: how many messages each of the own broker messages carried that may still wait, the oldest first
    _sizes: deque[float] = field(default_factory=deque, repr=False)
    _size: float = 0.0

    def wants_sample(self, now: float) -> bool:
        """Tell whether the depth should be looked at before the next send.

        Args:
            now: a monotonic time in seconds.
        """
        if now - self.sampled_at < self.interval:
            return False
        unknown = self.sampled_at == float("-inf")
        return unknown or self.depth > 0 or self.sent >= max(1, min(64, self.capacity // 100))

    def sampled(self, broker_messages: int, now: float) -> None:
        """Take note of a sample.

        Args:
            broker_messages: what the broker counts; each may carry a batch of channel messages.
            now: a monotonic time in seconds.
        """
        # what came first is read first: those that wait are the last ones, and others' carry about as much
        while len(self._sizes) > broker_messages:
            self._size -= self._sizes.popleft()
        self.depth = round(broker_messages * self._size / len(self._sizes)) if self._sizes else broker_messages
        self.sent = 0
        self.sampled_at = now

    def published(self, messages: int, broker_messages: int) -> None:
        """Take note of one's own sends and of how many messages a broker message carried."""
        self.sent += messages
        self._sizes.extend([messages / broker_messages] * broker_messages)
        self._size += messages

    @property
    def full(self) -> bool:
        """True while the channel is believed to be at capacity."""
        return self.depth + self.sent >= self.capacity
