"""HTTP through workers on real uvicorn and real connections, in memory, with a stand-in for the worker.

Channels 1.x, items 60, 63, 90 to 97, 107, 110 and 111, as they show on the wire.
"""

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path

from channelcelery.core.envelope import decode_content
from channelcelery.core.names import reply_address
from channelcelery.layers.pieces import GONE
from channelcelery.routing import route
from tests.integration.interfaces import Interface, running
from tests.integration.wire import Wire
from tests.servers import wait_until

KIB, MIB = 1024, 1024 * 1024
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of a handshake (RFC 6455, section 1.3)
Start = Callable[..., Interface]


@pytest.fixture
def start(settings: Any) -> Iterator[Start]:
    """Start an interface with a CONFIG."""
    with ExitStack() as stack:
        yield lambda **config: stack.enter_context(running(settings, **{"http": "worker", **config}))


def next_request(it: Interface) -> dict[str, Any]:
    return it.worker.next("http.request")


def take_body(it: Interface, message: dict[str, Any]) -> bytes:
    """Read a body as a worker does (item 91)."""
    if message["body_channel"] is None:
        return bytes(message["body"])
    it.worker.reply(message, send_body=True)
    body, address = b"", reply_address(message["reply_channel"])
    while True:
        packed = it.layer.pieces.take_body(address, 5)
        assert packed is not None
        piece = decode_content(packed)
        body += piece["content"]
        if not piece["more_content"]:
            return body


# requests


def test_a_request_and_its_response(start: Start) -> None:
    """Items 90, 92."""
    it = start()
    with Wire(it.port) as client:
        client.request("POST", "/p%C3%A4ge/?a=%20b", "X-One: 1", "X-One: 2", "X_One: 3", "Cookie: a=b", body=b"x=1")
        message = next_request(it)
        _, port = client.socket.getsockname()
        assert message == {
            "reply_channel": message["reply_channel"],
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/päge/",
            "query_string": b"a=%20b",
            "root_path": "",
            "headers": [
                [b"host", b"127.0.0.1"],
                [b"x-one", b"1"],
                [b"x-one", b"2"],
                [b"cookie", b"a=b"],
                [b"content-length", b"3"],
            ],
            "body": b"x=1",
            "body_channel": None,
            "client": ["127.0.0.1", port],
            "server": ["127.0.0.1", it.port],
        }
        it.worker.reply(message, status=201, headers=[[b"X-Two", b"2"], [b"Connection", b"close"]], content=b"made")
        status, headers, body = client.response()
        assert (status, headers["x-two"], headers["content-length"], body) == (201, "2", "4", b"made")
        # the connection goes on, whatever a consumer says of it
        client.request("GET")
        it.worker.reply(next_request(it), status=200, content=b"again")
        assert client.response()[2] == b"again"
    assert it.dropped == {}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("streamed", [False, True])
def test_both_versions_find_the_end_of_a_response(start: Start, version: str, streamed: bool) -> None:
    it = start()
    with Wire(it.port) as client:
        client.request(version=version)
        message = next_request(it)
        assert message["http_version"] == version
        it.worker.reply(message, status=200, content=b"a", more_content=streamed)
        if streamed:
            it.worker.reply(message, content=b"b" * 100_000, more_content=True)
            it.worker.reply(message)
        _, headers, body = client.response()
        assert body == (b"a" + b"b" * 100_000 if streamed else b"a")
        assert "transfer-encoding" not in headers or version == "1.1"
        if version == "1.0":
            assert client.is_closed()


def test_the_answer_to_a_head_leaves_the_connection_in_order(start: Start) -> None:
    it = start()
    with Wire(it.port) as client:
        for more in (False, True):
            client.request("HEAD")
            message = next_request(it)
            headers = [[b"Content-Length", b"5"]]
            it.worker.reply(message, status=200, headers=headers, content=b"hello", more_content=more)
            status, got, body = client.response("HEAD")
            assert (status, got["content-length"], body) == (200, "5", b"")
            if more:
                assert it.layer.pieces.take_credits(reply_address(message["reply_channel"]), 5) == GONE
        for status in (204, 304):
            client.request()
            it.worker.reply(next_request(it), status=status, headers=[[b"Content-Length", b"3"]], content=b"odd")
            assert client.response()[::2] == (status, b"")
        client.request()
        it.worker.reply(next_request(it), status=200, content=b"hello")
        assert client.response()[2] == b"hello"


