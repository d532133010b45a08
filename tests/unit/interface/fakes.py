"""An ASGI server, a publisher and an inbox without I/O, for one event loop."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from channelcelery.conf import LayerConfig, layer_config
from channelcelery.core.envelope import decode_content, decode_item
from channelcelery.core.inbox import Entry
from channelcelery.exceptions import ChannelFull, LayerUnavailable
from channelcelery.interface.errands import Errands
from channelcelery.interface.faults import Faults
from channelcelery.interface.hub import Hub
from channelcelery.interface.intake import Intake
from channelcelery.interface.limits import Gate
from channelcelery.interface.origins import Origins
from channelcelery.interface.surroundings import Surroundings
from channelcelery.interface.websocket import serve_websocket
from channelcelery.layers.inbox import Beat
from channelcelery.layers.pieces import MAX_PIECES

REFUSED = {"type": "websocket.close"}


def accepted(subprotocol: str | None = None) -> dict[str, Any]:
    return {"type": "websocket.accept", "subprotocol": subprotocol, "headers": []}


def text(value: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": value}


def closed(code: int) -> dict[str, Any]:
    return {"type": "websocket.close", "code": code}


def make_config(**config: Any) -> LayerConfig:
    return layer_config("default", {"BACKEND": "channelcelery.layers.InMemoryChannelLayer", "CONFIG": config})


async def until(condition: Callable[[], Any], timeout: float = 5.0) -> Any:
    """Let the event loop run until a condition holds."""
    async with asyncio.timeout(timeout):
        while not (result := condition()):
            await asyncio.sleep(0.001)
    return result


@dataclass
class FakeOffers:
    """The publisher: keeps what it is offered. A full channel takes as many more as there is `room`."""

    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    full: set[str] = field(default_factory=set)
    room: int = 0
    published: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    stopped: bool = False

    def offer(self, channel: str, item: bytes) -> None:
        if channel in self.full:
            if not self.room:
                self.refusals += 1
                raise ChannelFull([channel])
            self.room -= 1
        self.taken.append((channel.removeprefix("websocket."), decode_item(item).content))

    def stop(self, timeout: float) -> None:
        self.stopped = True

    @property
    def channels(self) -> list[str]:
        return [channel for channel, _ in self.taken]

    def contents(self, channel: str) -> list[dict[str, Any]]:
        return [content for name, content in self.taken if name == channel]


@dataclass
class FakeTransport:
    """What an outlet finds behind a server's `send`."""

    buffered: int = 0
    closing: bool = False
    aborted: int = 0

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted += 1


class FakeServer:
    """One connection as an ASGI server sees it; like uvicorn, it reports the end of what the application closed.

    Args:
        reports_closes: whether `receive` brings a disconnect after the application refused or closed.
        transport: what can be aborted, if anything.
    """

    def __init__(self, *, reports_closes: bool = True, transport: FakeTransport | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone: Exception | None = None
        self.reports_closes = reports_closes
        if transport is not None:
            self.transport = transport
        self.incoming.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> dict[str, Any]:
        self.reads += 1
        return await self.incoming.get()

    async def send(self, event: Any) -> None:
        await self.writable.wait()
        if self.gone is not None:
            raise self.gone
        self.sent.append(event)
        if event["type"] == "websocket.close" and self.reports_closes:
            self.disconnect(event.get("code", 1006))

    def disconnect(self, code: int = 1005) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    def text(self, value: str) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": value})

    def bytes(self, value: bytes) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "bytes": value})


@dataclass
class FakePieces:
    """What carries long bodies: keeps what it is told, and takes as many pieces as there is room for."""

    body: list[dict[str, Any]] = field(default_factory=list)
    granted: list[int] = field(default_factory=list)
    dropped: int = 0
    away: bool = False

    def _reach(self) -> None:
        if self.away:
            raise LayerUnavailable("it was taken away")

    async def put_body(self, token: str, content: bytes) -> bool:
        await asyncio.sleep(0)
        self._reach()
        if len(self.body) == MAX_PIECES:
            return False
        self.body.append(decode_content(content))
        return True

    async def grant(self, token: str, credits: int) -> None:
        await asyncio.sleep(0)
        self._reach()
        self.granted.append(credits)

    async def drop_pieces(self, token: str) -> None:
        await asyncio.sleep(0)
        self._reach()
        self.body.clear()
        self.dropped += 1

    async def close(self) -> None:
        """There is nothing to end."""


