"""ASGI as this package writes it: the types of a server's callables, and the events that are sent to it."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from channelcelery.core.websocket import Accept, Action, Close, Refuse, SendBytes, SendText, State

__all__ = ["RETRY_AFTER", "Event", "Plan", "Receive", "Scope", "Send", "plan_of", "send_unavailable"]

Event = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

#: What a client that found no room is told to wait, in seconds.
RETRY_AFTER = b"2"
#: Seconds in which a server is done with a handshake that it answered.
_SETTLE = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a socket: made once for many sockets in the same state.

    Args:
        events: ASGI events, never changed, each with roughly the bytes that it puts on the wire.
        state: what the socket is in afterwards, or None if that does not change.
        code: the close code, where it is closed with one.
    """

    events: tuple[tuple[Event, int], ...]
    state: State | None = None
    code: int | None = None


def plan_of(actions: Sequence[Action], subprotocol: str | None = None) -> Plan:
    """Turn decisions into a plan.

    Args:
        actions: what `core.websocket.decide` decided.
        subprotocol: what an acceptance tells the client.
    """
    events: list[tuple[Event, int]] = []
    state, code = None, None
    for action in actions:
        match action:
            case SendText(text):
                # characters for bytes: near enough for a limit, and free
                events.append(({"type": "websocket.send", "text": text}, len(text)))
            case SendBytes(data):
                events.append(({"type": "websocket.send", "bytes": data}, len(data)))
            case Accept():
                events.append(({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []}, 0))
                state = State.OPEN
            case Close():
                code, state = action.code, State.CLOSED
                events.append(({"type": "websocket.close", "code": code}, 0))
            case Refuse():
                events.append(({"type": "websocket.close"}, 0))
                state = State.CLOSED
    return Plan(tuple(events), state, code)


async def send_unavailable(scope: Scope, send: Send, status: int = 503) -> None:
    """Answer a handshake with 503, or 429, and Retry-After; or with 403 where the server cannot say that."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", RETRY_AFTER)]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"There is no room now; try again.\n"})
    # uvicorn takes it for an error if the application returns before the connection is gone
    await asyncio.sleep(_SETTLE)
