"""Clients that open and send too much or too slowly, over real connections: they are stopped, and others not."""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.interfaces import Interface, RawClient, running
from tests.servers import wait_until

Start = Callable[..., Interface]
HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TEXT, CONTINUATION, PING = 1, 0, 9


@pytest.fixture
def start(settings: Any) -> Iterator[Start]:
    """Start an interface with a CONFIG."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(running(settings, **config))


@contextmanager
def bystander(it: Interface) -> Iterator[None]:
    """Somebody who is there before and after, and must not notice."""
    with it.accepted("/bystander/") as (client, connect):
        yield
        client.send("hello")
        wait_until(lambda: it.worker.waiting("receive"), what="what the bystander said")
        it.worker.reply(connect, text="still here")
        assert client.recv(timeout=5) == "still here"


def raw(it: Interface, data: bytes = b"") -> socket.socket:
    """Open a connection and write to it."""
    connection = socket.create_connection(("127.0.0.1", it.port), timeout=5)
    connection.sendall(data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def status(answer: bytes) -> int:
    """Return the status of an answer, or 0 if there is none."""
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


# connections


def test_given_as_many_connections_as_there_may_be_expect_503_until_one_leaves(start: Start) -> None:
    it = start(connections=3)
    with bystander(it), raw(it), raw(it) as leaves:
        wait_until(lambda: it.sockets == 3, what="the connections")
        with raw(it, HEAD + b"\r\n") as refused:
            answer = read_all(refused)
        assert status(answer) == 503
        assert b"retry-after: 2" in answer
        leaves.close()
        wait_until(lambda: it.sockets == 2, what="one to leave")
        with raw(it, HEAD + b"\r\n") as taken:
            assert status(taken.recv(1000)) == 404
    assert it.dropped["connections"] == 1


def test_given_sockets_that_come_and_go_expect_none_to_be_counted_for_ever(start: Start) -> None:
    """If a socket ends in any way, expect its place to be free again."""
    it = start(connections=4)
    for number in range(12):
        if number % 3 == 0:
            with it.accepted():
                pass
        elif number % 3 == 1:
            with it.connecting() as attempt:
                it.worker.reply(it.worker.next("connect"), accept=False)
                assert attempt.status() == 403
        else:
            with RawClient(it.port, "/", [b"Sec-WebSocket-Key: twice"]) as client:
                assert client.status() == 400
            with RawClient(it.port, "/") as client:
                it.worker.next("connect")
                client.reset()
        wait_until(lambda: it.sockets == 0, what="the connection to end")
    assert "connections" not in it.dropped


def test_given_a_storm_of_connections_expect_503_for_those_above_the_rate(start: Start) -> None:
    it = start(connect_rate=5)
    with bystander(it):
        answers = []
        for _ in range(30):
            with raw(it, HEAD + b"Connection: close\r\n\r\n") as each:
                answers.append(status(read_all(each)))
        assert set(answers) == {404, 503}
        assert answers.count(503) == it.dropped["connect_rate"] >= 10
        wait_until(lambda: status(_get(it)) == 404, what="room a second later")


def _get(it: Interface) -> bytes:
    with raw(it, HEAD + b"Connection: close\r\n\r\n") as connection:
        return read_all(connection)


def test_given_many_sockets_from_one_address_behind_a_proxy_expect_429_there_only(start: Start) -> None:
    it = start(address_connections=2, proxies=["127.0.0.1"])
    greedy, other = {"X-Forwarded-For": "8.8.8.8"}, {"X-Forwarded-For": "9.9.9.9"}
    with bystander(it), it.accepted(additional_headers=greedy), it.accepted(additional_headers=greedy):
        with it.connecting(additional_headers=greedy) as attempt:
            assert attempt.status() == 429
        with it.accepted(additional_headers=other) as (_, connect):
            assert connect["client"][0] == "9.9.9.9"
    wait_until(lambda: it.sockets == 0, what="the sockets to end")
    with it.accepted(additional_headers=greedy):
        pass
    assert it.dropped["address_connections"] == 1


def test_given_a_storm_from_one_address_behind_a_proxy_expect_429_there_only(start: Start) -> None:
    """Given one connection in a hundred seconds from each address / Expect the first one, and others' to be taken."""
    it = start(address_connect_rate=0.01, proxies=["127.0.0.1"])
    greedy, other = {"X-Forwarded-For": "8.8.8.8"}, {"X-Forwarded-For": "9.9.9.9"}
    with bystander(it), it.accepted(additional_headers=greedy):
        for _ in range(5):
            with it.connecting(additional_headers=greedy) as attempt:
                assert attempt.status() == 429
        with it.accepted(additional_headers=other):
            pass
    assert it.dropped["address_connect_rate"] == 5


