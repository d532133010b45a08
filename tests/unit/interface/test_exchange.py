"""One HTTP request that a worker answers (Channels 1.x, items 60, 63, 90 to 97, 107, 110), on fakes."""

import asyncio
from typing import Any

import pytest

from channelcelery.core.inbox import GroupEntry, JoinEntry
from channelcelery.interface import feed, response
from channelcelery.interface.spool import Room
from channelcelery.layers.pieces import GONE
from tests.unit.interface.fakes import World, run, until
from tests.unit.interface.web import Browser

KIB = 1024


def test_a_request_becomes_a_message_and_the_reply_its_response() -> None:
    """Items 90, 92, 95."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        message = await browser.request()
        assert message == {
            "reply_channel": f"http.response!node.{browser.token}",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/page/",
            "query_string": b"a=%20b",
            "root_path": "",
            "headers": [[b"host", b"example.org"], [b"x-one", b"1"], [b"x-one", b"2"]],
            "body": b"",
            "body_channel": None,
            "client": ["192.0.2.1", 4711],
            "server": ["192.0.2.2", 80],
        }
        browser.reply(status=200, headers=[(b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")], content=b"hello")
        await browser.end()
        start, body = browser.sent
        assert start == {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"Set-Cookie", b"a"), (b"Set-Cookie", b"b"), (b"content-length", b"5")],
        }
        assert body == {"type": "http.response.body", "body": b"hello", "more_body": False}
        # nothing is left of it, and nobody is told of its end
        assert (len(world.hub), world.publisher.channels) == (0, ["http.request"])
        assert (browser.pieces.granted, browser.pieces.dropped) == ([], 0)
        assert not world.faults.dropped

    run(main)


def test_redis_is_told_nothing_of_a_short_request() -> None:
    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.reply(status=200)
        await browser.end()
        assert not world.hub.changes

    run(main)


def test_reply_channels_are_unguessable_and_unique() -> None:
    """Item 95."""

    async def main() -> None:
        world = World()
        browsers = [Browser(world) for _ in range(20)]
        await until(lambda: len(world.hub) == 20)
        tokens = world.hub.channels()
        assert all(token.startswith("http.") and len(token) >= 5 + 22 for token in tokens)
        for token in tokens:
            world.reply(token, status=204)
        for browser in browsers:
            await browser.end()

    run(main)


def test_a_response_piece_by_piece_goes_out_as_it_comes() -> None:
    """Items 92, 107: without a length it is for the server to mark its end."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.reply(status=200, content=b"a", more_content=True)
        await until(lambda: browser.body == b"a")
        assert b"content-length" not in browser.headers
        browser.reply(content=b"b", more_content=True)
        await until(lambda: browser.body == b"ab")
        assert not browser.is_complete
        browser.reply()
        await browser.end()
        assert (browser.is_complete, browser.body) == (True, b"ab")
        assert world.publisher.channels == ["http.request"]

    run(main)


