"""A socket's life: messages out, replies in, and every way to end (Channels 1.x, items 114 to 127)."""

import asyncio
import logging
import random
import time
from typing import Any

import pytest

from channelcelery.core.inbox import GroupEntry, JoinEntry
from channelcelery.core.membership import Changes
from channelcelery.core.names import reply_address
from channelcelery.exceptions import ChannelFull
from channelcelery.interface.session import Session
from channelcelery.interface.websocket import EventWire
from tests.unit.interface.fakes import (
    REFUSED,
    FakeOffers,
    FakeServer,
    FakeTransport,
    World,
    accepted,
    closed,
    run,
    text,
    until,
)
from tests.unit.interface.own_server import OwnServer

#: Under which a session is the same: ASGI's events, and our own protocol.
Kind = type[FakeServer] | type[OwnServer]


@pytest.fixture(params=[FakeServer, OwnServer])
def kind(request: pytest.FixtureRequest) -> Kind:
    """What carries the socket."""
    found: Kind = request.param
    return found


# the handshake


def test_connect_says_who_asked(kind: Kind) -> None:
    """Item 114."""

    async def main() -> None:
        world, server = World(), kind()
        headers = [(b"host", b"example.org"), (b"X-Twice", b"1"), (b"x-twice", b"\xff")]
        task = world.connect(
            server, path="/chat/ü/", query_string=b"a=%20", root_path="/app", headers=headers, subprotocols=["v1", "v2"]
        )
        await until(lambda: world.publisher.taken)
        ((channel, content),) = world.publisher.taken
        address = reply_address(content.pop("reply_channel"))
        assert channel == "connect"
        assert (address.node, address.token) == ("node", next(iter(world.hub.channels())))
        assert len(address.token) >= 22
        assert content == {
            "scheme": "ws",
            "path": "/chat/ü/",
            "query_string": b"a=%20",
            "root_path": "/app",
            "headers": [[b"host", b"example.org"], [b"x-twice", b"1"], [b"x-twice", b"\xff"]],
            "client": ["192.0.2.1", 4711],
            "server": ["192.0.2.2", 80],
            "subprotocols": ["v1", "v2"],
            "order": 0,
        }
        assert server.sent == []
        task.cancel()

    run(main)


def test_a_server_that_knows_little_is_enough() -> None:
    async def main() -> None:
        world, server = World(), FakeServer()
        from channelcelery.interface.websocket import serve_websocket

        scope = {"type": "websocket", "path": "/", "headers": [(b"host", b"example.org")]}
        task = asyncio.ensure_future(serve_websocket(world.around, scope, server.receive, server.send))
        await until(lambda: world.publisher.taken)
        content = world.publisher.taken[0][1]
        assert (content["scheme"], content["query_string"], content["root_path"]) == ("ws", b"", "")
        assert (content["client"], content["server"], content["subprotocols"]) == (None, None, [])
        task.cancel()

    run(main)


def test_reply_channels_cannot_be_guessed() -> None:
    """Defect 20: given the same state of `random` twice, expect other names, each with 128 bits of its own."""
    world, tokens = World(), set()
    for _ in range(100):
        random.seed(0)
        tokens.add(Session(world.around, "/", None, None, EventWire(world.around, FakeServer().send)).token)
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 22  # six bits each


def test_a_whole_life_in_order(kind: Kind) -> None:
    """Given a socket, If it is accepted, speaks and leaves, Expect one message each, numbered (items 114 to 116)."""
    # items 114, 115 and 116

    async def main() -> None:
        world, server = World(), kind()
        token, task = await world.open(server)
        assert server.sent == [accepted()]
        server.text("a")
        server.bytes(b"\x00\xff")
        server.text("")
        server.disconnect(3001)
        await task
        name = world.publisher.taken[0][1]["reply_channel"]
        assert world.publisher.taken[1:] == [
            ("receive", {"reply_channel": name, "path": "/chat/", "order": 1, "text": "a"}),
            ("receive", {"reply_channel": name, "path": "/chat/", "order": 2, "bytes": b"\x00\xff"}),
            ("receive", {"reply_channel": name, "path": "/chat/", "order": 3, "text": ""}),
            ("disconnect", {"reply_channel": name, "path": "/chat/", "code": 3001, "order": 4}),
        ]
        assert token not in world.hub.channels()
        assert not world.faults.dropped
        assert len(asyncio.all_tasks()) == 1

    run(main)


