"""The interface on real uvicorn and real connections, with layer and queues in memory and a stand-in for the worker."""

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.interfaces import Interface, RawClient, running
from tests.servers import wait_until

Start = Callable[..., Interface]


@pytest.fixture
def start(settings: Any) -> Iterator[Start]:
    """Start an interface with a CONFIG."""
    settings.ALLOWED_HOSTS = ["127.0.0.1", "example.org"]
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(running(settings, **config))


def closed_with(client: ClientConnection, *frames: str | bytes) -> int:
    """Send frames, wait until the client is closed and return the code."""
    try:
        for frame in frames:
            client.send(frame)
        while True:
            client.recv(timeout=5)
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006


# one socket


def test_a_whole_life(start: Start) -> None:
    it = start()
    with it.connecting("/chat/r%C3%BCm/?a=1") as attempt:
        connect = it.worker.next("connect")
        assert (connect["path"], connect["query_string"], connect["order"]) == ("/chat/rüm/", b"a=1", 0)
        assert [b"host", f"127.0.0.1:{it.port}".encode()] in connect["headers"]
        it.worker.reply(connect, accept=True)
        client = attempt.client()
        client.send("hällo")
        client.send(b"\x00\xff")
        client.send(["in ", "two"])
        frames = [it.worker.next("receive") for _ in range(3)]
        assert [(frame["order"], frame.get("text"), frame.get("bytes")) for frame in frames] == [
            (1, "hällo", None),
            (2, None, b"\x00\xff"),
            (3, "in two", None),
        ]
        it.worker.reply(connect, text="hü")
        it.worker.reply(connect, bytes=b"\xfe")
        assert [client.recv(timeout=5), client.recv(timeout=5)] == ["hü", b"\xfe"]
        client.close(3999)
        disconnect = it.worker.next("disconnect")
        assert disconnect == {
            "reply_channel": connect["reply_channel"],
            "path": "/chat/rüm/",
            "code": 3999,
            "order": 4,
        }
    assert it.dropped == {}


@pytest.mark.parametrize("reply", [{"accept": False}, {"close": True}])
def test_refusal_is_403(start: Start, reply: dict[str, bool]) -> None:
    it = start()
    with it.connecting() as attempt:
        connect = it.worker.next("connect")
        it.worker.reply(connect, **reply)
        assert attempt.status() == 403
        assert it.worker.next("disconnect")["reply_channel"] == connect["reply_channel"]


def test_no_answer_is_403_in_time(start: Start) -> None:
    it = start(connect_timeout=0.3)
    with it.connecting() as attempt:
        assert attempt.status() == 403
    assert it.worker.next("disconnect")["order"] == 1
    assert it.dropped == {"handshake_timeout": 1}


@pytest.mark.parametrize(("close", "code"), [(True, 1000), (1000, 1000), (3000, 3000), (4999, 4999)])
def test_close_codes(start: Start, close: int, code: int) -> None:
    it = start()
    with it.accepted() as (client, connect):
        it.worker.reply(connect, text="bye", close=close)
        assert client.recv(timeout=5) == "bye"
        assert closed_with(client) == code
        disconnect = it.worker.next("disconnect")
        assert (disconnect["code"], disconnect["order"]) == (code, 1)


def test_accept_send_and_close_in_one_reply(start: Start) -> None:
    it = start()
    with it.connecting() as attempt:
        it.worker.reply(it.worker.next("connect"), text="no", close=4003)
        client = attempt.client()
        assert client.recv(timeout=5) == "no"
        assert closed_with(client) == 4003


def test_subprotocol(start: Start, settings: Any) -> None:
    settings.CHANNELS_WS_PROTOCOLS = ["v2"]
    it = start()
    with it.accepted(subprotocols=["v1", "v2"]) as (client, connect):
        assert connect["subprotocols"] == ["v1", "v2"]
        assert client.subprotocol == "v2"


def test_a_client_that_leaves_during_the_handshake(start: Start) -> None:
    it = start()
    client = RawClient(it.port)
    connect = it.worker.next("connect")
    client.reset()
    assert it.worker.next("disconnect")["reply_channel"] == connect["reply_channel"]
    assert it.dropped == {}


def test_a_client_that_vanishes(start: Start) -> None:
    it = start()
    client = RawClient(it.port)
    connect = it.worker.next("connect")
    it.worker.reply(connect, accept=True)
    assert client.status() == 101
    client.reset()
    assert it.worker.next("disconnect")["reply_channel"] == connect["reply_channel"]
    wait_until(lambda: it.sockets == 0, what="the connection to be forgotten")