def test_given_a_caller_that_is_no_listed_proxy_expect_its_forwarded_headers_to_be_nothing(start: Start) -> None:
    it = start(address_connections=1, proxies=["10.0.0.1"])
    forged = {"X-Forwarded-For": "8.8.8.8", "X-Forwarded-Host": "evil.test", "Forwarded": "for=8.8.8.8"}
    with it.accepted(additional_headers=forged) as (_, connect), it.accepted(additional_headers=forged):
        assert connect["client"][0] == "127.0.0.1"
        names = {bytes(name) for name, _ in connect["headers"]}
        assert names.isdisjoint({b"x-forwarded-for", b"x-forwarded-host", b"forwarded"})


# heads


def test_given_a_hundred_slow_heads_expect_them_to_be_closed_and_nobody_else(start: Start) -> None:
    """If heads and handshakes come a byte at a time, expect an end in time, however lively they are."""
    it = start(head_timeout=0.5)
    with bystander(it):
        slow = [raw(it, HEAD if number % 2 else HEAD + b"Upgrade: websocket\r\n") for number in range(100)]
        begun = time.monotonic()
        while it.dropped.get("head_timeout", 0) < 100 and time.monotonic() - begun < 10:
            for each in slow:
                with contextlib.suppress(OSError):
                    each.sendall(b"x")
            time.sleep(0.05)
        wait_until(lambda: it.sockets == 1, what="the slow ones to be closed")
        for each in slow:
            each.close()
    assert it.dropped["head_timeout"] == 100


def test_given_empty_lines_after_an_answer_expect_the_connection_to_end_all_the_same(start: Start) -> None:
    it = start(head_timeout=0.3)
    with raw(it, HEAD + b"\r\n") as connection:
        assert status(connection.recv(1000)) == 404
        begun = time.monotonic()
        while it.sockets and time.monotonic() - begun < 5:
            with contextlib.suppress(OSError):
                connection.sendall(b"\r\n")
            time.sleep(0.02)
        assert it.sockets == 0


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([b"X-%d: y" % number for number in range(200)], "header_count"),
        ([b"X: " + b"y" * 3000] * 30, "header_size"),
    ],
    ids=["too many", "too large"],
)
@pytest.mark.parametrize(
    "upgrade", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"], ids=["request", "handshake"]
)
def test_given_headers_that_are_too_many_or_too_large_expect_431(
    start: Start, lines: list[bytes], reason: str, upgrade: bytes
) -> None:
    it = start()
    with bystander(it), raw(it) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(HEAD + upgrade + b"\r\n".join(lines))
        assert status(read_all(connection)) == 431
    assert it.dropped[reason] == 1


@pytest.mark.parametrize(
    ("length", "upgrade", "answer", "reason"),
    [
        (70_000, b"", 431, "header_size"),
        (70_000, UPGRADE, 431, "header_size"),
        (8_193, UPGRADE, 400, "request_invalid"),
    ],
    ids=["request", "handshake", "longer than every message of a socket may have"],
)
def test_given_a_path_that_is_too_long_expect_it_refused(
    start: Start, length: int, upgrade: bytes, answer: int, reason: str
) -> None:
    it = start()
    with bystander(it), raw(it) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET /" + b"y" * (length - 1) + HEAD[5:] + upgrade + b"\r\n")
        assert status(read_all(connection)) == answer
    assert it.dropped[reason] == 1


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WRONG = {
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED),
    "the same length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "an encoding that hides": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 5\r\n\r\n",
    "a folded header": POST + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a folded encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a lone line feed": b"POST / HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0\n\n",
    "a lone line feed in a header": POST + b"X: a\nContent-Length: 0\r\n\r\n",
    "a lone return in a header": POST + b"X: a\rContent-Length: 0\r\n\r\n",
    "a zero byte": POST + b"X: a\x00b\r\n\r\n",
    "a control byte": POST + b"X: a\x1b[2Jb\r\n\r\n",
    "two hosts": POST + b"Host: evil.test\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nabcde",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a chunk's length with a lone line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk's length beyond 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
}


