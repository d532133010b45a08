"""The least that an interface can do; BROKER and REDIS_PORT come from the environment.

No routing, sessions, limits, groups or reconnects: it exists to be measured beside the product in one run.
"""

import asyncio
import os
import queue
import secrets
import threading
from typing import Any

import msgpack
import redis.asyncio
from kombu import Connection, Exchange, Producer

BATCH = int(os.environ.get("BATCH", "64"))
outgoing: "queue.SimpleQueue[dict[str, str]]" = queue.SimpleQueue()
sockets: dict[str, Any] = {}
running: "list[asyncio.Task[None]]" = []


def publish() -> None:
    """Publish what there is, in batches while there is more."""
    producer = Producer(Connection(os.environ["BROKER"]).channel(), exchange=Exchange(""), auto_declare=False)
    while True:
        batch = [outgoing.get()]
        while len(batch) < BATCH:
            try:
                batch.append(outgoing.get_nowait())
            except queue.Empty:
                break
        producer.publish(
            msgpack.packb(batch),
            routing_key="floor",
            content_type="application/data",
            content_encoding="binary",
            delivery_mode=1,
        )


async def deliver() -> None:
    """Send to the sockets what comes back."""
    client: Any = redis.asyncio.Redis(port=int(os.environ["REDIS_PORT"]), socket_timeout=None)
    last = "0"
    while True:
        found = await client.xread({"floor:inbox": last}, count=500, block=5000)
        if not found:
            continue
        entries = found[0][1] if isinstance(found, list) else next(iter(found.values()))
        if entries and isinstance(entries[0], list):
            entries = entries[0]
        for last, fields in entries:  # noqa: B007
            for token, text in msgpack.unpackb(fields[b"d"]):
                send = sockets.get(token)
                if send:
                    await send({"type": "websocket.send", "text": text})


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept every socket, and publish what it sends."""
    if scope["type"] != "websocket":
        return
    if not running:
        threading.Thread(target=publish, daemon=True).start()
        running.append(asyncio.create_task(deliver()))
    await receive()
    await send({"type": "websocket.accept"})
    token = secrets.token_hex(16)
    sockets[token] = send
    try:
        while (event := await receive())["type"] != "websocket.disconnect":
            outgoing.put({"reply": token, "path": scope["path"], "text": event["text"]})
    finally:
        del sockets[token]