def test_a_client_that_does_not_answer_pings(start: Start) -> None:
    it = start(ping_interval=0.2, ping_timeout=0.2)
    with it.accepted() as (client, _), RawClient(it.port) as silent:
        connect = it.worker.next("connect")
        it.worker.reply(connect, accept=True)
        assert silent.status() == 101
        assert it.worker.next("disconnect")["reply_channel"] == connect["reply_channel"]
        assert client.ping().wait(5), "the others stay"


def test_frames_before_the_answer_wait(start: Start) -> None:
    """Item 123."""
    it = start()
    with RawClient(it.port) as client:
        connect = it.worker.next("connect")
        client.frame(1, b"early")
        time.sleep(0.1)
        assert it.worker.waiting("receive") == []
        it.worker.reply(connect, accept=True)
        assert client.status() == 101
        assert it.worker.next("receive")["text"] == "early"


# groups


def test_groups(start: Start) -> None:
    it = start()
    with it.accepted() as (one, first), it.accepted() as (two, second):
        it.layer.group_add("g", first["reply_channel"])
        it.layer.group_add("g", second["reply_channel"])
        it.layer.send_group("g", {"text": "both"})
        assert [client.recv(timeout=5) for client in (one, two)] == ["both", "both"]
        it.layer.group_discard("g", first["reply_channel"])
        it.layer.send_group("g", {"text": "two"})
        it.worker.reply(first, text="one")
        assert [client.recv(timeout=5) for client in (one, two)] == ["one", "two"]
        two.close()
        it.worker.next("disconnect")
        wait_until(lambda: it.layer.group_channels("g") == [], what="the hub to leave")


# limits and bad input


def test_frames_up_to_the_limit_pass_and_larger_ones_close_with_1009(start: Start) -> None:
    """Just above it is refused by the application, far above by the server; nobody else notices."""
    it = start()
    with it.accepted() as (other, connect):
        # the server closes before it has read all, and then the client may get a reset before the code
        for size, codes in ((1024 * 1024 + 1, {1009}), (3 * 1024 * 1024, {1009, 1006})):
            with it.accepted(max_size=None) as (client, _):
                client.send("x" * 1024 * 1024)
                assert len(it.worker.next("receive")["text"]) == 1024 * 1024
                assert closed_with(client, b"x" * size) in codes
                assert it.worker.next("disconnect")["code"] == 1009
        it.worker.reply(connect, text="still here")
        assert other.recv(timeout=5) == "still here"
    assert it.dropped == {"frame_size": 1, "wrong_frames": 1}


@pytest.mark.parametrize(
    ("opcode", "payload", "options", "code"),
    [
        (1, b"\xff\xfe", {}, 1007),
        (1, b"\xed\xa0\x80", {}, 1007),
        (3, b"reserved opcode", {}, 1002),
        (1, b"reserved bit", {"reserved": 4}, 1002),
        (1, b"not masked", {"masked": False}, 1002),
        (0, b"nothing to continue", {}, 1002),
        (9, b"a long ping" * 20, {}, 1002),
        (9, b"a ping in parts", {"final": False}, 1002),
        (8, b"\x03", {}, 1002),
        (8, b"\x03\xee", {}, 1002),
    ],
)
def test_frames_that_break_the_protocol_end_their_socket_only(
    start: Start, opcode: int, payload: bytes, options: dict[str, Any], code: int
) -> None:
    it = start()
    with it.accepted() as (other, connect), RawClient(it.port) as client:
        it.worker.reply(it.worker.next("connect"), accept=True)
        assert client.status() == 101
        client.frame(opcode, payload, **options)
        assert client.close_code() == code
        assert it.worker.next("disconnect")["order"] == 1
        it.worker.reply(connect, text="still here")
        assert other.recv(timeout=5) == "still here"
        assert it.worker.waiting("receive") == []


def test_a_message_in_endless_parts_is_cut_off(start: Start) -> None:
    it = start(frame_size=100_000)
    with RawClient(it.port) as client:
        it.worker.reply(it.worker.next("connect"), accept=True)
        assert client.status() == 101
        client.frame(1, b"x" * 60_000, final=False)
        for _ in range(100):
            client.frame(0, b"x" * 60_000, final=False)
        assert client.close_code() in {1009, None}, "None: reset, since it wrote on"
        assert it.worker.next("disconnect")["code"] == 1009


