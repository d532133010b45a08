"""Sends to the room of python-socketio."""

import asyncio
import os

import socketio

from benchmarks.others.sender import run


async def main() -> None:
    """Send what each line says."""
    manager = socketio.AsyncRedisManager(os.environ["CHANNEL_LAYER_URL"], write_only=True)

    async def send(name: str, text: str) -> None:
        await manager.emit("bench", text, room=name)

    await run(send)


if __name__ == "__main__":
    asyncio.run(main())