@pytest.mark.parametrize("what", WRONG)
def test_given_a_request_that_two_servers_read_as_two_expect_400_and_nothing_behind_it_read(
    start: Start, what: str
) -> None:
    it = start()
    with raw(it, WRONG[what] + SMUGGLED) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert status(answer) == 400, answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not any(word in answer.lower() for word in (b"uvicorn", b"celery", b"django", b"traceback", b"redis"))
    assert it.dropped["request_invalid"] == 1


# bodies


def test_given_bodies_of_a_byte_now_and_then_expect_408_and_one_at_the_rate_to_arrive(start: Start) -> None:
    """Expect the end of those that never pause for CONFIG['body_timeout'], and would hold their connection for ever."""
    it = start(http="worker", body_timeout=0.5, body_rate=200)
    head = POST + b"Content-Length: 1000\r\n\r\n"
    with bystander(it), raw(it, head) as well:
        slow = [raw(it, head) for _ in range(20)]
        for number in range(20):
            well.sendall(b"x" * 50)
            for each in slow if number % 2 else ():
                with contextlib.suppress(OSError):
                    each.sendall(b"x")
            time.sleep(0.05)
        assert [status(read_all(each)) for each in slow] == [408] * 20
        it.worker.reply(it.worker.next("http.request"), status=200)
        assert status(well.recv(1000)) == 200
        for each in slow:
            each.close()
    assert it.dropped == {"body_rate": 20}
    assert it.worker.waiting("http.request") == []


# sockets


def open_socket(it: Interface, path: str = "/") -> tuple[RawClient, dict[str, Any]]:
    client = RawClient(it.port, path)
    connect = it.worker.next("connect")
    it.worker.reply(connect, accept=True)
    assert client.status() == 101
    return client, connect


def test_given_more_messages_than_the_rate_expect_them_slowly_and_none_lost(start: Start) -> None:
    it = start(frame_rate=50)
    with bystander(it), it.accepted() as (client, _):
        begun = time.monotonic()
        for number in range(150):
            client.send(str(number))
        got: list[dict[str, Any]] = []
        wait_until(lambda: got.extend(it.worker.waiting("receive")) or _drain(it, got) >= 150, what="all of them")
        assert time.monotonic() - begun > 0.9  # 100 at once, 50 in a second
        assert [message["text"] for message in got] == [str(number) for number in range(150)]
    assert it.dropped["frame_rate"] > 10


def _drain(it: Interface, got: list[dict[str, Any]]) -> int:
    it.worker._got["receive"] = []
    return len(got)


def test_given_more_bytes_than_the_rate_expect_them_slowly(start: Start) -> None:
    it = start(byte_rate=100_000)
    with it.accepted() as (client, _):
        begun = time.monotonic()
        for _ in range(6):
            client.send(b"x" * 50_000)
        wait_until(lambda: len(it.worker.waiting("receive")) == 6, what="all of them")
        assert time.monotonic() - begun > 0.4
    assert it.dropped["frame_rate"] >= 1


def test_given_a_close_while_a_client_is_slowed_down_expect_it_at_once(start: Start) -> None:
    it = start(frame_rate=0.1)
    with it.accepted() as (client, connect):
        client.send("a")
        client.send("b")
        wait_until(lambda: it.dropped.get("frame_rate"), what="it to be slowed down")
        begun = time.monotonic()
        it.worker.reply(connect, close=4000)
        assert _code(client) == 4000
        assert time.monotonic() - begun < 3


def _code(client: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=5)
    return client.close_code


def test_given_pings_in_a_flood_expect_the_end_of_their_socket(start: Start) -> None:
    it = start(frame_rate=100)
    with bystander(it):
        client, _ = open_socket(it)
        with client:
            for _ in range(50):
                client.frame(PING, b"x" * 125)
            client.socket.setblocking(True)
            for _ in range(400):
                client.frame(PING, b"x" * 125)
            wait_until(lambda: it.sockets == 1, what="the socket to be cut off")
    assert it.dropped["ping_flood"] == 1


