"""Socket events on their way to the queue: encoded, offered to the publisher, retried where they must not get lost."""

import asyncio
import time
from collections import deque
from typing import Any, Protocol

from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.exceptions import ChannelFull
from channelcelery.interface.faults import Faults

__all__ = ["RETRY_INTERVAL", "Intake", "Offers"]

#: Seconds between two tries to offer what found no room.
RETRY_INTERVAL = 0.05


class Offers(Protocol):
    """The publisher as the event loop sees it: it never makes it wait."""

    def offer(self, channel: str, item: bytes) -> None:
        """Take a message, or raise ChannelFull."""

    def stop(self, timeout: float) -> None:
        """Publish what waits, for at most `timeout` seconds, then end."""


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
        self._late: deque[tuple[float, str, bytes]] = deque()
        self._retrying: asyncio.Task[None] | None = None

    def encode(self, content: dict[str, Any]) -> bytes:
        """Return a message as it travels, with the deadline that it has from now on.

        Raises:
            InvalidContent: it cannot travel.
            MessageTooLarge: it is above the layer's limit.
        """
        deadline = int((time.time() + self._config.expiry) * 1000)
        return encode_item(encode_content(content, self._config.message_size), deadline)

    def offer(self, channel: str, item: bytes) -> None:
        """Hand an encoded message to the publisher.

        Raises:
            ChannelFull: there is no room for it.
        """
        self._publisher.offer(channel, item)

    def offer_late(self, channel: str, content: dict[str, Any]) -> None:
        """Hand over a message that nobody can wait for: without room it is retried until it expires (item 60).

        Args:
            channel: a normal channel's name.
            content: a message that can travel.
        """
        item = self.encode(content)
        if not self._late and self._took(channel, item):
            return
        if len(self._late) >= self._config.publish_buffer:
            self._drop(channel)
            return
        self._late.append((time.monotonic() + self._config.expiry, channel, item))
        if self._retrying is None:
            self._retrying = asyncio.get_running_loop().create_task(self._retry())

    def _took(self, channel: str, item: bytes) -> bool:
        try:
            self._publisher.offer(channel, item)
        except ChannelFull:
            return False
        return True

    def _drop(self, channel: str) -> None:
        self._faults.note(f"{channel}_full", "a message for %s was dropped: there was no room for it", channel)

    async def _retry(self) -> None:
        while self._late:
            await asyncio.sleep(RETRY_INTERVAL)
            self._offer_all(time.monotonic())
        self._retrying = None

    def _offer_all(self, now: float) -> None:
        while self._late:
            deadline, channel, item = self._late[0]
            if not self._took(channel, item):
                if deadline > now:
                    return
                self._drop(channel)
            self._late.popleft()

    async def stop(self, timeout: float) -> None:
        """Publish what waits, then end the publisher.

        Args:
            timeout: seconds to wait at most; what waits after that is dropped and counted.
        """
        if self._retrying is not None:
            self._retrying.cancel()
        self._offer_all(float("inf"))
        await asyncio.to_thread(self._publisher.stop, timeout)