def test_a_worker_is_told_of_what_was_taken_in_few_calls() -> None:
    """Given 20 pieces: expect leave for those after the eighth, four at a time."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.reply(status=200, more_content=True)
        for _ in range(19):
            browser.reply(content=b"a", more_content=True)
            await asyncio.sleep(0.001)
        await until(lambda: sum(browser.pieces.granted) == 20)
        assert min(browser.pieces.granted) >= 4
        browser.reply()
        await browser.end()

    run(main)


def test_a_slow_client_holds_the_worker_only_beyond_the_spool() -> None:
    """Given a client that does not read: expect leave up to CONFIG['response_spool'], and more as it reads."""

    async def main() -> None:
        world = World(response_spool=3000 * KIB)
        browser = Browser(world)
        await browser.request()
        browser.writable.clear()
        sent = 1
        browser.reply(status=200, content=b"a" * 256 * KIB, more_content=True)

        def may_send() -> bool:
            return sent < 8 + sum(browser.pieces.granted)

        async def work() -> None:
            nonlocal sent
            while True:
                await until(may_send)
                browser.reply(content=b"a" * 256 * KIB, more_content=True)
                sent += 1

        worker = asyncio.ensure_future(work())
        # eleven pieces fit, and eight may be under way
        await until(lambda: sent >= 16)
        await until(lambda: Room().memory - world.around.room.memory < 600 * KIB)
        await asyncio.sleep(0.05)
        held = sent
        assert held <= 20
        browser.writable.set()
        await until(lambda: sent > held + 20)
        worker.cancel()
        browser.reply()
        await browser.end()
        assert len(browser.body) == sent * 256 * KIB
        assert world.around.room.disk == Room().disk

    run(main)


@pytest.mark.parametrize("more", [False, True])
def test_the_answer_to_a_head_has_no_body(more: bool) -> None:
    """Expect the worker to be told to stop, if it would send more."""

    async def main() -> None:
        world = World()
        browser = Browser(world, method="HEAD")
        await browser.request()
        browser.reply(
            status=200, headers=[(b"content-length", b"5")], content=b"hello"[: 5 - 4 * more], more_content=more
        )
        await browser.end()
        assert (browser.headers, browser.body) == ({b"content-length": b"5"}, b"")
        assert browser.is_complete
        assert browser.pieces.granted == [GONE] * more
        assert world.publisher.channels == ["http.request"]

    run(main)


def test_http_1_0_gets_its_length_instead_of_chunks() -> None:
    async def main() -> None:
        browser = Browser(World(), http_version="1.0", headers=[])
        await browser.request()
        browser.reply(status=200, content=b"a", more_content=True)
        await asyncio.sleep(0.01)
        assert not browser.sent
        browser.reply(content=b"b")
        await browser.end()
        assert (browser.headers[b"content-length"], browser.body) == (b"2", b"ab")

    run(main)


@pytest.mark.parametrize("size", [0, 1, 256 * KIB])
def test_a_small_body_travels_in_the_message(size: int) -> None:
    """Item 90."""

    async def main() -> None:
        world = World()
        browser = Browser(world, (b"a" * (size // 2), b"b" * (size - size // 2)), method="POST")
        message = await browser.request()
        assert (message["body"], message["body_channel"]) == (b"a" * (size // 2) + b"b" * (size - size // 2), None)
        assert (world.around.room.memory, world.around.room.disk) == (Room().memory, Room().disk)
        # nobody should ask for it
        browser.reply(send_body=True)
        browser.reply(status=200)
        await browser.end()
        assert browser.pieces.body == []

    run(main)


def test_nothing_is_published_before_the_body_is_complete() -> None:
    """Given a slow upload: expect that it holds no worker."""

    async def main() -> None:
        world = World()
        browser = Browser(world, (b"a",), complete=False, method="POST")
        await asyncio.sleep(0.02)
        assert not world.publisher.taken
        browser.put(b"b")
        assert (await browser.request())["body"] == b"ab"
        browser.reply(status=200)
        await browser.end()

    run(main)


def test_a_large_body_is_put_where_the_worker_takes_it_once_it_asks() -> None:
    """Item 91: at most eight pieces of 256 KiB at a time, with little in memory."""

    async def main() -> None:
        world = World()
        body = b"".join(bytes([number]) * 1000 * KIB for number in range(5))
        pieces = tuple(body[start : start + 60 * KIB] for start in range(0, len(body), 60 * KIB))
        browser = Browser(world, pieces, method="POST")
        message = await browser.request()
        assert (message["body"], message["body_channel"]) == (b"", f"http.request.body?node.{browser.token}")
        assert Room().memory - world.around.room.memory <= 2_700_000
        assert world.around.room.disk < Room().disk
        await asyncio.sleep(0.02)
        assert browser.pieces.body == []
        browser.reply(send_body=True)
        browser.reply(send_body=True)
        got = b""
        while True:
            await until(lambda: browser.pieces.body)
            piece = browser.pieces.body.pop(0)
            assert len(piece["content"]) <= 256 * KIB
            got += piece["content"]
            if not piece["more_content"]:
                break
        assert got == body
        await asyncio.sleep(0.02)
        assert browser.pieces.body == []
        browser.reply(status=200)
        await browser.end()
        assert world.around.room.memory == Room().memory
        assert world.around.room.disk == Room().disk

    run(main)


def test_what_the_worker_did_not_read_is_dropped_with_the_response() -> None:
    async def main() -> None:
        browser = Browser(World(), (b"a" * 1000 * KIB,) * 5, method="POST")
        await browser.request()
        browser.reply(send_body=True)
        await until(lambda: len(browser.pieces.body) == 8)
        browser.reply(status=403)
        await browser.end()
        assert (browser.status, browser.pieces.body, browser.pieces.dropped) == (403, [], 1)
        assert browser.pieces.granted == []

    run(main)


@pytest.mark.parametrize("how", ["read", "answered", "left", "late"])
def test_large_bodies_are_handed_on_one_at_a_time(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given two that are complete: expect the second's message once the first is read, over, or takes too long."""
    monkeypatch.setattr(feed, "_TURN", 0.1 if how == "late" else 60)

    async def main() -> None:
        world = World()
        first, second = (Browser(world, (b"a" * 1000 * KIB,), method="POST") for _ in range(2))
        await until(lambda: len(world.hub) == 1)
        small = Browser(world)
        await until(lambda: len(world.hub) == 2)
        (token, _) = world.hub.channels()
        if how == "read":
            world.reply(token, send_body=True)
        elif how == "answered":
            world.reply(token, status=200)
        elif how == "left":
            first.leave()
        await until(lambda: len(world.publisher.contents("http.request")) == 3)
        for token in world.hub.channels():
            world.reply(token, status=200)
        for browser in (first, second, small):
            await browser.end()

    run(main)


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_a_client_that_leaves_ends_it_at_once(began: bool, large: bool) -> None:
    """Items 91, 94: the worker is told that it may stop, and consumers by `http.disconnect`."""

    async def main() -> None:
        world = World()
        browser = Browser(world, (b"a" * 1000 * KIB,) if large else (b"",), method="POST")
        message = await browser.request()
        if began:
            browser.reply(status=200, content=b"a", more_content=True)
            await until(lambda: browser.body)
        browser.leave()
        await browser.end()
        assert browser.pieces.granted == [GONE]
        assert browser.pieces.body == ([{"closed": True}] if large else [])
        disconnect = {"reply_channel": message["reply_channel"], "path": "/page/"}
        assert world.publisher.contents("http.disconnect") == [disconnect]
        assert len(world.hub) == 0
        assert not browser.is_complete
        assert world.around.room.memory == Room().memory

    run(main)


