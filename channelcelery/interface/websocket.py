"""The handshake of a WebSocket: whether it is answered at all, and the `websocket.connect` that says who asked.

`open_socket` decides for any server. `serve_websocket` carries a socket over the events of a server's ASGI.
"""

import asyncio
from typing import Any

from channelcelery.core.websocket import choose_subprotocol
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.events import Plan, Receive, Scope, Send, refuse
from channelcelery.interface.outlet import Outlet
from channelcelery.interface.session import Session
from channelcelery.interface.surroundings import Surroundings
from channelcelery.interface.wire import Carried, Wire

__all__ = ["EventWire", "open_socket", "serve_websocket"]


def open_socket(around: Surroundings, scope: Scope, wire: Wire) -> Session | int:
    """Return the session of a socket, its connect published, or the HTTP status with which it is refused.

    Args:
        around: what it shares with the others.
        scope: the server's description of the handshake.
        wire: carries what it sends, as soon as this returned.
    """
    faults, path = around.faults, scope["path"]
    if reason := around.origins.refusal(scope["headers"]):
        text = "the WebSocket handshake of %.200a from %.100a was refused: %s"
        faults.note("handshake_forbidden", text, path, _client(scope), reason)
        return 403
    address = (scope.get("client") or (None,))[0]
    if (status := around.gate.enter(address)) is not None:
        return status
    opened = _open(around, scope, address, wire)
    if isinstance(opened, int):
        around.gate.leave(address)
    return opened


def _open(around: Surroundings, scope: Scope, address: str | None, wire: Wire) -> Session | int:
    faults, path = around.faults, scope["path"]
    if not around.node.takes_sockets:
        faults.note("not_ready", "sockets get 503 while the channel layer's Redis is away, or this process ends")
        return 503
    subprotocol = choose_subprotocol(scope.get("subprotocols") or (), around.subprotocols)
    session = Session(around, path, subprotocol, address, wire)
    try:
        session.begin(_connect_content(session.reply_channel, scope))
    except ChannelFull as error:
        faults.note("connect_full", "sockets get 503: %s", error)
        return 503
    except InvalidContent as error:
        faults.note("connect_invalid", "the WebSocket handshake of %.200a was refused: %s", path, error)
        return 403
    return session


async def serve_websocket(around: Surroundings, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI connection of type "websocket", until it ends.

    Args:
        around: what it shares with the others.
        scope: the server's description of the handshake.
        receive: the server's, for events.
        send: the server's, for events.
    """
    await receive()  # "websocket.connect", which says nothing that the scope does not
    wire = EventWire(around, send)
    opened = open_socket(around, scope, wire)
    if isinstance(opened, int):
        await refuse(scope, send, opened)
    else:
        await wire.run(opened, receive)


class EventWire:
    """Carries a socket over ASGI's events; see `Wire`.

    Args:
        around: what it shares with the others.
        send: the server's.
    """

    def __init__(self, around: Surroundings, send: Send) -> None:
        self._outlet = Outlet(send, around.config.send_buffer, around.config.send_timeout, self._failed)
        self._session: Carried | None = None
        self._task: asyncio.Task[Any] | None = None
        self._freed: asyncio.Future[None] | None = None
        self._has_left = False

    def carry(self, session: Carried) -> None:
        """Take note whose bytes it carries."""
        self._session = session

    async def run(self, session: Carried, receive: Receive) -> None:
        """Bring what the client sends to the session until the connection ends."""
        self._task = asyncio.current_task()
        try:
            session.ended(await self._read(session, receive))
        except asyncio.CancelledError:
            if not self._has_left:
                raise
            if self._task is not None:
                self._task.uncancel()
        finally:
            self._task = None
            session.ended()

    async def _read(self, session: Carried, receive: Receive) -> int:
        """Read messages one by one, and return the code with which the connection ended."""
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                # uvicorn says 1005 of a connection that was lost, too, but gives a reason with every closing frame
                lost = event.get("code") == 1005 and "reason" not in event
                return 1006 if lost else event.get("code") or 1005
            await self._until_free(session)
            text = event.get("text")
            session.receive(text if text is not None else event["bytes"])
            await self._until_free(session)

    async def _until_free(self, session: Carried) -> None:
        while not session.takes:
            self._freed = asyncio.get_running_loop().create_future()
            await self._freed

    def _failed(self, reason: str) -> None:
        if self._session is not None:
            self._session.blocked(reason)

    def put(self, plan: Plan) -> None:
        """Send a plan's events."""
        for event in plan.events:
            self._outlet.put(event, plan.size if event["type"] == "websocket.send" else 0)

    def go_on(self) -> None:
        """Read on."""
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)

    def last(self, code: int) -> bool:
        """Close with a code if the server takes that at once."""
        return self._outlet.last({"type": "websocket.close", "code": code})

    def stop(self) -> None:
        """Send nothing more."""
        self._outlet.stop()

    def leave(self) -> None:
        """End the ASGI call: the server ends the connection after it."""
        if self._task is not None and not self._has_left:
            self._has_left = True
            self._task.cancel()

    def abort(self) -> bool:
        """End the connection if the server shows its transport."""
        return self._outlet.abort()

    @property
    def stuck(self) -> bool:
        """Whether the server holds bytes."""
        return self._outlet.stuck

    @property
    def closing(self) -> bool:
        """Whether the server closes the connection."""
        return self._outlet.closing


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "an unknown client"


def _connect_content(reply_channel: str, scope: Scope) -> dict[str, Any]:
    """Return the message of item 114."""
    client, server = scope.get("client"), scope.get("server")
    return {
        "reply_channel": reply_channel,
        "scheme": scope.get("scheme") or "ws",
        "path": scope["path"],
        "query_string": scope.get("query_string") or b"",
        "root_path": scope.get("root_path") or "",
        "headers": [[name.lower(), value] for name, value in scope["headers"]],
        "client": list(client) if client else None,
        "server": list(server) if server else None,
        "subprotocols": list(scope.get("subprotocols") or ()),
        "order": 0,
    }
