"""Sends to the group of Channels 4."""

import asyncio

import django
from channels.layers import get_channel_layer

from benchmarks.others.sender import run


async def send(name: str, text: str) -> None:
    """Send a text to a group."""
    await get_channel_layer().group_send(name, {"type": "bench", "text": text})


if __name__ == "__main__":
    django.setup()
    asyncio.run(run(send))
