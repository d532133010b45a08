"""Our own protocol for sockets: frames, flow control, time limits and ends, without I/O.

What it shares with sockets over ASGI's events is in test_session.py.
"""

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channelcelery.core.inbox import GroupEntry, JoinEntry
from channelcelery.interface import intake, socket_protocol
from channelcelery.interface.wheel import Wheel
from tests.scale import scaled
from tests.unit.interface.fakes import World, accepted, closed, run, text, until
from tests.unit.interface.own_server import OwnServer, frame

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def received(world: World) -> list[str | bytes]:
    return [
        content["text"] if "text" in content else content["bytes"] for content in world.publisher.contents("receive")
    ]


def codes(world: World) -> list[int]:
    return [content["code"] for content in world.publisher.contents("disconnect")]


# frames


def test_messages_in_pieces_and_with_pings_between_them_arrive_whole() -> None:
    """RFC 6455, section 5.4: also where a character is cut."""

    async def main() -> None:
        world, server = World(), OwnServer()
        await world.open(server)
        snowman = "☃".encode()
        server.frame(TEXT, snowman[:1], final=False)
        server.frame(PING, b"now")
        server.frame(CONTINUATION, snowman[1:] + b"a", final=False)
        server.frame(CONTINUATION, b"b")
        server.frame(BINARY, b"\x00", final=False)
        server.frame(CONTINUATION, b"")
        server.frame(TEXT, b"")
        assert received(world) == ["☃ab", b"\x00", ""]
        assert server.pongs == [b"now"]

    run(main)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_frames_arrive_however_they_are_cut_into_reads(size: int) -> None:
    async def main() -> None:
        world, server = World(), OwnServer()
        await world.open(server)
        data = b"".join(frame(TEXT, b"%d" % number * 40) for number in range(30)) + frame(BINARY, b"x" * 70_000)
        for begin in range(0, len(data), size):
            server.feed(data[begin : begin + size])
        assert received(world) == [f"{number}" * 40 for number in range(30)] + [b"x" * 70_000]

    run(main)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xe2", final=False) + frame(CONTINUATION, b"x"), 1007),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", final=False) + frame(TEXT, b"x"), 1002),
        (frame(3, b""), 1002),
        (b"\x81\x01x", 1002),
        (frame(PING, b"x", final=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(BINARY, b"x" * (2**21 + 1)), 1009),
        (frame(CLOSE, b"\x00"), 1002),
        (b"\xc1\x80" + bytes(4), 1002),
    ],
    ids=[
        *("utf8", "cut-utf8", "continuation", "uncontinued", "opcode", "unmasked"),
        *("long-ping", "large-ping", "size", "close-code", "compressed"),
    ],
)
def test_wrong_frames_end_their_socket_and_what_came_before_them_counts(data: bytes, code: int) -> None:
    async def main() -> None:
        world, server = World(), OwnServer()
        _, task = await world.open(server)
        server.feed(frame(TEXT, b"before") + data + frame(TEXT, b"after"))
        await task
        assert received(world) == ["before"]
        assert codes(world) == [code]
        assert server.sent == [accepted(), closed(code)]
        assert world.faults.dropped == {"wrong_frames": 1}

    run(main)


def test_what_is_sent_after_our_close_is_nothing_and_its_answer_ends_the_connection() -> None:
    async def main() -> None:
        world, server = World(), OwnServer(answers_closes=False)
        token, task = await world.open(server)
        world.reply(token, close=4000)
        server.text("late")
        await until(lambda: codes(world) == [4000])
        server.text("later")
        assert not server.transport.is_closed
        server.frame(CLOSE, b"\x0f\xa0")
        async with asyncio.timeout(5):
            await task
        assert received(world) == []
        assert server.transport.is_closed

    run(main)


def test_a_close_that_nobody_answers_ends_the_connection_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_protocol, "_CLOSE_TIMEOUT", 0.05)

    async def main() -> None:
        world, server = World(), OwnServer(answers_closes=False)
        token, task = await world.open(server)
        world.reply(token, close=4000)
        await task
        assert codes(world) == [4000]

    run(main)


def test_a_group_message_is_one_object_for_all() -> None:
    async def main() -> None:
        world, servers = World(), [OwnServer() for _ in range(5)]
        tokens = [(await world.open(server))[0] for server in servers]
        world.apply(*(JoinEntry("g", token) for token in tokens), GroupEntry("g", {"text": "x"}))
        first, *others = (server.transport.written[-1] for server in servers)
        assert first == b"\x81\x01x"
        assert all(data is first for data in others)

    run(main)


