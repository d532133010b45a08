"""How often messages of reliable channels ran: counted in the layer, since a broker counts deliveries that did not."""

import threading
from collections import OrderedDict
from typing import Protocol

from channelcelery.core.reliable import count_redelivery

__all__ = ["AttemptStore", "MemoryAttemptStore"]

#: Messages that a process remembers.
_REMEMBERED = 100_000


class AttemptStore(Protocol):
    """Counts runs of messages that were delivered before; safe to share between threads, and usable after a fork."""

    def count(self, message_id: str, written: int) -> int:
        """Count a run that is about to begin, and return its number.

        Args:
            message_id: the message.
            written: the attempt that the message says it is.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def forget(self, message_id: str) -> None:
        """Begin anew: the message is dead, and may be sent again.

        Raises:
            LayerUnavailable: Redis did not answer.
        """

    def close(self) -> None:
        """End the connections; the next call opens new ones."""


class MemoryAttemptStore:
    """An `AttemptStore` in this process."""

    def __init__(self) -> None:
        self._counted: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, message_id: str, written: int) -> int:
        """Count a run; see `AttemptStore.count`."""
        with self._lock:
            number = count_redelivery(written, self._counted.pop(message_id, 0))
            self._counted[message_id] = number
            if len(self._counted) > _REMEMBERED:
                self._counted.popitem(last=False)
            return number

    def forget(self, message_id: str) -> None:
        """Begin anew; see `AttemptStore.forget`."""
        with self._lock:
            self._counted.pop(message_id, None)

    def close(self) -> None:
        """Do nothing: there are no connections."""
