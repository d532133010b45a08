"""python-socketio: a room, by its Redis manager."""

import os
from typing import Any

import socketio

# a ping that the load client would have to answer in Socket.IO's own words does not come in these seconds
server = socketio.AsyncServer(
    async_mode="asgi",
    client_manager=socketio.AsyncRedisManager(os.environ["CHANNEL_LAYER_URL"]),
    ping_interval=600,
)


@server.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    """Join the room before the client is told that it is connected."""
    await server.enter_room(sid, "bench")


application = socketio.ASGIApp(server)
