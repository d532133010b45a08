"""Socket events on their way to the queue: encoded, offered to the publisher, and in line where there is no room.

Whoever finds no room waits in the channel's line. Nobody overtakes: what comes while others wait goes behind them, so
that room goes round, and no socket starves because others ask for it more often. As long as messages leave for the
channel, its line moves, and its time does not run: so many sockets may flood workers that keep up with none of them.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import encode_item, encode_own
from channelcelery.exceptions import ChannelFull
from channelcelery.interface.faults import Faults
from channelcelery.tracing import sent

__all__ = ["Intake", "Offers", "Place"]

#: Seconds between two looks whether there is room for those in line.
_RETRY_INTERVAL = 0.05


class Offers(Protocol):
    """The publisher as the event loop sees it: it never makes it wait."""

    def offer(self, channel: str, item: bytes) -> None:
        """Take a message, or raise ChannelFull."""

    @property
    def published(self) -> Counter[str]:
        """How many messages of each channel the broker took so far."""

    def stop(self, timeout: float) -> None:
        """Publish what waits, for at most `timeout` seconds, then end."""


@dataclass(slots=True, eq=False)
class Place:
    """One message's place in a line.

    Args:
        content: the message, encoded.
        since: when it came, a monotonic time in seconds.
        patience: seconds that it waits at most while the line does not move.
        settled: called once with whether the message was taken.
        given_up: whether its sender wants it taken no more, and hears no more of it.
    """

    content: bytes
    since: float
    patience: float
    settled: Callable[[bool], object]
    given_up: bool = False


@dataclass(slots=True, eq=False)
class _Line:
    """Those that wait for room on one channel.

    Args:
        published: how many of the channel's messages had left when that was last looked at.
        moved: when that changed, a monotonic time in seconds.
        places: who waits, in order.
    """

    published: int
    moved: float
    places: deque[Place] = field(default_factory=deque)


class Intake:
    """Takes messages of one layer's sockets.

    Args:
        config: the layer's settings.
        publisher: publishes them.
        faults: where those that are dropped are counted.
    """

    def __init__(self, config: LayerConfig, publisher: Offers, faults: Faults) -> None:
        self._config = config
        self._publisher = publisher
        self._faults = faults
        self._lines: dict[str, _Line] = {}
        self._retrying: asyncio.Task[None] | None = None

    def encode(self, content: dict[str, Any]) -> bytes:
        """Return a message's content as it travels; the interface made it, of what a client sent.

        Raises:
            InvalidContent: it cannot travel.
            MessageTooLarge: it is above the layer's limit.
        """
        return encode_own(content, self._config.message_size)

    def offer(self, channel: str, content: bytes) -> None:
        """Hand a message to the publisher; it has the layer's deadline from now on.

        Args:
            channel: a normal channel's name.
            content: the message, encoded.

        Raises:
            ChannelFull: there is no room for it, or others wait for room already.
        """
        if channel in self._lines:
            raise ChannelFull([channel])
        self._offer(channel, content)

    def _offer(self, channel: str, content: bytes) -> None:
        deadline = int((time.time() + self._config.expiry) * 1000)
        self._publisher.offer(channel, encode_item(content, deadline, sent(channel)))

    def stand_in_line(self, channel: str, content: bytes, patience: float, settled: Callable[[bool], object]) -> Place:
        """Have a message that was refused wait for room, behind those that wait already.

        Args:
            channel: a normal channel's name.
            content: the message, encoded.
            patience: seconds that it waits at most while the line does not move; in any case no longer than until a
                message expires.
            settled: called once with whether it was taken, unless it is given up before.
        """
        now = time.monotonic()
        place = Place(content, now, patience, settled)
        if channel not in self._lines:
            self._lines[channel] = _Line(self._publisher.published[channel], now)
        self._lines[channel].places.append(place)
        if self._retrying is None:
            self._retrying = asyncio.get_running_loop().create_task(self._retry())
        return place

    def offer_late(self, channel: str, content: dict[str, Any]) -> None:
        """Hand over a message that nobody can wait for: without room it is retried until it expires (item 60).

        Args:
            channel: a normal channel's name.
            content: a message that can travel.
        """
        encoded = self.encode(content)
        try:
            self.offer(channel, encoded)
        except ChannelFull:
            line = self._lines.get(channel)
            if line is not None and len(line.places) >= self._config.publish_buffer:
                self._drop(channel)
                return
            self.stand_in_line(channel, encoded, self._config.expiry, lambda taken: self._drop(channel, taken))

    def _drop(self, channel: str, taken: bool = False) -> None:
        if taken:
            return
        self._faults.note(f"{channel}_full", "a message for %s was dropped: there was no room for it", channel)

    async def _retry(self) -> None:
        while self._lines:
            await asyncio.sleep(_RETRY_INTERVAL)
            self._offer_all(time.monotonic())
        self._retrying = None

    def _offer_all(self, now: float) -> None:
        for channel, line in list(self._lines.items()):
            if (published := self._publisher.published[channel]) != line.published:
                line.published, line.moved = published, now
            while line.places and self._is_settled(channel, line, now):
                line.places.popleft()
            if not line.places:
                del self._lines[channel]

    def _is_settled(self, channel: str, line: _Line, now: float) -> bool:
        """Tell whether the first in a line waits no longer: taken, given up or too late."""
        place = line.places[0]
        if place.given_up:
            return True
        try:
            self._offer(channel, place.content)
        except ChannelFull:
            patient = now - max(place.since, line.moved) < place.patience
            if patient and now - place.since < self._config.expiry:
                return False
            place.settled(False)
        else:
            place.settled(True)
        return True

    async def stop(self, timeout: float) -> None:
        """Publish what waits, then end the publisher.

        Args:
            timeout: seconds to wait at most; what waits after that is dropped and counted.
        """
        if self._retrying is not None:
            self._retrying.cancel()
        self._offer_all(float("inf"))
        await asyncio.to_thread(self._publisher.stop, timeout)
