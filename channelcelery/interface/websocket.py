"""The handshake of a WebSocket: whether it is answered at all, and the `websocket.connect` that says who asked."""

from typing import Any

from channelcelery.core.websocket import choose_subprotocol
from channelcelery.exceptions import ChannelFull, InvalidContent
from channelcelery.interface.events import Receive, Scope, Send, send_unavailable
from channelcelery.interface.session import Session
from channelcelery.interface.surroundings import Surroundings

__all__ = ["serve_websocket"]


async def serve_websocket(around: Surroundings, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one ASGI connection of type "websocket", until it ends.

    Args:
        around: what it shares with the others.
        scope: the server's description of the handshake.
        receive: the server's, for events.
        send: the server's, for events.
    """
    await receive()  # "websocket.connect", which says nothing that the scope does not
    faults, path = around.faults, scope["path"]
    if reason := around.origins.refusal(scope["headers"]):
        text = "the WebSocket handshake of %.200a from %.100a was refused: %s"
        faults.note("handshake_forbidden", text, path, _client(scope), reason)
        await send({"type": "websocket.close"})
        return
    address = (scope.get("client") or (None,))[0]
    if (status := around.gate.enter(address)) is not None:
        await send_unavailable(scope, send, status)
        return
    try:
        await _serve(around, scope, receive, send)
    finally:
        around.gate.leave(address)


async def _serve(around: Surroundings, scope: Scope, receive: Receive, send: Send) -> None:
    faults, path = around.faults, scope["path"]
    if not around.node.takes_sockets:
        faults.note("not_ready", "sockets get 503 while the channel layer's Redis is away, or this process ends")
        await send_unavailable(scope, send)
        return
    subprotocol = choose_subprotocol(scope.get("subprotocols") or (), around.subprotocols)
    session = Session(around, path, subprotocol, send)
    try:
        session.begin(_connect_content(session.reply_channel, scope))
    except ChannelFull as error:
        faults.note("connect_full", "sockets get 503: %s", error)
        await send_unavailable(scope, send)
    except InvalidContent as error:
        faults.note("connect_invalid", "the WebSocket handshake of %.200a was refused: %s", path, error)
        await send({"type": "websocket.close"})
    else:
        await session.run(receive)


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
