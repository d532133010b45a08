"""uvicorn's protocol for WebSockets, with limits that it lacks: on control frames, and on the pieces of a message."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from channelcelery.core.limits import Rate
from channelcelery.interface.limits import Gate

__all__ = ["LimitedSocketProtocol"]

#: Pieces of one message: each takes memory besides its bytes, of which it may have none.
_MAX_PIECES = 4_096
#: Bytes of pongs that wait for a client that does not read, and what one takes at most.
_MAX_PONGS, _PONG = 64 * 1024, 128


class LimitedSocketProtocol(WebSocketsSansIOProtocol):
    """Ends sockets that send pings in floods, do not read the pongs, or cut a message into too many pieces."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: called when the connection ends
        self.left: Any = None
        self.gate: Gate | None = None
        self._pings: Rate | None = None
        self._pongs = 0
        self._is_cut_off = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection."""
        if self.left is not None:
            self.left()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Take note that the client reads."""
        self._pongs = 0
        super().resume_writing()

    def handle_ping(self) -> None:
        """Answer a ping, unless there are too many: pongs are written whether the client reads or not."""
        if self.gate is not None:
            self._pings = self._pings or Rate(self.gate.config.frame_rate)
            self._pongs += 0 if self.writable.is_set() else _PONG
            if self._pongs > _MAX_PONGS or not self._pings.admits(self.loop.time()):
                self._cut_off("ping_flood", "a socket was cut off: its client sends pings in a flood")
        if not self._is_cut_off:
            super().handle_ping()

    def keepalive_timeout(self) -> None:
        """Close a socket that answered no ping, unless the answer may wait behind frames that are not read."""
        if self.read_paused and self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def handle_cont(self, event: Any) -> None:
        """Take a piece of a message."""
        if len(self.frames) >= _MAX_PIECES:
            self._cut_off("pieces", "a socket was cut off: its message came in too many pieces")
        if not self._is_cut_off:
            super().handle_cont(event)

    def _cut_off(self, reason: str, text: str) -> None:
        if not self._is_cut_off and self.gate is not None:
            self.gate.faults.note(reason, text)
        self._is_cut_off = True
        self.transport.abort()
