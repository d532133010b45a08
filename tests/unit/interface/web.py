"""Browsers without sockets: HTTP requests to what serves them, on fakes."""

import asyncio
from typing import Any

from channelcelery.interface.bodies import Limits
from channelcelery.interface.http import HttpByWorkers
from tests.unit.interface.fakes import FakePieces, FakeTransport, World, until


class Browser:
    """One request as an ASGI server sees it; like uvicorn's, `receive` reports an end once the response is complete.

    Args:
        world: what serves it.
        scope: what differs from a plain GET of /page/.
        pieces: its body; all but the last are followed by more.
        complete: whether the last piece is.
    """

    def __init__(self, world: World, pieces: tuple[bytes, ...] = (b"",), complete: bool = True, **scope: Any) -> None:
        self.world = world
        self.transport = FakeTransport()
        self.sent: list[dict[str, Any]] = []
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.writable = asyncio.Event()
        self.writable.set()
        for number, piece in enumerate(pieces, 1):
            self.put(piece, more=not complete or number < len(pieces))
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/page/",
            "raw_path": b"/page/",
            "query_string": b"a=%20b",
            "root_path": "",
            "headers": [(b"host", b"example.org"), (b"x-one", b"1"), (b"x-one", b"2")],
            "client": ("192.0.2.1", 4711),
            "server": ("192.0.2.2", 80),
            **scope,
        }
        config = world.config
        limits = Limits(config.body_size, config.body_timeout, config.body_rate, world.faults)
        self.task = asyncio.ensure_future(HttpByWorkers(world.around, limits)(self.scope, self.receive, self.send))

    def put(self, piece: bytes, more: bool = False) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, event: Any) -> None:
        await self.writable.wait()
        self.sent.append(event)
        if event["type"] == "http.response.body" and not event.get("more_body", False):
            self.leave()

    def leave(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(event["body"] for event in self.sent[1:])

    @property
    def is_complete(self) -> bool:
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)

    # what a worker does

    async def request(self) -> dict[str, Any]:
        """Wait for its message."""
        await until(lambda: self.token)
        return self.world.publisher.contents("http.request")[-1]

    @property
    def token(self) -> str | None:
        return next(iter(self.world.hub.channels()), None)

    def reply(self, **reply: Any) -> None:
        assert self.token is not None
        self.world.reply(self.token, **reply)

    @property
    def pieces(self) -> FakePieces:
        return self.world.node.pieces

    async def end(self) -> None:
        async with asyncio.timeout(5):
            await self.task
        await self.world.around.errands.finish(1)