def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    """Given two requests in one write: expect that the second is published once the first is answered."""
    it = start()
    with Wire(it.port) as client:
        one = b"GET /%d/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        client.send(one % 1 + one % 2)
        first = next_request(it)
        assert first["path"] == "/1/"
        assert it.worker.waiting("http.request") == []
        it.worker.reply(first, status=200, content=b"one")
        second = next_request(it)
        it.worker.reply(second, status=200, content=b"two")
        assert [client.response()[2], client.response()[2]] == [b"one", b"two"]


# bodies


def test_a_client_that_asks_is_told_to_continue(start: Start) -> None:
    """Expect: 100-continue, before the body is read, and only if it will be."""
    it = start(body_size=1000)
    with Wire(it.port) as client:
        client.request("POST", "/page/", "Expect: 100-continue", "Content-Length: 5")
        assert client.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert client.file.readline() == b"\r\n"
        client.send(b"hello")
        message = next_request(it)
        assert message["body"] == b"hello"
        it.worker.reply(message, status=200)
        assert client.response()[0] == 200
        client.request("POST", "/page/", "Expect: 100-continue", "Content-Length: 1001")
        # the phrase is that of the Python that runs it
        assert client.file.readline().startswith(b"HTTP/1.1 413 ")
        assert client.is_closed()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body(start: Start, chunked: bool) -> None:
    """Items 90, 91: 3 MB, with a length or in chunks."""
    it = start()
    body = bytes(range(256)) * 12_000
    with Wire(it.port) as client:
        if chunked:
            client.request("POST", "/page/", "Transfer-Encoding: chunked")
            for at in range(0, len(body), 50_000):
                client.send(b"%x\r\n%b\r\n" % (len(body[at : at + 50_000]), body[at : at + 50_000]))
            assert it.worker.waiting("http.request") == []
            client.send(b"0\r\n\r\n")
        else:
            client.request("POST", "/page/", body=body)
        message = next_request(it)
        assert (message["body"], message["body_channel"]) == (b"", message["body_channel"])
        assert take_body(it, message) == body
        it.worker.reply(message, status=200, content=b"thanks")
        assert client.response()[2] == b"thanks"
    assert it.dropped == {}


def test_a_slow_upload_holds_no_worker_and_ends(start: Start) -> None:
    """Expect no message before the body is complete, and 408 once it stops for CONFIG['body_timeout']."""
    it = start(body_timeout=0.5, body_rate=1)
    with Wire(it.port) as client:
        client.request("POST", "/page/", "Content-Length: 100")
        for _ in range(4):
            client.send(b"a")
            time.sleep(0.2)
        assert client.response()[0] == 408
        assert client.is_closed()
    assert it.worker.waiting("http.request") == []
    assert it.dropped == {"body_timeout": 1}


def test_a_body_that_is_too_large(start: Start) -> None:
    it = start(body_size=100 * KIB)
    with Wire(it.port) as client:
        client.request("POST", "/page/", "Transfer-Encoding: chunked")
        client.send(b"19001\r\n" + b"a" * 0x19001 + b"\r\n")
        assert client.response()[0] == 413
    assert it.worker.waiting("http.request") == []


# requests that cannot be understood


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%e4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded: a\r\n\r\n",
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_400(start: Start, data: bytes) -> None:
    """Item 111; RFC 9112, section 11.2."""
    it = start()
    with Wire(it.port) as client:
        client.send(data)
        assert client.response()[0] == 400
        assert client.is_closed()
    assert it.worker.waiting("http.request") == []


def test_trailers_are_no_headers(start: Start) -> None:
    """RFC 9110, section 6.5.1: given a proxy that sets a header but passes trailers on."""
    it = start()
    with Wire(it.port) as client:
        client.request("POST", "/page/", "Transfer-Encoding: chunked", "X-User: ann")
        client.send(b"1\r\na\r\n0\r\nX-User: eve\r\nCookie: sessionid=1\r\n\r\n")
        message = next_request(it)
        it.worker.reply(message, status=200)
        assert client.response()[0] == 200
    assert [header for header in message["headers"] if header[0] in (b"x-user", b"cookie")] == [[b"x-user", b"ann"]]