@dataclass
class FakeNode:
    name: str = "node"
    ready: bool = True
    draining: bool = False
    pieces: FakePieces = field(default_factory=FakePieces)

    @property
    def takes_sockets(self) -> bool:
        return self.ready and not self.draining


class World:
    """Everything that a socket needs, with a publisher that keeps what it gets."""

    def __init__(self, subprotocols: Sequence[str] = (), **config: Any) -> None:
        self.config = make_config(**config)
        self.faults = Faults()
        self.publisher = FakeOffers()
        self.node = FakeNode()
        self.changed = 0
        self.hub = Hub(self.faults, self._count, most_groups=self.config.socket_groups)
        self.intake = Intake(self.config, self.publisher, self.faults)
        origins = Origins(["example.org"], ["example.org"])
        self.around = Surroundings(
            self.config,
            self.node,
            self.hub,
            self.intake,
            self.faults,
            Errands(self.faults),
            origins,
            Gate(self.config, self.faults),
            subprotocols=subprotocols,
        )

    def _count(self) -> None:
        self.changed += 1

    def scope(self, path: str = "/chat/", **more: Any) -> dict[str, Any]:
        return {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"example.org")],
            "scheme": "ws",
            "client": ("192.0.2.1", 4711),
            "server": ("192.0.2.2", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
            **more,
        }

    def connect(self, server: Any, **scope: Any) -> asyncio.Task[None]:
        """Let a client connect; the task ends with its connection."""
        if hasattr(server, "connect"):  # an `own_server.OwnServer`
            task: asyncio.Task[None] = server.connect(self, self.scope(**scope))
            return task
        serving = serve_websocket(self.around, self.scope(**scope), server.receive, server.send)
        return asyncio.ensure_future(serving)

    async def open(self, server: Any, **scope: Any) -> tuple[str, asyncio.Task[None]]:
        """Let a client connect and accept it; returns the token."""
        known = set(self.hub.channels())
        task = self.connect(server, **scope)
        await until(lambda: len(self.hub) > len(known))
        (token,) = self.hub.channels().keys() - known
        self.reply(token, accept=True)
        await until(lambda: server.sent)
        return token, task

    def reply(self, token: str, **reply: Any) -> None:
        """Do what the hub does for a reply that came through the inbox."""
        from channelcelery.core.inbox import RepliesEntry

        self.apply(RepliesEntry(((token, reply),)))

    def apply(self, *entries: Entry) -> None:
        for entry in entries:
            for _ in self.hub.apply(entry):
                pass


class FakeInbox:
    """An inbox whose Redis a test can take away, empty, or let take the node for dead."""

    def __init__(self, node: str, calls: list[tuple[Any, ...]]) -> None:
        self.node = node
        self.calls = calls
        self.entries: deque[Entry] = deque()
        self.away = False
        self.beats: deque[Beat] = deque()
        self.there = asyncio.Event()

    def push(self, *entries: Entry) -> None:
        self.entries.extend(entries)
        self.there.set()

    def _call(self, name: str, *values: Any) -> None:
        self.calls.append((name, self.node, *values))
        if self.away:
            raise LayerUnavailable("it was taken away")

    async def open(self) -> None:
        self._call("open")

    async def read(self) -> Sequence[Entry]:
        await asyncio.sleep(0)
        self._call("read")
        if not self.entries:
            self.there.clear()
            try:
                await asyncio.wait_for(self.there.wait(), 0.05)
            except TimeoutError:
                return ()
            if self.away:
                raise LayerUnavailable("it was taken away")
        taken = tuple(self.entries)
        self.entries.clear()
        return taken

    async def beat(self) -> Beat:
        self._call("beat")
        return self.beats.popleft() if self.beats else Beat.ALIVE

    async def record(
        self, opened: Mapping[str, str], closed: Collection[str], left: Collection[tuple[str, str]]
    ) -> None:
        self._call("record", dict(opened), set(closed), set(left))

    async def rebuild(self, channels: Mapping[str, str], groups: Mapping[str, Collection[str]]) -> None:
        self._call("rebuild", dict(channels), {group: set(tokens) for group, tokens in groups.items()})

    async def close(self) -> None:
        self._call("close")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run an async test, in debug mode off, with a limit."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await main()

    asyncio.run(limited())