def test_nothing_a_client_says_is_published_before_it_is_answered() -> None:
    """Item 123: one frame is held back, and no further one is read."""

    async def main() -> None:
        world, server = World(), FakeServer()
        task = world.connect(server)
        server.text("early")
        server.text("earlier")
        await until(lambda: server.reads == 2)
        await asyncio.sleep(0.02)
        assert world.publisher.channels == ["connect"]
        assert server.reads == 2
        (token,) = world.hub.channels()
        world.reply(token, accept=True)
        await until(lambda: len(world.publisher.taken) == 3)
        assert [content["text"] for content in world.publisher.contents("receive")] == ["early", "earlier"]
        server.disconnect()
        await task

    run(main)


@pytest.mark.parametrize(
    ("event", "code"),
    [({"code": 1005}, 1006), ({"code": 1005, "reason": ""}, 1005), ({"code": 4001}, 4001), ({}, 1005)],
)
def test_a_connection_that_was_lost_is_told_from_one_that_was_closed(event: dict[str, Any], code: int) -> None:
    """Item 116: as uvicorn reports them; 1006 is for connections without a closing frame (RFC 6455, section 7.1.5)."""

    async def main() -> None:
        world, server = World(), FakeServer()
        _, task = await world.open(server)
        server.incoming.put_nowait({"type": "websocket.disconnect", **event})
        await task
        assert [content["code"] for content in world.publisher.contents("disconnect")] == [code]

    run(main)


def test_the_answer_may_come_at_once(kind: Kind) -> None:
    class Quick(FakeOffers):
        def offer(self, channel: str, item: bytes) -> None:
            super().offer(channel, item)
            if channel == "websocket.connect":
                world.reply(next(iter(world.hub.channels())), text="hello")

    async def main() -> None:
        world.intake._publisher = world.publisher = Quick()
        server = kind()
        task = world.connect(server)
        await until(lambda: len(server.sent) == 2)
        assert server.sent == [accepted(), text("hello")]
        server.disconnect()
        await task
        assert world.publisher.channels == ["connect", "disconnect"]

    world = World()
    run(main)


def test_no_answer_refuses(kind: Kind) -> None:
    """Item 122."""

    async def main() -> None:
        world, server = World(connect_timeout=0.05), kind()
        await world.connect(server)
        assert server.sent == [REFUSED]
        assert world.publisher.channels == ["connect", "disconnect"]
        assert world.publisher.taken[1][1]["order"] == 1
        assert world.faults.dropped == {"handshake_timeout": 1}
        assert len(world.hub) == 0

    run(main)


def test_an_answer_ends_the_time_limit(kind: Kind) -> None:
    async def main() -> None:
        world, server = World(connect_timeout=0.2), kind()
        _, task = await world.open(server)
        await asyncio.sleep(0.3)
        assert server.sent == [accepted()]
        server.disconnect()
        await task

    run(main)


@pytest.mark.parametrize("reply", [{"accept": False}, {"close": True}, {"close": 4001}])
def test_a_consumer_refuses(reply: dict[str, Any], caplog: pytest.LogCaptureFixture, kind: Kind) -> None:
    """Items 121, 126: 403, and a disconnect all the same."""

    async def main() -> None:
        world, server = World(), kind()
        task = world.connect(server)
        await until(lambda: len(world.hub))
        with caplog.at_level(logging.INFO, "django.channels.interface"):
            world.reply(next(iter(world.hub.channels())), **reply)
        await task
        assert server.sent == [REFUSED]
        assert world.publisher.channels == ["connect", "disconnect"]
        content = world.publisher.taken[1][1]
        assert (content["code"], content["order"]) == (1006, 1)

    run(main)
    assert [record.getMessage() for record in caplog.records] == ["WebSocket '/chat/' was refused"]


