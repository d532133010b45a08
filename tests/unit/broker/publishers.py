"""A publisher whose calls a test holds up and answers as it likes."""

import threading
from collections.abc import Sequence

from channelcelery.core.envelope import decode_item
from tests.processes import wait_until


class GatedPublisher:
    """Keeps what it was given, in order, and may hold a call until a test opens the gate."""

    def __init__(self) -> None:
        self.published: list[tuple[str, list[int]]] = []
        self.calls: list[str] = []
        #: channel -> what its next calls raise
        self.errors: dict[str, Exception] = {}
        self.closed = False
        self._open = threading.Event()
        self._open.set()

    def shut(self) -> None:
        """Hold up every call from now on."""
        self._open.clear()

    def open(self) -> None:
        """Let calls go on."""
        self._open.set()

    def publish(self, channel: str, items: Sequence[bytes]) -> None:
        self.calls.append(channel)
        assert self._open.wait(10)
        if channel in self.errors:
            raise self.errors[channel]
        self.published.append((channel, [decode_item(item).content["n"] for item in items]))

    def put_back(self, channel: str, items: Sequence[bytes]) -> None:
        raise AssertionError("an interface process takes nothing from channels")

    def depth(self, channel: str) -> int:
        return 0

    def purge(self, channel: str) -> None:
        raise AssertionError("an interface process does not purge channels")

    def close(self) -> None:
        self.closed = True

    def numbers(self, channel: str) -> list[int]:
        """Return what was published on a channel, in order."""
        return [number for name, numbers in self.published if name == channel for number in numbers]

    def wait_for(self, channel: str, numbers: Sequence[int]) -> None:
        """Wait until exactly these messages have been published on a channel."""
        wait_until(lambda: self.numbers(channel) == list(numbers), what=f"{numbers} on {channel}: {self.published}")

    def wait_for_calls(self, channel: str, more: int) -> None:
        """Wait until the channel has been tried so many times more."""
        at_least = self.calls.count(channel) + more
        wait_until(lambda: self.calls.count(channel) >= at_least, what=f"{channel} to be tried again")