def test_where_compression_was_agreed_on_it_goes_both_ways() -> None:
    async def main() -> None:
        world, server = World(), OwnServer(ws_per_message_deflate=True)
        offer = b"permessage-deflate; client_max_window_bits"
        task = server.connect(world, world.scope(), offer)
        (token,) = world.hub.channels()
        world.reply(token, accept=True)
        world.apply(JoinEntry("g", token), GroupEntry("g", {"text": "y" * 1000}))
        world.reply(token, bytes=b"z" * 1000, close=True)
        assert server.sent[1:3] == [text("y" * 1000), {"type": "websocket.send", "bytes": b"z" * 1000}]
        assert all(len(data) < 100 for data in server.transport.written[1:])
        await task

    run(main)


# what is not read


def test_while_the_queue_is_full_nothing_is_read() -> None:
    """Item 60: given a full queue, if there is room again, expect the frames in order, none lost, and reading on."""

    async def main() -> None:
        world, server = World(), OwnServer()
        await world.open(server)
        world.publisher.full = {"websocket.receive"}
        for value in "abc":
            server.text(value)
        assert not server.transport.reads
        assert server.transport.unread == [frame(TEXT, b"c")]
        world.publisher.full = set()
        await until(lambda: server.transport.reads and len(received(world)) == 3)
        server.text("d")
        assert [(m["text"], m["order"]) for m in world.publisher.contents("receive")] == [
            ("a", 1),
            ("b", 2),
            ("c", 3),
            ("d", 4),
        ]

    run(main)


@pytest.mark.parametrize("code", [1000, 1006])
def test_what_came_before_an_end_is_published_before_it(code: int) -> None:
    """Given messages that wait for room, if the client closes or is lost, expect its disconnect behind them."""

    async def main() -> None:
        world, server = World(), OwnServer()
        _, task = await world.open(server)
        world.publisher.full = {"websocket.receive"}
        closing = frame(CLOSE, b"\x03\xe8") if code == 1000 else b""
        server.feed(frame(TEXT, b"a") + frame(TEXT, b"b") + closing)
        if code == 1006:
            server.lose()
        await asyncio.sleep(0.02)
        assert codes(world) == []
        world.publisher.full = set()
        await task
        assert world.publisher.channels == ["connect", "receive", "receive", "disconnect"]
        assert (received(world), codes(world)) == (["a", "b"], [code])

    run(main)


def test_a_single_message_that_waits_for_room_is_not_lost_with_its_connection() -> None:
    async def main() -> None:
        world, server = World(), OwnServer()
        _, task = await world.open(server)
        world.publisher.full = {"websocket.receive"}
        server.text("a")
        server.lose()
        world.publisher.full = set()
        await task
        assert world.publisher.channels == ["connect", "receive", "disconnect"]

    run(main)


def test_what_a_client_says_before_it_is_answered_waits_and_no_more_is_read() -> None:
    """Item 123."""

    async def main() -> None:
        world, server = World(), OwnServer()
        world.connect(server)
        server.text("early")
        server.text("earlier")
        await asyncio.sleep(0.01)
        assert world.publisher.channels == ["connect"]
        assert len(server.transport.unread) == 1
        (token,) = world.hub.channels()
        world.reply(token, accept=True)
        await until(lambda: len(world.publisher.taken) == 3)
        assert received(world) == ["early", "earlier"]
        assert server.sent == [accepted()]

    run(main)


def test_a_session_that_raises_ends_its_own_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world, server = World(), OwnServer()
        _, task = await world.open(server)
        monkeypatch.setattr(world.intake, "encode", lambda content: 1 / 0)
        monkeypatch.setattr(world.intake, "offer_late", lambda channel, content: None)
        server.text("a")
        await task
        assert server.transport.aborted == 1
        assert world.faults.dropped == {"socket_error": 1}

    run(main)