def test_a_consumer_says_why_it_closes(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    """Item 119: then it was accepted, as its line says, too."""

    async def main() -> None:
        world, server = World(), kind()
        task = world.connect(server)
        await until(lambda: len(world.hub))
        with caplog.at_level(logging.INFO, "django.channels.interface"):
            world.reply(next(iter(world.hub.channels())), text="no such room", close=4001)
            await task
        assert server.sent == [accepted(), text("no such room"), closed(4001)]

    run(main)
    (record,) = caplog.records
    assert record.getMessage().startswith("WebSocket '/chat/' ended with 4001 after ")


def test_a_client_that_leaves_during_the_handshake_is_disconnected(kind: Kind) -> None:
    """Item 127."""

    async def main() -> None:
        world, server = World(), kind()
        task = world.connect(server)
        await until(lambda: len(world.hub))
        server.disconnect(1006)
        await task
        assert world.publisher.channels == ["connect", "disconnect"]
        assert world.publisher.taken[1][1]["order"] == 1
        assert server.sent == []

    run(main)


def test_the_subprotocol_is_told(kind: Kind) -> None:
    """Item 124."""

    async def main() -> None:
        world, server = World(subprotocols=["v3", "v2"]), kind()
        _, task = await world.open(server, subprotocols=["v1", "v2", "v3"])
        assert server.sent == [accepted("v2")]
        server.disconnect()
        await task

    run(main)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(b"host", b"example.org"), (b"origin", b"https://evil.test")], "https://evil.test"),
        ([(b"host", b"evil.test")], "evil.test"),
        ([(b"host", b"example.org"), (b"cookie", b"sessionid=s3cret")], "no Origin"),
        ([(b"host", b"example.org"), (b"x", b"\r\n")], "control characters"),
    ],
)
def test_forbidden_handshakes_reach_no_queue(
    headers: list[tuple[bytes, bytes]], reason: str, caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    async def main() -> None:
        world = World()
        for _ in range(3):
            server = kind()
            await world.connect(server, headers=headers, path="/\n\x1b[31m")
            assert server.sent == [REFUSED]
        assert world.publisher.taken == []
        assert world.faults.dropped == {"handshake_forbidden": 3}

    run(main)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert reason in record.getMessage()
    assert record.getMessage().isprintable()
    assert "s3cret" not in record.getMessage()


def unavailable(server: FakeServer) -> bool:
    start, body = server.sent
    assert start["type"] == "websocket.http.response.start"
    assert body["type"] == "websocket.http.response.body"
    return start["status"] == 503 and b"retry-after" in dict(start["headers"])


@pytest.mark.parametrize("extensions", [{"websocket.http.response": {}}, {}, None])
def test_a_full_queue_refuses_with_503_where_the_server_can(extensions: dict[str, Any] | None) -> None:
    """Item 60; and no disconnect, since there was no connect."""

    async def main() -> None:
        world, server = World(), FakeServer()
        world.publisher.full = {"websocket.connect"}
        await world.connect(server, extensions=extensions)
        assert unavailable(server) if extensions else server.sent == [REFUSED]
        assert world.publisher.taken == []
        assert world.faults.dropped == {"connect_full": 1}
        assert len(world.hub) == 0
        assert not world.hub.changes

    run(main)


def test_sockets_are_refused_while_redis_is_away(kind: Kind) -> None:
    async def main() -> None:
        world, server = World(), kind()
        world.node.ready = False
        await world.connect(server)
        assert unavailable(server)
        assert world.publisher.taken == []
        assert world.faults.dropped == {"not_ready": 1}

    run(main)


@pytest.mark.parametrize(
    "scope", [{"path": "/\ud800"}, {"headers": [(b"host", b"example.org"), (b"x", b"a" * 60_000)]}]
)
def test_a_handshake_that_cannot_travel_is_refused(scope: dict[str, Any], kind: Kind) -> None:
    async def main() -> None:
        world, server = World(message_size=50_000), kind()
        await world.connect(server, **scope)
        assert server.sent == [REFUSED]
        assert world.publisher.taken == []
        assert len(world.hub) == 0

    run(main)


# replies


def test_replies_become_frames(kind: Kind) -> None:
    """Items 118 to 120."""

    async def main() -> None:
        world, server = World(), kind()
        token, task = await world.open(server)
        world.reply(token, text="a")
        world.reply(token, bytes=b"\x00")
        world.reply(token, text="", accept=True)
        world.reply(token, text="bye", close=4000)
        world.reply(token, text="after")
        await task
        data = {"type": "websocket.send", "bytes": b"\x00"}
        assert server.sent == [accepted(), text("a"), data, text("bye"), closed(4000)]
        assert world.publisher.contents("disconnect")[0]["code"] == 4000
        assert not world.faults.dropped

    run(main)


def test_a_bad_reply_is_logged_by_its_keys_and_the_socket_stays(caplog: pytest.LogCaptureFixture, kind: Kind) -> None:
    async def main() -> None:
        world, server = World(), kind()
        token, task = await world.open(server)
        world.reply(token, content="secret")
        world.reply(token, text=7)
        world.reply(token, text="a")
        assert server.sent == [accepted(), text("a")]
        assert world.faults.dropped == {"bad_reply": 2}
        server.disconnect()
        await task

    run(main)
    assert "unknown keys 'content'" in caplog.text
    assert "secret" not in caplog.text


def test_direct_and_group_messages_keep_their_order_also_while_the_client_is_slow(kind: Kind) -> None:
    async def main() -> None:
        world, server = World(), kind()
        token, task = await world.open(server)
        world.apply(JoinEntry("g", token))
        for n in range(20):
            if n == 5:
                server.writable.clear()
            world.reply(token, text=f"{n}r")
            world.apply(GroupEntry("g", {"text": f"{n}g"}))
        assert len(server.sent) == 11
        server.writable.set()
        await until(lambda: len(server.sent) == 41)
        assert [event["text"] for event in server.sent[1:]] == [f"{n}{k}" for n in range(20) for k in "rg"]
        server.disconnect()
        await task

    run(main)


def test_a_group_message_before_the_answer_accepts(kind: Kind) -> None:
    """Item 129."""

    async def main() -> None:
        world, server = World(subprotocols=["v1"]), kind()
        task = world.connect(server, subprotocols=["v1"])
        await until(lambda: len(world.hub))
        (token,) = world.hub.channels()
        world.apply(JoinEntry("g", token), GroupEntry("g", {"text": "x"}))
        world.reply(token, accept=True)
        assert server.sent == [accepted("v1"), text("x")]
        server.disconnect()
        await task

    run(main)


def test_the_hub_is_told_of_its_end_and_leaves_its_groups(kind: Kind) -> None:
    async def main() -> None:
        world, server = World(), kind()
        token, task = await world.open(server)
        assert world.hub.changes.take() == Changes({token: "/chat/"}, set(), set())
        world.apply(JoinEntry("g", token))
        server.disconnect()
        await task
        assert world.hub.changes.take() == Changes({}, {token}, {("g", token)})
        assert world.hub.groups() == {}

    run(main)


# limits


@pytest.mark.parametrize("frame", ["x" * 11, "é" * 6, b"x" * 11])
def test_a_frame_above_the_limit_closes_with_1009(frame: str | bytes, kind: Kind) -> None:
    async def main() -> None:
        world, server = World(frame_size=10), kind()
        _, task = await world.open(server)
        server.text("x" * 10)
        server.bytes(b"x" * 10)
        server.text(frame) if isinstance(frame, str) else server.bytes(frame)
        server.text("ignored")
        await task
        assert server.sent == [accepted(), closed(1009)]
        assert world.publisher.channels == ["connect", "receive", "receive", "disconnect"]
        assert world.publisher.taken[-1][1]["code"] == 1009
        assert world.faults.dropped == {"frame_size": 1}

    run(main)


def test_a_frame_above_what_a_message_may_take_closes_with_1009(kind: Kind) -> None:
    async def main() -> None:
        world, server = World(message_size=400, frame_size=1000), kind()
        _, task = await world.open(server)
        server.text("x" * 500)
        await task
        assert server.sent == [accepted(), closed(1009)]
        assert world.faults.dropped == {"frame_invalid": 1}

    run(main)


def test_while_the_queue_is_full_the_socket_is_not_read() -> None:
    """Given a full queue, If there is room again in time, Expect the frames in order and none lost."""
    # item 60

    async def main() -> None:
        world, server = World(), FakeServer()
        _, task = await world.open(server)
        await until(lambda: server.reads == 2)
        world.publisher.full = {"websocket.receive"}
        server.text("a")
        server.text("b")
        await until(lambda: world.publisher.refusals >= 2)
        assert server.reads == 2, "'b' waits in the server, and from there in TCP"
        world.publisher.full = set()
        await until(lambda: len(world.publisher.taken) == 3)
        assert [(m["text"], m["order"]) for m in world.publisher.contents("receive")] == [("a", 1), ("b", 2)]
        server.disconnect()
        await task

    run(main)


def test_a_queue_that_stays_full_closes_with_1013_and_ignores_what_follows(kind: Kind) -> None:
    """Item 60."""

    async def main() -> None:
        world, server = World(publish_wait=0.1), kind()
        _, task = await world.open(server)
        world.publisher.full = {"websocket.receive"}
        server.text("a")
        await until(lambda: closed(1013) in server.sent)
        world.publisher.full = set()
        await task
        assert world.publisher.channels == ["connect", "disconnect"]
        content = world.publisher.taken[-1][1]
        assert (content["code"], content["order"]) == (1013, 1)
        assert world.faults.dropped == {"receive_full": 1}

    run(main)


def test_a_close_ends_the_wait_for_room(kind: Kind) -> None:
    async def main() -> None:
        world, server = World(publish_wait=60), kind()
        token, task = await world.open(server)
        world.publisher.full = {"websocket.receive"}
        server.text("a")
        await until(lambda: world.publisher.refusals)
        world.reply(token, close=True)
        async with asyncio.timeout(2):
            await task
        world.publisher.full = set()
        await until(lambda: not world.intake._lines)
        assert world.publisher.channels == ["connect", "disconnect"]
        assert world.publisher.taken[-1][1]["order"] == 1
        assert not world.faults.dropped

    run(main)


def test_a_disconnect_that_finds_no_room_is_published_later(kind: Kind) -> None:
    """Item 60."""

    async def main() -> None:
        world, server = World(), kind()
        _, task = await world.open(server)
        world.publisher.full = {"websocket.disconnect"}
        server.disconnect()
        await task
        assert world.publisher.channels == ["connect"]
        world.publisher.full = set()
        await until(lambda: world.publisher.channels == ["connect", "disconnect"])

    run(main)


def test_a_client_that_does_not_read_loses_its_connection_and_delays_nobody() -> None:
    """Given one slow member of many, If the buffer is full, Expect it gone, and every other served at once."""

    async def main() -> None:
        world, slow, transport = World(send_buffer=100), None, FakeTransport()
        slow = FakeServer(transport=transport)
        slow_token, slow_task = await world.open(slow)
        others = [FakeServer() for _ in range(10)]
        opened = [await world.open(server) for server in others]
        world.apply(*(JoinEntry("g", token) for token in [slow_token, *(token for token, _ in opened)]))
        slow.writable.clear()
        for n in range(11):
            world.apply(GroupEntry("g", {"text": f"{n:010}"}))
            assert all(len(server.sent) == n + 2 for server in others), "nothing was awaited"
        assert world.faults.dropped == {"send_buffer": 1}
        assert transport.aborted == 1
        slow.disconnect(1006)
        await slow_task
        assert slow.sent == [accepted()]
        assert world.publisher.contents("disconnect")[0]["code"] == 1013
        for server in others:
            server.disconnect()
        await asyncio.gather(*(task for _, task in opened))

    run(main)


def test_a_client_that_blocks_too_long_loses_its_connection() -> None:
    async def main() -> None:
        transport = FakeTransport()
        world, server = World(send_timeout=0.05), FakeServer(transport=transport)
        token, task = await world.open(server)
        server.writable.clear()
        world.reply(token, text="a")
        await until(lambda: transport.aborted)
        assert world.faults.dropped == {"send_timeout": 1}
        server.disconnect()
        await task

    run(main)


def test_a_server_whose_connections_cannot_be_ended_is_left_instead() -> None:
    """Given a server that only closes what the application leaves, If its client blocks, Expect the session to end."""

    async def main() -> None:
        world, server = World(send_timeout=0.05), FakeServer(reports_closes=False)
        token, task = await world.open(server)
        server.writable.clear()
        world.reply(token, text="a")
        await task
        assert world.publisher.contents("disconnect")[0]["code"] == 1013
        assert len(asyncio.all_tasks()) == 1

    run(main)


def test_a_server_that_does_not_report_a_close_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.session._CLOSE_GRACE", 0.05)

    async def main() -> None:
        world, server = World(), FakeServer(reports_closes=False)
        token, task = await world.open(server)
        world.reply(token, close=4002)
        await task
        assert not task.cancelled()
        assert world.publisher.contents("disconnect")[0]["code"] == 4002

    run(main)


def test_a_server_that_cancels_still_gets_the_disconnect_published() -> None:
    async def main() -> None:
        world, server = World(), FakeServer()
        _, task = await world.open(server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.publisher.contents("disconnect") == [
            {**world.publisher.contents("disconnect")[0], "code": 1006, "order": 1}
        ]
        assert len(world.hub) == 0

    run(main)


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("closing")])
def test_a_server_that_raises_ends_only_this_socket(error: Exception) -> None:
    async def main() -> None:
        world, server = World(), FakeServer()
        token, task = await world.open(server)
        server.gone = error
        world.reply(token, text="a")
        world.reply(token, text="b")
        server.disconnect(1001)
        await task
        assert world.publisher.contents("disconnect")[0]["code"] == 1001
        assert world.faults.dropped == {"send_failed": 1}

    run(main)