def test_a_client_that_leaves_within_its_body_is_nobody_s_business() -> None:
    async def main() -> None:
        world = World()
        browser = Browser(world, (b"a",), complete=False)
        browser.leave()
        await browser.end()
        assert (world.publisher.taken, browser.sent) == ([], [])
        assert world.around.room.memory == Room().memory

    run(main)


def test_without_an_answer_it_is_503() -> None:
    """Item 110; what comes later is ignored (item 63)."""

    async def main() -> None:
        world = World(http_timeout=0.05)
        browser = Browser(world)
        message = await browser.request()
        token = browser.token
        await browser.end()
        assert browser.status == 503
        assert browser.headers[b"retry-after"] == b"2"
        assert browser.headers[b"connection"] == b"close"
        assert browser.is_complete
        assert world.faults.dropped["http_timeout"] == 1
        assert world.publisher.contents("http.disconnect")[0]["reply_channel"] == message["reply_channel"]
        world.reply(str(token), status=200)
        assert world.faults.dropped["socket_gone"] == 1

    run(main)


def test_a_response_that_stops_in_the_middle_ends_with_the_connection() -> None:
    """Given a worker that died: expect no response that looks complete."""

    async def main() -> None:
        world = World(http_timeout=0.05)
        browser = Browser(world)
        await browser.request()
        browser.reply(status=200, content=b"a", more_content=True)
        await until(lambda: browser.transport.aborted)
        browser.leave()
        await browser.end()
        assert not browser.is_complete
        assert world.faults.dropped["response_stalled"] == 1

    run(main)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def main() -> None:
        world = World(send_timeout=0.05)
        browser = Browser(world)
        await browser.request()
        browser.reply(status=200, content=b"a", more_content=True)
        await until(lambda: browser.body)
        browser.writable.clear()
        browser.reply(content=b"b", more_content=True)
        await until(lambda: browser.transport.aborted)
        browser.leave()
        await browser.end()
        assert world.faults.dropped["send_timeout"] == 1
        assert browser.pieces.granted == [GONE]
        assert world.publisher.channels == ["http.request", "http.disconnect"]

    run(main)