@settings(max_examples=scaled(15, 500), deadline=None)
@given(st.integers(0, 10**6))
def test_whatever_is_full_or_slow_meanwhile_every_message_arrives_once_and_in_order(seed: int) -> None:
    """Given room that comes and goes, clients that pause, reads of any size, a rate: expect no hang and no gap."""
    chance = random.Random(seed)

    async def main() -> None:
        world = World(frame_rate=chance.choice([5_000, 10**6]), publish_wait=60, send_timeout=60)
        servers = [OwnServer() for _ in range(3)]
        tokens = [(await world.open(server))[0] for server in servers]
        data = [b"".join(frame(TEXT, b"%d-%d" % (n, m)) for m in range(40)) for n in range(3)]
        expected = [[f"{n}-{m}" for m in range(40)] for n in range(3)]
        paused, sent = [False] * 3, [0] * 3
        while any(data):
            n = chance.randrange(3)
            size = chance.randrange(1, 120)
            servers[n].feed(data[n][:size])
            data[n] = data[n][size:]
            world.publisher.full = {"websocket.receive"} if chance.random() < 0.5 else set()
            world.publisher.room = chance.randrange(3)
            if chance.random() < 0.3:
                paused[n] = not paused[n]
                servers[n].writable.clear() if paused[n] else servers[n].writable.set()
            world.reply(tokens[n], text=str(sent[n]))
            sent[n] += 1
            if chance.random() < 0.1:
                await asyncio.sleep(0)
        for server, stopped in zip(servers, paused, strict=True):
            if stopped:
                server.writable.set()
        world.publisher.full = {"websocket.receive"}
        async with asyncio.timeout(10):
            while len(received(world)) < 120:
                world.publisher.room = chance.randrange(1, 5)
                await asyncio.sleep(0.001)
        contents = world.publisher.contents("receive")
        own = [[content for content in contents if content["text"].startswith(f"{n}-")] for n in range(3)]
        assert [[content["text"] for content in each] for each in own] == expected
        assert [[content["order"] for content in each] for each in own] == [list(range(1, 41))] * 3
        for n, server in enumerate(servers):
            assert [event["text"] for event in server.sent[1:]] == [str(number) for number in range(sent[n])]
        await until(lambda: all(server.transport.reads for server in servers))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "_RETRY_INTERVAL", 0.001)
        run(main)


# a client that does not read


def test_what_waits_is_sent_until_the_client_pauses_again() -> None:
    async def main() -> None:
        world, server = World(), OwnServer()
        token, _ = await world.open(server)
        server.writable.clear()
        for value in "abc":
            world.reply(token, text=value)
        assert server.sent == [accepted()]
        write = server.transport.write

        def write_and_pause(data: bytes) -> None:
            write(data)
            server.opened.pause_writing()

        server.transport.write = write_and_pause  # type: ignore[method-assign]
        server.opened.resume_writing()
        assert server.sent == [accepted(), text("a")]
        server.transport.write = write  # type: ignore[method-assign]
        world.reply(token, text="d")
        server.opened.resume_writing()
        assert server.sent[1:] == [text(value) for value in "abcd"]
        world.reply(token, text="e")
        assert server.sent[-1] == text("e")

    run(main)


def test_a_client_that_reads_nothing_is_cut_off_and_others_are_served() -> None:
    """Given CONFIG["send_buffer"] of 1,000, expect the end at the fourth message, each counted with 256 bytes more."""

    async def main() -> None:
        world, slow, other = World(send_buffer=1000), OwnServer(), OwnServer()
        tokens = [(await world.open(slow))[0], (await world.open(other))[0]]
        world.apply(*(JoinEntry("g", token) for token in tokens))
        slow.writable.clear()
        for number in range(3):
            world.apply(GroupEntry("g", {"text": str(number)}))
        assert not slow.transport.aborted
        world.apply(GroupEntry("g", {"text": "3"}))
        assert slow.transport.aborted == 1
        assert len(other.sent) == 5
        await until(lambda: codes(world) == [1013])
        assert world.faults.dropped == {"send_buffer": 1}

    run(main)


def test_a_client_that_blocks_too_long_is_cut_off_but_not_one_with_nothing_to_read() -> None:
    async def main() -> None:
        world, server, calm = World(send_timeout=0.05), OwnServer(), OwnServer()
        token, task = await world.open(server)
        await world.open(calm)
        server.writable.clear()
        calm.writable.clear()
        await asyncio.sleep(0.1)
        assert not server.transport.aborted
        world.reply(token, text="a")
        await task
        assert server.transport.aborted == 1
        assert not calm.transport.aborted
        assert codes(world) == [1013]
        assert world.faults.dropped == {"send_timeout": 1}

    run(main)


def test_a_transport_that_raises_ends_only_this_socket() -> None:
    async def main() -> None:
        world, server = World(), OwnServer()
        token, task = await world.open(server)
        server.gone = RuntimeError("the handler is closed")
        world.reply(token, text="a")
        server.lose()
        await task
        assert world.faults.dropped == {"send_failed": 1}
        assert codes(world) == [1006]

    run(main)


# pings