@pytest.mark.parametrize(
    "headers",
    [
        [b"Origin: https://evil.test"],
        [b"Origin: null"],
        [b"Origin: https://example.org.evil.test"],
        [b"Origin: https://example.org@evil.test"],
        [b"Origin: https://example.org", b"Origin: https://evil.test"],
        [b"Origin: https://ex\xc3\xa4mple.org"],
        [b"Host: evil.test"],
        [b"Host: 127.0.0.1", b"Host: evil.test"],
        [b"Cookie: sessionid=1"],
    ],
)
def test_forbidden_handshakes(start: Start, headers: list[bytes]) -> None:
    it = start()
    with RawClient(it.port, headers=headers) as client:
        assert client.status() in {400, 403}
    with it.accepted(additional_headers={"Cookie": "a=b"}, origin="https://example.org"):
        pass
    assert it.worker.waiting("connect") == []


def test_a_full_queue_is_503_until_there_is_room(start: Start) -> None:
    it = start(channel_capacity={"websocket.connect": 1}, connect_timeout=0.2)
    statuses: list[int] = []
    headers: dict[str, str] = {}
    while 503 not in statuses:
        assert len(statuses) < 20
        with it.connecting() as attempt:
            statuses.append(attempt.status())
            headers = dict(attempt.error.response.headers)  # type: ignore[union-attr]
    assert int(headers["retry-after"]) > 0
    assert it.dropped["connect_full"] == 1
    refused = len([status for status in statuses if status == 403])
    wait_until(lambda: len(it.worker.waiting("connect")) >= refused, what="what was taken to be published")
    it.worker.waiting("connect").clear()
    wait_until(lambda: _opens(it), what="a socket to be accepted")


def _opens(it: Interface) -> bool:
    with it.connecting() as attempt:
        got = it.worker.waiting("connect")
        wait_until(lambda: got or attempt.error or it.worker.waiting("connect"), what="an answer")
        for connect in it.worker.waiting("connect"):
            it.worker.reply(connect, accept=True)
        it.worker.waiting("connect").clear()
        attempt._thread.join(5)
        return attempt.error is None


def test_a_queue_that_stays_full_closes_with_1013(start: Start) -> None:
    it = start(channel_capacity={"websocket.receive": 1}, publish_wait=0.3)
    with it.accepted() as (client, _):
        assert closed_with(client, *(str(n) for n in range(10_000))) == 1013
        disconnect = it.worker.next("disconnect")
        taken = it.worker.waiting("receive")
        assert [frame["text"] for frame in taken] == [str(n) for n in range(len(taken))]
        assert it.dropped == {"receive_full": 1}
        wait_until(lambda: len(it.worker.waiting("receive")) == disconnect["order"] - 1, what="what was taken")


def test_a_socket_whose_frames_wait_for_room_is_not_taken_for_dead(start: Start) -> None:
    """Given a ping that a client answers behind what is not read, Expect no close: nothing says that it is gone."""
    it = start(channel_capacity={"websocket.receive": 1}, publish_wait=60, ping_interval=0.2, ping_timeout=0.2)
    with it.accepted(ping_interval=None) as (client, _):
        for number in range(2_000):
            client.send(str(number))
        with pytest.raises(TimeoutError):
            client.recv(timeout=1.5)
        for number in range(2_000):
            assert it.worker.next("receive")["text"] == str(number)
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.5)


def test_a_client_that_does_not_read_is_cut_off_and_delays_nobody(start: Start) -> None:
    it = start(send_buffer=200_000, send_timeout=30)
    with it.accepted(max_size=None) as (other, connect), RawClient(it.port, receive_buffer=4096) as slow:
        slow_connect = it.worker.next("connect")
        it.worker.reply(slow_connect, accept=True)
        assert slow.status() == 101
        it.layer.group_add("g", slow_connect["reply_channel"])
        it.layer.group_add("g", connect["reply_channel"])
        payload, sent = "x" * 100_000, 0
        while not it.dropped:
            assert sent < 200, "the kernel takes some megabytes, but not so many"
            it.layer.send_group("g", {"text": payload})
            sent += 1
            assert other.recv(timeout=2) == payload
        assert it.dropped == {"send_buffer": 1}
        disconnect = it.worker.next("disconnect")
        assert (disconnect["reply_channel"], disconnect["code"]) == (slow_connect["reply_channel"], 1013)
        wait_until(lambda: it.sockets == 1, timeout=3, what="the connection to be ended though nobody reads")


def test_a_client_that_stops_reading_for_too_long_is_cut_off(start: Start) -> None:
    it = start(send_buffer=50_000_000, send_timeout=0.3)
    with RawClient(it.port, receive_buffer=4096) as slow:
        connect = it.worker.next("connect")
        it.worker.reply(connect, accept=True)
        assert slow.status() == 101
        for _ in range(10):
            it.worker.reply(connect, text="x" * 1_000_000)
        assert it.worker.next("disconnect")["code"] == 1013
        assert it.dropped == {"send_timeout": 1}
        wait_until(lambda: it.sockets == 0, timeout=3, what="the connection to be ended though nobody reads")