@pytest.mark.parametrize(
    ("reply", "status"),
    [({"status": 200, "headers": [(b"a", b"b\r\nc: d")]}, 500), ({"status": "200"}, 500), ({"content": b"a"}, None)],
)
def test_a_first_reply_that_is_wrong(
    reply: dict[str, Any], status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Item 92: one without status is dropped, since another may follow; what cannot be mended is a 500."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.reply(**reply)
        await asyncio.sleep(0.01)
        assert browser.status == status
        if status is None:
            browser.reply(status=200, content=b"late")
        await browser.end()
        assert browser.body == (b"late" if status is None else b"Internal Server Error\n")
        assert world.faults.dropped["bad_reply"] == 1

    with caplog.at_level("WARNING", "django.channels"):
        run(main)
    assert "a reply for the request of '/page/' was dropped" in caplog.text


@pytest.mark.parametrize("reply", [{"content": b"too long"}, {"content": "text"}])
def test_a_response_that_contradicts_itself_ends_with_the_connection(reply: dict[str, Any]) -> None:
    """Expect no wrong body to pass for the right one, and none after it in the same connection."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.reply(status=200, headers=[(b"content-length", b"3")], content=b"a", more_content=True)
        await until(lambda: browser.body)
        browser.reply(**reply)
        await until(lambda: browser.transport.aborted)
        browser.leave()
        await browser.end()
        assert browser.body == b"a"
        assert world.faults.dropped["bad_response"] == 1

    run(main)


def test_a_group_send_answers_requests_and_leaves_sockets_alone() -> None:
    """Item 97: long polls; a send for sockets does not touch them."""

    async def main() -> None:
        world = World()
        browsers = [Browser(world) for _ in range(3)]
        await until(lambda: len(world.hub) == 3)
        for token in world.hub.channels():
            world.apply(JoinEntry("news", token))
        world.apply(GroupEntry("news", {"text": "for sockets"}))
        await asyncio.sleep(0.01)
        assert [browser.sent for browser in browsers] == [[], [], []]
        world.apply(GroupEntry("news", {"status": 200, "content": b"news"}))
        for browser in browsers:
            await browser.end()
            assert (browser.status, browser.body) == (200, b"news")
        assert world.hub.groups() == {}
        assert world.faults.dropped["bad_reply"] == 3

    run(main)


@pytest.mark.parametrize("began", [False, True])
def test_a_process_that_goes_down_ends_it(began: bool) -> None:
    """Expect 503, or the end of the connection, and the disconnect."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        if began:
            browser.reply(status=200, content=b"a", more_content=True)
            await until(lambda: browser.body)
        world.hub.close_all(1012)
        if began:
            await until(lambda: browser.transport.aborted)
            browser.leave()
        await browser.end()
        assert browser.status == (200 if began else 503)
        assert browser.is_complete is not began
        assert world.publisher.channels == ["http.request", "http.disconnect"]
        assert browser.pieces.granted == [GONE]

    run(main)


def test_a_server_that_goes_down_cancels_it() -> None:
    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.task.cancel()
        await browser.end()
        assert browser.status == 503
        assert world.publisher.channels == ["http.request", "http.disconnect"]

    run(main)


def test_a_node_taken_for_dead_publishes_no_disconnect() -> None:
    """Given that others cleared its name: it is theirs to tell."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        world.hub.changes.take()
        world.hub.abandon(1012)
        await browser.end()
        assert browser.status == 503
        assert world.publisher.channels == ["http.request"]

    run(main)


@pytest.mark.parametrize(
    ("reply", "ends"), [({}, False), ({"status": 200, "more_content": True}, True), ({"send_body": True}, True)]
)
def test_what_redis_lost_must_not_be_missing_from_a_body(reply: dict[str, Any], ends: bool) -> None:
    async def main() -> None:
        world = World()
        browser = Browser(world, (b"a" * 1000 * KIB,), method="POST")
        await browser.request()
        if reply:
            browser.reply(**reply)
            await until(lambda: browser.sent or browser.pieces.body)
        world.hub.lose()
        await asyncio.sleep(0.01)
        assert bool(world.faults.dropped["data_lost"]) is ends
        if not ends:
            browser.reply(status=200)
        browser.leave()
        await browser.end()
        if "send_body" in reply:
            assert browser.status == 503
            assert browser.pieces.body == [{"closed": True}]

    run(main)


def test_a_body_that_redis_may_have_twice_or_not_at_all_is_not_sent_again() -> None:
    async def main() -> None:
        world = World()
        browser = Browser(world, (b"a" * 1000 * KIB,), method="POST")
        await browser.request()
        browser.pieces.away = True
        browser.reply(send_body=True)
        await browser.end()
        assert browser.status == 503
        assert world.faults.dropped == {"data_lost": 1, "errand_failed": 1}

    run(main)


def test_leave_to_send_more_is_given_once_redis_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "_AGAIN", 0.01)

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        browser.pieces.away = True
        browser.reply(status=200, more_content=True)
        for _ in range(7):
            browser.reply(content=b"a", more_content=True)
        await until(lambda: world.faults.dropped["layer_unavailable"] > 1)
        browser.pieces.away = False
        await until(lambda: sum(browser.pieces.granted) == 8)
        browser.reply()
        await browser.end()

    run(main)


def test_a_connection_that_ended_unnoticed_is_found_by_the_sweep() -> None:
    """Given a client that pipelined its next request: the server does not tell of its end."""

    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()
        world.hub.sweep()
        assert not browser.task.done()
        browser.transport.closing = True
        world.hub.sweep()
        await browser.end()
        assert world.publisher.channels == ["http.request", "http.disconnect"]

    run(main)


def test_a_server_that_raises_has_lost_its_client() -> None:
    async def main() -> None:
        world = World()
        browser = Browser(world)
        await browser.request()

        async def fail(event: Any) -> None:
            raise OSError("it is gone")

        next(iter(world.hub._sockets.values()))._response._send = fail  # type: ignore[attr-defined]
        browser.reply(status=200)
        await browser.end()
        assert world.publisher.channels == ["http.request", "http.disconnect"]

    run(main)


# what gets no message


@pytest.mark.parametrize(
    ("scope", "part"),
    [
        ({"raw_path": b"/\xe4/"}, "beyond ASCII"),
        ({"raw_path": b"/%e4/"}, "UTF-8"),
        ({"headers": [(b"host", b"a"), (b"Host", b"b")]}, "several host"),
        (
            {"headers": [(b"host", b"a"), (b"content-length", b"0"), (b"content-length", b"0")]},
            "several content-length",
        ),
        ({"headers": []}, "no host"),
    ],
)
def test_a_request_that_cannot_be_understood(
    scope: dict[str, Any], part: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Item 111."""

    async def main() -> None:
        world = World()
        browser = Browser(world, **scope)
        await browser.end()
        assert (browser.status, world.publisher.taken) == (400, [])
        assert browser.headers[b"connection"] == b"close"
        assert world.faults.dropped == {"request_invalid": 1}

    with caplog.at_level("WARNING", "django.channels"):
        run(main)
    assert part in caplog.text


def test_headers_that_pass_for_others_are_left_out() -> None:
    """Item 111."""

    async def main() -> None:
        browser = Browser(World(), headers=[(b"host", b"a"), (b"X_Forwarded_For", b"me"), (b"X-Ok", b"1")])
        assert (await browser.request())["headers"] == [[b"host", b"a"], [b"x-ok", b"1"]]
        browser.reply(status=200)
        await browser.end()

    run(main)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_without_room_or_redis_it_is_503(method: str) -> None:
    """Item 60."""

    async def main() -> None:
        world = World()
        world.publisher.full.add("http.request")
        browser = Browser(world, method=method)
        await browser.end()
        assert (browser.status, browser.headers[b"retry-after"]) == (503, b"2")
        world.node.ready = False
        other = Browser(world, (b"a",), complete=False, method=method)
        await other.end()
        assert other.status == 503, "before its body was read"
        assert world.faults.dropped == {"request_full": 1, "not_ready": 1}
        assert (len(world.hub), bool(world.hub.changes)) == (0, False)
        assert (browser.body == b"") is (method == "HEAD")

    run(main)


@pytest.mark.parametrize(
    ("pieces", "scope", "config", "status"),
    [
        ((b"a" * 11,), {}, {"body_size": 10}, 413),
        ((), {"headers": [(b"host", b"a"), (b"content-length", b"11")]}, {"body_size": 10}, 413),
        ((b"a",), {}, {"body_timeout": 0.02}, 408),
    ],
)
def test_a_body_beyond_its_limits(pieces: Any, scope: Any, config: Any, status: int) -> None:
    async def main() -> None:
        world = World(**config)
        browser = Browser(world, pieces, complete=False, method="POST", **scope)
        await browser.end()
        assert (browser.status, world.publisher.taken) == (status, [])
        assert world.around.room.memory == Room().memory

    run(main)


def test_without_room_for_its_body_it_is_503() -> None:
    async def main() -> None:
        world = World()
        world.around.room.disk = 1000
        browser = Browser(world, (b"a" * 3_000_000,), method="POST")
        await browser.end()
        assert browser.status == 503
        assert world.faults.dropped == {"body_full": 1}
        assert (world.around.room.memory, world.around.room.disk) == (Room().memory, 1000)

    run(main)


def test_of_many_bodies_little_is_in_memory() -> None:
    """Given 20 bodies of 2 MB: expect at most 4 MiB of them in memory."""

    async def main() -> None:
        world = World()
        browsers = [Browser(world, (b"a" * 100_000,) * 20, method="POST") for _ in range(20)]
        await until(lambda: all(browser.incoming.empty() for browser in browsers))
        await until(lambda: world.around.room.memory >= 0)
        while any(not browser.task.done() for browser in browsers):
            for token in world.hub.channels():
                world.reply(token, status=200)
            await asyncio.sleep(0.001)
        assert (world.around.room.memory, world.around.room.disk) == (Room().memory, Room().disk)

    run(main)