@pytest.mark.parametrize(("code", "grace", "send_timeout"), [(1012, 0.0, 3600), (1005, 3600, 0.1), (1013, 3600, 0.1)])
def test_what_a_client_does_not_read_after_the_end_is_not_kept(
    code: int, grace: float, send_timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the end of this process (1012), expect a short grace, else as long as a client may take to read."""
    monkeypatch.setattr("channelcelery.interface.session._SHUTDOWN_GRACE", grace)

    async def main() -> None:
        transport = FakeTransport(buffered=10)
        world, server = World(send_timeout=send_timeout), FakeServer(transport=transport)
        _, task = await world.open(server)
        server.disconnect(code)
        await task
        assert not transport.aborted
        await until(lambda: transport.aborted)

    run(main)


def test_a_connection_that_the_server_cannot_finish_closing_is_ended_by_the_sweep() -> None:
    """Given a ping that was never answered, and bytes that are never read, Expect the second sweep to end it."""

    async def main() -> None:
        transport = FakeTransport(buffered=10)
        world, server = World(), FakeServer(transport=transport)
        _, task = await world.open(server)
        world.hub.sweep()
        world.hub.sweep()
        assert not transport.aborted
        transport.closing = True
        world.hub.sweep()
        assert not transport.aborted
        world.hub.sweep()
        assert transport.aborted == 1
        server.disconnect()
        await task

    run(main)


def test_a_connection_that_is_too_old_is_closed_by_the_sweep(kind: Kind) -> None:
    """Item 59: given one that is open and one that waits for an answer, expect the first to close, and once."""

    async def main() -> None:
        world, server, connecting = World(connection_lifetime=0.2), kind(), kind()
        _, task = await world.open(server)
        waiting = world.connect(connecting)
        world.hub.sweep()
        assert server.sent == [accepted()]
        await asyncio.sleep(0.21)
        world.hub.sweep()
        world.hub.sweep()
        await task
        assert server.sent == [accepted(), closed(1001)]
        assert [content["code"] for content in world.publisher.contents("disconnect")] == [1001]
        assert connecting.sent == []
        connecting.disconnect()
        await waiting

    run(main)


def test_connections_that_came_together_do_not_end_together() -> None:
    """Given 200 made in one moment, expect their ends within the last tenth of the time, and apart."""
    world = World(connection_lifetime=1_000)
    begun = time.monotonic()
    ends = [
        Session(world.around, "/", None, None, EventWire(world.around, FakeServer().send))._old_at - begun
        for _ in range(200)
    ]
    assert min(ends) > 900
    assert max(ends) < 1_005
    assert len({round(end) for end in ends}) > 20


def test_close_by_this_process(kind: Kind) -> None:
    async def main() -> None:
        world = World()
        opened, connecting, quiet = kind(), kind(), kind()
        _, first = await world.open(opened)
        second = world.connect(connecting)
        await until(lambda: len(world.hub) == 2)
        world.hub.close_all(1012)
        await asyncio.gather(first, second)
        assert opened.sent == [accepted(), closed(1012)]
        assert connecting.sent == [REFUSED]
        assert len(world.publisher.contents("disconnect")) == 2
        _, third = await world.open(quiet)
        world.hub.changes.take()
        world.hub.abandon(1012)
        await third
        assert quiet.sent == [accepted(), closed(1012)]
        assert len(world.publisher.contents("disconnect")) == 2, "who cleared up publishes it"

    run(main)


def test_what_a_client_sent_beside_its_path_is_not_logged_at_debug(
    caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    """Given a cookie, a session key and a text, Expect none of them in any line."""

    async def main() -> None:
        world, server = World(), kind()
        with caplog.at_level(logging.DEBUG, logger="django.channels.interface"):
            own = [(b"host", b"example.org"), (b"origin", b"http://example.org")]
            _, task = await world.open(
                server, query_string=b"session_key=s3cret", headers=[*own, (b"cookie", b"sessionid=s3cret")]
            )
            server.text("s3cret")
            server.disconnect()
            await task

    run(main)
    assert "waits for an answer" in caplog.text, "there are lines"
    assert "s3cret" not in caplog.text


def test_at_info_a_socket_is_one_line_without_any_value_of_its_client(
    caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    async def main() -> None:
        world, server = World(), kind()
        with caplog.at_level(logging.INFO):
            _, task = await world.open(server, query_string=b"session_key=s3cret")
            for _ in range(5):
                server.text("hello")
            server.disconnect()
            await task

    run(main)
    [line] = caplog.records
    assert line.getMessage().startswith("WebSocket '/chat/' ended with 1006 after ")
    assert (line.path, line.code) == ("/chat/", 1006)  # type: ignore[attr-defined]


def test_fakes_are_as_strict_as_the_publisher() -> None:
    offers = FakeOffers(full={"a"})
    with pytest.raises(ChannelFull):
        offers.offer("a", b"")