def test_bad_replies_leave_the_socket_open(start: Start) -> None:
    it = start()
    with it.accepted() as (client, connect):
        it.worker.reply(connect, content="no such key")
        it.worker.reply(connect, text=b"not text")
        it.worker.reply(connect, close=5)
        it.worker.reply(connect, text="a", bytes=b"b")
        it.worker.reply(connect, text="good")
        assert client.recv(timeout=5) == "good"
    assert it.dropped == {"bad_reply": 4}


# HTTP


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_http_off(start: Start, method: str) -> None:
    it = start()
    connection = http.client.HTTPConnection("127.0.0.1", it.port, timeout=5)
    connection.request(method, "/anything", body=b"x" if method == "POST" else None)
    response = connection.getresponse()
    assert (response.status, response.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert response.headers["server"] is None
    assert (response.read() == b"") is (method == "HEAD")
    connection.close()


urlpatterns = [path("page/", lambda request: HttpResponse(f"a page for {request.get_host()}"))]


def test_http_inline_beside_sockets(start: Start, settings: Any) -> None:
    settings.ROOT_URLCONF, settings.MIDDLEWARE = __name__, []
    it = start(http="inline")
    connection = http.client.HTTPConnection("127.0.0.1", it.port, timeout=5)
    with it.accepted("/page/") as (client, connect):
        for host, status, body in (("example.org", 200, b"a page for example.org"), ("evil.test", 400, b"")):
            connection.request("GET", "/page/", headers={"Host": host})
            response = connection.getresponse()
            assert response.status == status
            assert body in response.read()
        it.worker.reply(connect, text="a socket")
        assert client.recv(timeout=5) == "a socket"
    connection.close()


def test_a_connection_that_says_nothing_is_closed(start: Start) -> None:
    it = start(head_timeout=0.3)
    with socket.create_connection(("127.0.0.1", it.port), timeout=5) as silent:
        assert silent.recv(1) == b""


def test_a_request_that_does_not_get_on_is_closed(start: Start) -> None:
    """Also the second on a connection; and a socket that was opened on it is none."""
    it = start(head_timeout=0.3)
    with it.accepted() as (client, connect), socket.create_connection(("127.0.0.1", it.port), timeout=5) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert slow.recv(1000).startswith(b"HTTP/1.1 404")
        slow.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        while slow.recv(1000):
            pass
        it.worker.reply(connect, text="still here")
        assert client.recv(timeout=5) == "still here"


@pytest.mark.parametrize("line", [b"x: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
def test_endless_headers_are_cut_off(start: Start, line: bytes) -> None:
    it = start()
    with socket.create_connection(("127.0.0.1", it.port), timeout=5) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: ")
        with pytest.raises(OSError):  # a broken pipe or a reset
            endless.sendall(line * 100_000)
    wait_until(lambda: it.sockets == 0, what="the connection to be forgotten")


def test_a_large_body_is_no_large_head(start: Start) -> None:
    it = start()
    connection = http.client.HTTPConnection("127.0.0.1", it.port, timeout=5)
    for _ in range(2):
        connection.request("POST", "/", body=b"x" * 500_000)
        response = connection.getresponse()
        response.read()
        assert response.status == 404
    connection.close()


# the end


def test_the_end_closes_with_1012_and_publishes_every_disconnect(start: Start) -> None:
    it = start()
    with it.accepted() as (one, first), it.accepted() as (two, second), it.connecting() as waiting:
        third = it.worker.next("connect")
        it.layer.group_add("g", first["reply_channel"])
        it.stop()
        assert [closed_with(client) for client in (one, two)] == [1012, 1012]
        assert waiting.status() in {403, 500, 503}
        gone = {it.worker.next("disconnect")["reply_channel"] for _ in range(3)}
        assert gone == {message["reply_channel"] for message in (first, second, third)}
        assert it.layer.group_channels("g") == []


def test_a_client_that_does_not_read_does_not_hold_up_the_end(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # far longer than the test waits: the end must not come from this
    monkeypatch.setattr("channelcelery.interface.server._GRACE", 60)
    it = start(send_buffer=50_000_000)
    with RawClient(it.port, receive_buffer=4096) as slow:
        connect = it.worker.next("connect")
        it.worker.reply(connect, accept=True)
        assert slow.status() == 101
        for _ in range(10):
            it.worker.reply(connect, text="x" * 1_000_000)
        wait_until(it.holds_bytes, what="the client to hold bytes up")
        it.stop()
        assert it.worker.next("disconnect")["reply_channel"] == connect["reply_channel"]


def test_nothing_listens_after_the_end(start: Start) -> None:
    it = start()
    it.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", it.port)) != 0
