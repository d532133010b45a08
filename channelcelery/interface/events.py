"""What is said to sockets, and how: plans made once for many of them, as ASGI's events and as bytes of the wire."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from websockets.frames import Frame, Opcode

from channelcelery.core.websocket import Accept, Action, Close, Refuse, SendBytes, SendText, State

__all__ = ["RETRY_AFTER", "Event", "Plan", "Receive", "Scope", "Send", "refuse"]

Event = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

#: What a client that found no room is told to wait, in seconds.
RETRY_AFTER = b"2"
#: Seconds in which a server is done with a handshake that it answered.
_SETTLE = 0.05


class Plan:
    """What is to be done with a socket: made once for many sockets in the same state, and never changed.

    Args:
        actions: in order; at most one of them sends data.
        subprotocol: what an acceptance tells the client.
    """

    __slots__ = ("_events", "_frame", "_packed", "actions", "code", "is_data", "size", "state", "subprotocol")

    def __init__(self, actions: Sequence[Action], subprotocol: str | None = None) -> None:
        self.actions = tuple(actions)
        self.subprotocol = subprotocol
        #: what the socket is in afterwards, or None if that does not change
        self.state: State | None = None
        #: the close code, where it is closed with one
        self.code: int | None = None
        #: bytes of memory that its data takes
        self.size = 0
        for action in actions:
            match action:
                case SendText(content) | SendBytes(content):
                    # of a text up to four for each character
                    self.size = sys.getsizeof(content)
                case Accept():
                    self.state = State.OPEN
                case Close(code):
                    self.state, self.code = State.CLOSED, code
                case Refuse():
                    self.state = State.CLOSED
        #: whether it does nothing but send
        self.is_data = self.state is None
        self._events: tuple[Event, ...] | None = None
        self._frame: bytes | None = None
        self._packed: Plan | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """ASGI's events for it, which nobody may change."""
        if self._events is None:
            self._events = tuple(_event(action, self.subprotocol) for action in self.actions)
        return self._events

    @property
    def frame(self) -> bytes:
        """The data as bytes of the wire, without compression: encoded once, for however many sockets."""
        if self._frame is None:
            sends = [action for action in self.actions if isinstance(action, SendText | SendBytes)]
            self._frame = b"".join(_frame(action) for action in sends)
        return self._frame

    @property
    def packed(self) -> "Plan":
        """The same as bytes of the wire alone, to wait where only data is sent: the text would take as much again."""
        if self._packed is None:
            self._packed = Plan(())
            self._packed._frame = self.frame
            self._packed.size = sys.getsizeof(self.frame)
        return self._packed


def _event(action: Action, subprotocol: str | None) -> Event:
    match action:
        case SendText(text):
            return {"type": "websocket.send", "text": text}
        case SendBytes(data):
            return {"type": "websocket.send", "bytes": data}
        case Accept():
            return {"type": "websocket.accept", "subprotocol": subprotocol, "headers": []}
        case Close(code):
            return {"type": "websocket.close", "code": code}
        case Refuse():
            return {"type": "websocket.close"}


def _frame(action: SendText | SendBytes) -> bytes:
    if isinstance(action, SendText):
        return Frame(Opcode.TEXT, action.text.encode()).serialize(mask=False)
    return Frame(Opcode.BINARY, action.data).serialize(mask=False)


async def refuse(scope: Scope, send: Send, status: int = 503) -> None:
    """Answer a handshake with 403, or with 503 or 429 and Retry-After; 403 where the server cannot say these."""
    if status == 403 or "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", RETRY_AFTER)]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"There is no room now; try again.\n"})
    # uvicorn takes it for an error if the application returns before the connection is gone
    await asyncio.sleep(_SETTLE)