def test_a_client_that_answers_pings_stays_and_one_that_does_not_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6455, section 5.5.2; the disconnect says 1006, since no closing frame came."""
    monkeypatch.setattr("channelcelery.interface.wheel._STEP", 0.01)

    async def main() -> None:
        world, good, bad = World(), *(OwnServer(ws_ping_interval=0.05, ws_ping_timeout=0.1) for _ in "12")
        await world.open(good)
        _, task = await world.open(bad)
        answered = 0
        while not task.done():
            for ping in good.pings[answered:]:
                good.frame(PONG, ping)
            answered = len(good.pings)
            await asyncio.sleep(0.005)
        assert bad.sent == [accepted(), closed(1011)]
        assert codes(world) == [1006]
        assert len(bad.pings) == 1
        await until(lambda: [good.frame(PONG, ping) for ping in good.pings] and len(good.pings) > 3)
        assert good.sent == [accepted()]

    run(main)


def test_a_client_that_is_not_read_may_have_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.wheel._STEP", 0.01)

    async def main() -> None:
        world, server = World(publish_wait=60), OwnServer(ws_ping_interval=0.02, ws_ping_timeout=0.02)
        await world.open(server)
        world.publisher.full = {"websocket.receive"}
        server.feed(frame(TEXT, b"a") + frame(TEXT, b"b"))
        await until(lambda: server.pings)
        await asyncio.sleep(0.1)
        assert not server.transport.is_closed

    run(main)


# ends


def test_the_end_of_the_server_is_told() -> None:
    async def main() -> None:
        world, opened, connecting = World(), OwnServer(), OwnServer()
        _, first = await world.open(opened)
        second = world.connect(connecting)
        opened.protocol.shutdown()
        connecting.protocol.shutdown()
        await asyncio.gather(first, second)
        assert opened.sent == [accepted(), closed(1012)]
        assert [event["status"] for event in connecting.sent[:1]] == [500]
        assert codes(world) == [1012, 1006]
        assert not opened.connections
        assert world.around.gate.open == 0

    run(main)


def test_bytes_that_are_not_read_after_the_end_are_not_kept() -> None:
    async def main() -> None:
        world, server = World(send_timeout=0.05), OwnServer(answers_closes=False)
        token, _ = await world.open(server)
        server.transport.buffered = 10
        world.reply(token, close=True)
        await until(lambda: codes(world))
        assert not server.transport.aborted
        await until(lambda: server.transport.aborted)

    run(main)


def test_nothing_of_a_socket_remains() -> None:
    """Given a whole life, expect no task, and after it neither a time limit nor the protocol itself."""

    async def main() -> None:
        world, server = World(), OwnServer(ws_ping_interval=20.0)
        tasks = len(asyncio.all_tasks())
        task = world.connect(server)
        (token,) = world.hub.channels()
        world.reply(token, accept=True)
        server.text("a")
        assert len(asyncio.all_tasks()) == tasks + 1, "that of the test"
        server.disconnect(1000)
        await task
        assert not server.wheel._slots
        gone = weakref.ref(server.opened._frames._protocol)
        del server.protocol
        server.transport = None  # type: ignore[assignment]
        gc.collect()
        assert gone() is None

    run(main)


class Turns:
    def __init__(self, error: Exception | None = None) -> None:
        self.at: list[float] = []
        self.error = error

    def turn(self) -> None:
        self.at.append(asyncio.get_running_loop().time())
        if self.error is not None:
            raise self.error


def test_the_wheel_calls_nobody_early_and_who_raises_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.interface.wheel._STEP", 0.02)

    async def main() -> None:
        world = World()
        wheel, begun = Wheel(world.faults), asyncio.get_running_loop().time()
        late, early, bad, dropped = Turns(), Turns(), Turns(ValueError("on purpose")), Turns()
        wheel.put(late, 0.2)
        wheel.put(bad, 0.05)
        wheel.put(early, 0.05)
        wheel.drop(dropped, wheel.put(dropped, 0.1))
        await until(lambda: late.at)
        assert early.at[0] - begun >= 0.05
        assert late.at[0] - begun >= 0.2
        assert early.at < late.at
        assert (len(early.at), len(bad.at), dropped.at) == (1, 1, [])
        assert world.faults.dropped == {"socket_error": 1}
        assert not wheel._slots

    run(main)


def test_an_application_that_waits_or_raises_gets_its_client_500() -> None:
    async def main() -> None:
        for application in (_waits, _raises, _returns):
            world, server = World(), OwnServer()
            task = server.connect(world, world.scope(), application=application)
            await task
            assert [event["status"] for event in server.sent[:1]] == [500]

    run(main)


async def _waits(*call: Any) -> None:
    await asyncio.sleep(60)


async def _raises(*call: Any) -> None:
    raise OSError("on purpose")


async def _returns(*call: Any) -> None:
    return None
