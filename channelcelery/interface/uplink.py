"""What one client says, on its way to the queue: each message numbered, and published when its turn has come."""

import asyncio
import time
from typing import Any

from channelcelery.core.limits import Pace
from channelcelery.core.websocket import above_limit
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.events import Event
from channelcelery.interface.surroundings import Surroundings

__all__ = ["Uplink"]


class Uplink:
    """Publishes the messages of one socket: its connect, its frames, its disconnect, numbered in this order (item 155).

    Args:
        around: what the socket shares with the others.
        reply_channel: the socket's.
        path: what the client opened.
    """

    __slots__ = ("_around", "_order", "_pace", "_path", "_reply_channel", "_room")

    def __init__(self, around: Surroundings, reply_channel: str, path: str) -> None:
        self._around = around
        self._reply_channel = reply_channel
        self._path = path
        self._pace = Pace(around.config.frame_rate, around.config.byte_rate)
        self._order = -1  # of the last message published
        self._room: asyncio.Future[bool] | None = None  # whether there is room for the frame that waits

    def connect(self, content: dict[str, Any]) -> None:
        """Publish the `websocket.connect`.

        Args:
            content: the message.

        Raises:
            ChannelFull: there is no room for it.
            InvalidContent: it cannot travel.
        """
        self._around.intake.offer("websocket.connect", self._around.intake.encode(content))
        self._order += 1

    async def receive(self, event: Event) -> int | None:
        """Publish a frame, or return the code with which its socket is to be closed.

        It waits while there is no room. Nothing is read meanwhile, so that TCP slows the client down.

        Args:
            event: the server's `websocket.receive`.
        """
        faults, text = self._around.faults, event.get("text")
        key, frame = ("text", text) if text is not None else ("bytes", event["bytes"])
        if above_limit(frame, self._around.config.frame_size):
            faults.note("frame_size", "a client of %.200a sent a frame above CONFIG['frame_size']", self._path)
            return 1009
        try:
            content = self._around.intake.encode(self._message(**{key: frame}))
        except InvalidContent as error:
            faults.note("frame_invalid", "a client of %.200a sent what cannot travel: %s", self._path, error)
            return 1009
        try:
            self._around.intake.offer("websocket.receive", content)
        except ChannelFull:
            if not await self._wait_for_room(content):
                faults.note("receive_full", "a socket of %.200a was closed: websocket.receive stays full", self._path)
                return 1013
        else:
            self._order += 1
        if behind := self._pace.take(len(frame), time.monotonic()):
            await self._slow_down(behind)
        return None

    async def _slow_down(self, seconds: float) -> None:
        """Read nothing for a while, since the client sends faster than CONFIG allows."""
        text = "a client of %.200a is slowed down: CONFIG['frame_rate'] is %g, CONFIG['byte_rate'] is %g"
        config = self._around.config
        self._around.faults.note("frame_rate", text, self._path, config.frame_rate, config.byte_rate)
        self._room = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._room  # which a close ends
        except TimeoutError:
            pass
        finally:
            self._room = None

    def _message(self, **content: Any) -> dict[str, Any]:
        return {"reply_channel": self._reply_channel, "path": self._path, "order": self._order + 1, **content}

    async def _wait_for_room(self, content: bytes) -> bool:
        self._room = asyncio.get_running_loop().create_future()
        patience = self._around.config.publish_wait
        place = self._around.intake.stand_in_line("websocket.receive", content, patience, self._settled)
        try:
            return await self._room
        finally:
            place.given_up = True
            self._room = None

    def _settled(self, taken: bool) -> None:
        # counted here and not by who waits, which may be cancelled before it hears of it
        self._order += taken
        if self._room is not None and not self._room.done():
            self._room.set_result(taken)

    def close(self) -> None:
        """Wait for room no longer, since the socket is closed."""
        if self._room is not None and not self._room.done():
            self._room.set_result(True)

    def disconnect(self, code: int) -> None:
        """Publish the `websocket.disconnect`, now or when there is room.

        Args:
            code: with which the connection ended.
        """
        self._around.intake.offer_late("websocket.disconnect", self._message(code=code))