def test_given_pings_whose_answers_nobody_reads_expect_the_end_of_their_socket(start: Start) -> None:
    it = start(frame_rate=10**9)
    with bystander(it):
        client = RawClient(it.port, "/", receive_buffer=4096)
        it.worker.reply(it.worker.next("connect"), accept=True)
        ping = struct.pack("!BB4x", 0x89, 0x80 | 125) + b"x" * 125
        with client, contextlib.suppress(OSError):
            for _ in range(2000):
                client.socket.sendall(ping * 100)
        wait_until(lambda: it.sockets == 1, what="the socket to be cut off")
    assert it.dropped["ping_flood"] == 1


def test_given_a_message_in_countless_empty_pieces_expect_the_end_of_its_socket(start: Start) -> None:
    it = start()
    with bystander(it):
        client, _ = open_socket(it)
        with client:
            client.frame(TEXT, b"x", final=False)
            piece = struct.pack("!BB4x", CONTINUATION, 0x80)
            with contextlib.suppress(OSError):
                client.socket.sendall(piece * 10_000)
            wait_until(lambda: it.sockets == 1, what="the socket to be cut off")
    assert it.dropped["pieces"] == 1


def test_given_more_groups_than_there_may_be_expect_1008(start: Start) -> None:
    it = start(socket_groups=3)
    with bystander(it), it.accepted() as (client, connect):
        for number in [0, 1, 2, 0, 1, 2]:
            it.layer.group_add(f"g{number}", connect["reply_channel"])
        it.layer.send_group("g2", {"text": "in three"})
        assert client.recv(timeout=5) == "in three"
        it.layer.group_add("g3", connect["reply_channel"])
        assert _code(client) == 1008
        wait_until(lambda: not it.layer.group_channels("g3"), what="the membership to be taken back")
    assert it.dropped["socket_groups"] == 1


def test_given_an_idle_socket_expect_1001_and_a_busy_one_to_stay(start: Start) -> None:
    it = start(idle_timeout=0.4, heartbeat=0.05, node_expiry=5)
    with it.accepted("/idle/") as (idle, _), it.accepted("/listens/") as (listens, connect):
        begun = time.monotonic()
        while idle.close_code is None and time.monotonic() - begun < 5:
            it.worker.reply(connect, text="news")
            with contextlib.suppress(ConnectionClosed, TimeoutError):
                idle.recv(timeout=0.1)
        assert idle.close_code == 1001
        assert listens.recv(timeout=1) == "news"
        assert listens.close_code is None
    assert it.dropped["idle_timeout"] == 1


def bomb(size: int, pieces: int = 1) -> Iterator[tuple[bytes, int, bool, bool]]:
    """Return the frames of a compressed message of zeros: payload, opcode, whether it is compressed and the last."""
    import zlib

    deflate = zlib.compressobj(wbits=-12)
    data = deflate.compress(b"\x00" * size) + deflate.flush(zlib.Z_SYNC_FLUSH)
    data = data[:-4]
    step = -(-len(data) // pieces)
    for number, begin in enumerate(range(0, len(data), step)):
        yield data[begin : begin + step], 0 if number else 2, not number, begin + step >= len(data)


def send_bomb(client: RawClient, size: int, pieces: int) -> None:
    for payload, opcode, compressed, last in bomb(size, pieces):
        client.frame(opcode, payload, final=last, reserved=4 if compressed else 0)


@pytest.mark.parametrize("pieces", [1, 50], ids=["one frame", "many frames"])
def test_given_a_message_that_is_small_until_it_is_unpacked_expect_it_to_be_refused(start: Start, pieces: int) -> None:
    """If a server has compression, which ours has not, expect the limit to hold for what comes out."""
    it = start()
    with bystander(it), RawClient(it.port, "/", [b"Sec-WebSocket-Extensions: permessage-deflate"]) as client:
        it.worker.reply(it.worker.next("connect"), accept=True)
        assert client.status() == 101
        send_bomb(client, 8 * 1024 * 1024, pieces)
        assert client.close_code() == 1002  # it was not agreed on
    it.server.config.ws_per_message_deflate = True
    with bystander(it), RawClient(it.port, "/", [b"Sec-WebSocket-Extensions: permessage-deflate"]) as client:
        it.worker.reply(it.worker.next("connect"), accept=True)
        assert client.status() == 101
        send_bomb(client, 8 * 1024 * 1024, pieces)
        assert client.close_code() == 1009
    assert {message["path"] for message in it.worker.waiting("receive")} == {"/bystander/"}