def test_a_length_with_many_zeros_is_a_length(start: Start) -> None:
    """Given more digits than Python makes a number of. Expect no error in this process."""
    it = start()
    with Wire(it.port) as client:
        client.request("POST", "/page/", f"Content-Length: {'0' * 5000}1")
        client.send(b"a")
        message = next_request(it)
        it.worker.reply(message, status=200)
        assert client.response()[0] == 200
    assert message["body"] == b"a"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("POST / HTTP/1.1", "Content-Length: 1"), 400),
        (("GET / HTTP/1.1", "Content-Length: 1"), 400),
        (("GET / HTTP/1.1", "Transfer-Encoding: chunked"), 400),
        (("GET / HTTP/1.1", "Sec-WebSocket-Version: 12"), 400),
        (("GET / HTTP/1.1", *(f"X-{number}: a" for number in range(200))), 431),
    ],
    ids=["method", "body", "chunks", "versions", "many"],
)
def test_a_handshake_that_cannot_be_understood_does_not_keep_its_connection(
    start: Start, lines: tuple[str], status: int
) -> None:
    it = start()
    with Wire(it.port) as client:
        first, *others = lines
        upgrade = ("Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        client.send("\r\n".join([first, *upgrade, "Sec-WebSocket-Key: " + KEY, *others, "", "a"]).encode())
        assert client.response()[0] == status
        assert client.is_closed()
    wait_until(lambda: it.sockets == 0, what="the connection to end")


def test_given_a_handshake_behind_an_unanswered_request_expect_it_refused(start: Start) -> None:
    """Expect no answer of a request among the frames of a socket, and the request told that nobody waits."""
    it = start()
    with Wire(it.port) as client:
        client.request()
        message = next_request(it)
        upgrade = ("Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        client.send("\r\n".join(["GET / HTTP/1.1", *upgrade, "Sec-WebSocket-Key: " + KEY, "", ""]).encode())
        assert client.response()[0] == 400
        assert client.is_closed()
        assert it.worker.next("http.disconnect")["reply_channel"] == message["reply_channel"]
    wait_until(lambda: it.sockets == 0, what="the connection to end")


# responses


def test_a_response_goes_out_piece_by_piece(start: Start) -> None:
    """Item 107."""
    it = start()
    with Wire(it.port) as client:
        client.request()
        message = next_request(it)
        it.worker.reply(message, status=200, content=b"one", more_content=True)
        response = client.begin()
        assert response.read(3) == b"one"
        it.worker.reply(message, content=b"two", more_content=True)
        assert response.read(3) == b"two"
        it.worker.reply(message)
        assert response.read() == b""


def test_a_slow_client_gets_all_of_a_long_response_and_a_worker_is_free_before(start: Start) -> None:
    """Given 8 MB and a client that does not read yet: expect that the interface takes all of it."""
    it = start()
    with Wire(it.port, receive_buffer=50_000) as client:
        client.request()
        message = next_request(it)
        address = reply_address(message["reply_channel"])
        it.worker.reply(message, status=200, headers=[[b"Content-Length", str(8 * MIB).encode()]], more_content=True)
        credits = 7
        for number in range(32):
            while not credits:
                credits += it.layer.pieces.take_credits(address, 5)
            it.worker.reply(message, content=bytes([number]) * 256 * KIB, more_content=number < 31)
            credits -= 1
        assert client.response()[2] == b"".join(bytes([number]) * 256 * KIB for number in range(32))
    assert it.dropped == {}


def test_a_client_that_reads_slowly_but_steadily_is_served(start: Start) -> None:
    """Given CONFIG['send_timeout'] of 0.5 s and a client that takes 1 MB a second: expect all of 6 MB."""
    it = start(send_timeout=0.5)
    with Wire(it.port) as client:
        client.request()
        message = next_request(it)
        for number in range(6):
            more = {"content": b"a" * MIB, "more_content": number < 5}
            it.worker.reply(message, **more, **{} if number else {"status": 200})
        response, got, begun = client.begin(), 0, time.monotonic()
        while data := response.read(20_000):
            got += len(data)
            time.sleep(max(0.0, begun + got / 1_000_000 - time.monotonic()))
        assert got == 6 * MIB
    assert it.dropped == {}


def test_a_client_that_does_not_read_is_cut_off(start: Start) -> None:
    it = start(send_timeout=0.5)
    with Wire(it.port, receive_buffer=20_000) as client:
        client.request()
        message = next_request(it)
        for number in range(8):
            it.worker.reply(message, **{} if number else {"status": 200}, content=b"a" * MIB, more_content=True)
        wait_until(lambda: it.dropped.get("send_timeout"), timeout=10, what="the client to be cut off")
        assert it.layer.pieces.take_credits(reply_address(message["reply_channel"]), 5) in (GONE, 4, 8)
        wait_until(lambda: not it.sockets, what="the connection to end")
        assert it.worker.next("http.disconnect") == {"reply_channel": message["reply_channel"], "path": "/page/"}


def test_a_response_that_contradicts_its_length_ends_the_connection(start: Start) -> None:
    it = start()
    for content in (b"longer", b"sh"):
        with Wire(it.port) as client:
            client.request()
            message = next_request(it)
            it.worker.reply(message, status=200, headers=[[b"Content-Length", b"4"]], content=b"a", more_content=True)
            response = client.begin()
            it.worker.reply(message, content=content)
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                response.read()
    assert it.dropped["bad_response"] == 2


def test_a_header_cannot_bring_another_with_it(start: Start) -> None:
    it = start()
    with Wire(it.port) as client:
        client.request()
        it.worker.reply(next_request(it), status=200, headers=[[b"X-A", b"a\r\nSet-Cookie: b"]])
        status, headers, _ = client.response()
        assert (status, "set-cookie" in headers) == (500, False)


def test_without_an_answer_it_is_503(start: Start) -> None:
    """Item 110; what comes too late is ignored (item 63)."""
    it = start(http_timeout=0.5)
    with Wire(it.port) as client:
        client.request()
        message = next_request(it)
        began = time.monotonic()
        status, headers, _ = client.response()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "2", "close")
        assert time.monotonic() - began > 0.3
        assert client.is_closed()
        it.worker.reply(message, status=200)
        assert it.worker.next("http.disconnect")["reply_channel"] == message["reply_channel"]
        wait_until(lambda: it.dropped.get("socket_gone"), what="the late answer to be dropped")


def test_a_full_channel_is_503(start: Start) -> None:
    """Item 60."""
    it = start(channel_capacity={"http.request": 1})
    with ExitStack() as stack:
        statuses = []
        for _ in range(12):
            client = stack.enter_context(Wire(it.port))
            client.request()
            client.socket.settimeout(0.2)
            try:
                statuses.append(client.response()[0])
                break
            except TimeoutError:
                continue
        assert statuses == [503]


# clients that leave


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("began", [False, True])
def test_a_client_that_leaves_is_noticed_at_once(start: Start, how: str, began: bool) -> None:
    """Item 94: also one that only says that it sends no more, as uvicorn takes it for gone."""
    it = start()
    with Wire(it.port) as client:
        client.request()
        message = next_request(it)
        if began:
            it.worker.reply(message, status=200, content=b"a", more_content=True)
            assert client.begin().read(1) == b"a"
        left = time.monotonic()
        if how == "half":
            client.socket.shutdown(socket.SHUT_WR)
        else:
            client.reset() if how == "reset" else client.close()
        assert it.layer.pieces.take_credits(reply_address(message["reply_channel"]), 5) == GONE
        assert it.worker.next("http.disconnect") == {"reply_channel": message["reply_channel"], "path": "/page/"}
        assert time.monotonic() - left < 3, "at once, and patience with a busy machine"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_with_requests_waiting_is_noticed(
    start: Start, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a pipelined request, which keeps the server from reading: expect it to be noticed by what is sent."""
    it = start()
    with Wire(it.port) as client:
        client.send(b"GET /1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 2)
        message = next_request(it)
        it.worker.reply(message, status=200, content=b"a", more_content=True)
        assert client.begin().read(1) == b"a"
        client.reset() if how == "reset" else client.close()
        for _ in range(5):
            time.sleep(0.1)
            it.worker.reply(message, content=b"a", more_content=True)
        assert it.worker.next("http.disconnect", timeout=2)["reply_channel"] == message["reply_channel"]
    assert not [record for record in caplog.records if record.name == "uvicorn.error"]
    assert it.worker.waiting("http.request") == []


def test_a_worker_that_reads_the_body_of_a_client_that_left_is_told(start: Start) -> None:
    """Item 91."""
    it = start()
    with Wire(it.port) as client:
        client.request("POST", "/page/", body=b"a" * 600 * KIB)
        message = next_request(it)
        client.close()
        packed = it.layer.pieces.take_body(reply_address(message["reply_channel"]), 5)
        assert packed is not None
        assert decode_content(packed) == {"closed": True}


def test_a_client_that_leaves_within_its_body_is_nobody_s_business(start: Start) -> None:
    it = start()
    with Wire(it.port) as client:
        client.request("POST", "/page/", "Content-Length: 100")
        client.send(b"a")
    wait_until(lambda: not it.sockets, what="the connection to end")
    assert it.worker.waiting("http.request") == it.worker.waiting("http.disconnect") == []


def test_after_a_response_nobody_is_told_of_the_end(start: Start) -> None:
    it = start()
    with Wire(it.port) as client:
        client.request()
        it.worker.reply(next_request(it), status=200)
        client.response()
    wait_until(lambda: not it.sockets, what="the connection to end")
    assert it.worker.waiting("http.disconnect") == []


# long polls


def test_a_group_send_answers_those_who_wait(start: Start) -> None:
    """Item 97: beside sockets, which the same send does not touch."""
    it = start()
    with it.accepted() as (socket_client, connect), ExitStack() as stack:
        it.layer.group_add("news", connect["reply_channel"])
        clients = [stack.enter_context(Wire(it.port)) for _ in range(3)]
        for client in clients:
            client.request()
            it.layer.group_add("news", next_request(it)["reply_channel"])
        it.layer.send_group("news", {"status": 200, "content": b"news"})
        assert [client.response()[2] for client in clients] == [b"news"] * 3
        wait_until(lambda: len(it.layer.group_channels("news")) == 1, what="the requests to leave the group")
        it.layer.send_group("news", {"text": "for sockets"})
        assert socket_client.recv(timeout=5) == "for sockets"


# ends


def test_requests_under_way_get_the_grace_and_then_503(start: Start) -> None:
    it = start()
    with Wire(it.port) as one, Wire(it.port) as other, Wire(it.port) as third:
        one.request()
        first = next_request(it)
        other.request()
        second = next_request(it)
        third.request()
        it.worker.reply(next_request(it), status=200, content=b"a", more_content=True)
        assert third.begin().read(1) == b"a"
        it.server.should_exit = True
        time.sleep(0.5)
        it.worker.reply(first, status=200, content=b"in time")
        assert one.response()[2] == b"in time"
        assert other.response()[0] == 503
        assert third.is_closed()
        it.stop()
    ended = [it.worker.next("http.disconnect")["reply_channel"] for _ in range(2)]
    assert second["reply_channel"] in ended


# inline


def live(message: Any) -> None:
    """A consumer that the stand-in plays."""


def test_inline_only_the_project_s_own_routes_go_to_workers(start: Start, settings: Any) -> None:
    """Given CONFIG["http"] of "inline": expect views in the interface process for all else."""
    settings.ROOT_URLCONF, settings.MIDDLEWARE = __name__, []
    routing = [route("http.request", live, path=r"^/live/", method="GET")]
    it = start(http="inline", routing=routing)
    with Wire(it.port) as client:
        client.request("GET", "/page/")
        assert client.response()[2] == b"a page"
        client.request("GET", "/live/1/")
        message = next_request(it)
        assert message["path"] == "/live/1/"
        it.worker.reply(message, status=200, content=b"live")
        assert client.response()[2] == b"live"
        client.request("POST", "/live/1/")
        assert client.response()[0] == 404
    assert it.worker.waiting("http.request") == []


urlpatterns = [path("page/", lambda request: HttpResponse("a page"))]
