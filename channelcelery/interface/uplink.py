"""What one client says, on its way to the queue: each message numbered, and published when its turn has come."""

import asyncio
import time
from functools import partial
from typing import Any, Protocol

from channelcelery.core.limits import Pace
from channelcelery.core.websocket import above_limit
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.intake import Place
from channelcelery.interface.surroundings import Surroundings

__all__ = ["Speaker", "Uplink"]


class Speaker(Protocol):
    """The socket whose messages these are."""

    @property
    def reply_channel(self) -> str:
        """Where consumers answer."""

    @property
    def path(self) -> str:
        """What the client opened."""

    def freed(self, code: int | None) -> None:
        """Go on after a wait, or close with a code."""


class Uplink:
    """Publishes the messages of one socket: its connect, its frames, its disconnect, numbered in this order (item 155).

    Args:
        around: what the socket shares with the others.
        speaker: the socket.
    """

    __slots__ = ("_around", "_order", "_pace", "_place", "_rest", "_speaker")

    def __init__(self, around: Surroundings, speaker: Speaker) -> None:
        self._around = around
        self._speaker = speaker
        self._pace = Pace(around.config.frame_rate, around.config.byte_rate)
        self._order = -1  # of the last message published
        self._place: Place | None = None  # in line, while there is no room for a frame
        self._rest: asyncio.TimerHandle | None = None  # of a client that sends too fast

    @property
    def waits(self) -> bool:
        """True while no frame is taken; `Speaker.freed` tells of the end."""
        return self._place is not None or self._rest is not None

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

    def receive(self, frame: str | bytes) -> int | None:
        """Publish a frame, or return the code with which its socket is to be closed.

        Without room it waits in line, and so does its socket: nothing is read, so that TCP slows the client down.

        Args:
            frame: what the client sent.
        """
        faults, path = self._around.faults, self._speaker.path
        if above_limit(frame, self._around.config.frame_size):
            faults.note("frame_size", "a client of %.200a sent a frame above CONFIG['frame_size']", path)
            return 1009
        key = "text" if isinstance(frame, str) else "bytes"
        try:
            content = self._around.intake.encode(self._message(**{key: frame}))
        except InvalidContent as error:
            faults.note("frame_invalid", "a client of %.200a sent what cannot travel: %s", path, error)
            return 1009
        try:
            self._around.intake.offer("websocket.receive", content)
        except ChannelFull:
            patience, settled = self._around.config.publish_wait, partial(self._settled, len(frame))
            self._place = self._around.intake.stand_in_line("websocket.receive", content, patience, settled)
        else:
            self._order += 1
            self._keep_pace(len(frame))
        return None

    def _message(self, **content: Any) -> dict[str, Any]:
        speaker = self._speaker
        return {"reply_channel": speaker.reply_channel, "path": speaker.path, "order": self._order + 1, **content}

    def _settled(self, size: int, taken: bool) -> None:
        self._place = None
        code = None
        if taken:
            self._order += 1
            self._keep_pace(size)
        else:
            text = "a socket of %.200a was closed: websocket.receive stays full"
            self._around.faults.note("receive_full", text, self._speaker.path)
            code = 1013
        if not self.waits:
            # later, since what it brings next goes behind those in line, one of which is being settled
            asyncio.get_running_loop().call_soon(self._speaker.freed, code)

    def _keep_pace(self, size: int) -> None:
        """Have nothing read for a while if the client sends faster than CONFIG allows."""
        if not (behind := self._pace.take(size, time.monotonic())):
            return
        text = "a client of %.200a is slowed down: CONFIG['frame_rate'] is %g, CONFIG['byte_rate'] is %g"
        config = self._around.config
        self._around.faults.note("frame_rate", text, self._speaker.path, config.frame_rate, config.byte_rate)
        self._rest = asyncio.get_running_loop().call_later(behind, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self._speaker.freed(None)

    def close(self) -> None:
        """Wait for nothing any longer, since the socket is closed."""
        if self._place is not None:
            self._place.given_up = True
            self._place = None
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def disconnect(self, code: int) -> None:
        """Publish the `websocket.disconnect`, now or when there is room.

        Args:
            code: with which the connection ended.
        """
        self._around.intake.offer_late("websocket.disconnect", self._message(code=code))
