"""What clients see of requests that are late, wrong or alike: real interface, real worker, both brokers."""

import ast
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until
from tests.servers import redis_server

CONFIG = {"body_timeout": 1, "heartbeat": 0.1}


@dataclass
class Running:
    """Interface and worker of the project that writes requests down."""

    setup: WorkerSetup
    port: int

    def begin(self, line: bytes, *headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> socket.socket:
        """Send a request as it is written, without waiting for its answer."""
        lines = [line + b" HTTP/" + version, b"Host: 127.0.0.1", b"Connection: close", *headers, b"", b""]
        client = socket.create_connection((LOOPBACK, self.port), timeout=20)
        client.sendall(b"\r\n".join(lines) + body)
        return client

    def ask(self, line: bytes, *headers: bytes, body: bytes = b"", version: bytes = b"1.1") -> tuple[int, bytes]:
        """Send a request as it is written, and return the status and the body of its answer."""
        received = b""
        with self.begin(line, *headers, body=body, version=version) as client:
            while part := client.recv(65_536):
                received += part
        head, _, content = received.partition(b"\r\n\r\n")
        return int(head.split()[1]), content

    def notes(self, kind: str) -> list[Any]:
        """Return what consumers wrote down of one kind."""
        return [content for noted, content in map(ast.literal_eval, self.setup.lines()) if noted == kind]

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that the consumer wrote down."""
        return self.notes("request")


@pytest.fixture(scope="module", params=["redis", "amqp"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Interface and worker on either broker, once for all tests."""
    rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
    with redis_server() as server, ExitStack() as stack:
        broker = rabbit.new_vhost() if rabbit else server.database(1)
        setup = WorkerSetup(broker, server.url, tmp_path_factory.mktemp("wire"), json.dumps(CONFIG))
        setup.environment["DJANGO_SETTINGS_MODULE"] = "tests.project_1x.settings_wire"
        port = free_port()
        command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
        interface = stack.enter_context(Process(command, env=setup.env(), cwd=ROOT, name="interface"))
        stack.enter_context(setup.worker("prefork", 2))
        interface.wait_for_output("are taken", timeout=40)
        wait_until(lambda: is_listening(port), what="the interface to listen")
        yield Running(setup, port)


def test_each_request_has_a_reply_channel_of_its_own(running: Running) -> None:
    """Items 95 and 96: which only one process reads, as the '!' says."""
    assert [running.ask(b"GET /request/") for _ in range(5)] == [(200, b"by hand")] * 5
    names = {message["reply_channel"] for message in running.requests()}
    assert len(names) == 5
    assert all(name.startswith("http.response!") for name in names)


def test_what_a_consumer_is_told(running: Running) -> None:
    """Item 90: every key, and bytes as they came."""
    lines = b"X-One: 1", b"X-Two: caf\xe9", b"X-One: 2", b"Content-Length: 3"
    assert running.ask(b"POST /request/caf%C3%A9/?a=%20b", *lines, body=b"\xff\x00a")[0] == 200
    (message,) = [each for each in running.requests() if each["path"] == "/request/caf\xe9/"]
    host, port = message.pop("client")
    assert (host, type(port)) == (LOOPBACK, int)
    assert message.pop("reply_channel")
    assert message == {
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/request/caf\xe9/",
        "query_string": b"a=%20b",
        "root_path": "",
        "headers": [
            [b"host", b"127.0.0.1"],
            [b"connection", b"close"],
            [b"x-one", b"1"],
            [b"x-two", b"caf\xe9"],
            [b"x-one", b"2"],
            [b"content-length", b"3"],
        ],
        "body": b"\xff\x00a",
        "body_channel": None,
        "server": [LOOPBACK, running.port],
    }


@pytest.mark.parametrize(
    ("replies", "answer"),
    [
        ([{"status": 404, "content": "a", "more_content": True}, {"content": "b"}], (404, b"ab")),
        ([{"status": 200, "headers": []}], (200, b"")),
        # what follows the end is ignored
        ([{"status": 200, "content": "a"}, {"content": "late"}, {"status": 500, "content": "late"}], (200, b"a")),
        # a first one without a status, and a second one with it, are errors
        ([{"content": "lost"}, {"status": 200, "content": "a"}], (200, b"a")),
        (
            [{"status": 200, "content": "a", "more_content": True}, {"status": 500, "content": "lost"}, {}],
            (200, b"a"),
        ),
    ],
)
def test_replies(running: Running, replies: list[dict[str, Any]], answer: tuple[int, bytes]) -> None:
    """Item 92."""
    query = quote(json.dumps(replies)).encode()
    assert running.ask(b"GET /request/?replies=" + query, version=b"1.0") == answer


def test_a_client_that_leaves(running: Running) -> None:
    """Item 94: who waits for it is told, and only then."""
    assert running.ask(b"GET /request/answered/")[0] == 200
    with running.begin(b"GET /request/silent/?replies=[]"):
        wait_until(lambda: _of(running, "/request/silent/"), what="the request")
    (message,) = _of(running, "/request/silent/")
    left = wait_until(lambda: running.notes("left"), what="the disconnect")
    assert left == [{"reply_channel": message["reply_channel"], "path": "/request/silent/"}]


def _of(running: Running, path: str) -> list[dict[str, Any]]:
    return [message for message in running.requests() if message["path"] == path]


def test_a_client_that_leaves_before_its_body_is_read(running: Running) -> None:
    """Item 91: whoever reads it gives the request up."""
    body = b"a" * 600_000
    with running.begin(b"POST /request/late-body/", b"Content-Length: 600000", body=body):
        wait_until(lambda: running.notes("late") == ["begins"], what="the consumer")
    wait_until(lambda: running.notes("late") == ["begins", "aborted"], what="the consumer to give up")
    assert running.ask(b"GET /request/")[0] == 200


def test_what_a_view_sees(running: Running) -> None:
    """Items 99 to 101."""
    lines = (
        b"Accept: a",
        b"Accept: b",
        b"Cookie: c=1",
        b"Cookie: d=2",
        b"Content-Type: text/plain",
        b"Content-Length: 1",
    )
    meta = json.loads(running.ask(b"PUT /view/?a=%C3%A4", *lines, body=b"x")[1])["meta"]
    assert meta.pop("REMOTE_PORT") > 0
    assert meta == {
        "REQUEST_METHOD": "PUT",
        "QUERY_STRING": "a=%C3%A4",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/view/",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "REMOTE_ADDR": LOOPBACK,
        "REMOTE_HOST": LOOPBACK,
        "SERVER_NAME": LOOPBACK,
        "SERVER_PORT": str(running.port),
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_CONNECTION": "close",
        "HTTP_ACCEPT": "a,b",
        "HTTP_COOKIE": "c=1; d=2",
    }


def test_a_view_sees_its_message(running: Running) -> None:
    """Item 98: an AsgiRequest is a HttpRequest that knows message and reply channel."""
    status, body = running.ask(b"GET /view/")
    assert (status, json.loads(body)["said"]) == (200, [True, True, True, "http.request"])


def test_a_body_that_does_not_come_whole(running: Running) -> None:
    """Item 103: 408 after a while, and nothing runs for it."""
    assert running.ask(b"POST /request/late/", b"Content-Length: 10", body=b"half")[0] == 408
    assert [message for message in running.requests() if message["path"] == "/request/late/"] == []
    assert running.ask(b"GET /request/")[0] == 200


@pytest.mark.parametrize("line", [b"GET /view/\xff", b"GET /\xc3\xa4/", b"GET /view/?a=\xff", b"GET /view/?a=\xc3\xa4"])
def test_bytes_in_the_request_line_that_are_not_ascii(running: Running, line: bytes) -> None:
    """Items 104 and 111."""
    assert running.ask(line)[0] == 400


def test_headers_with_underscores(running: Running) -> None:
    """Item 111: nobody can pass them off as a proxy's."""
    status, body = running.ask(b"GET /view/", b"X_Forged: 1", b"X-True: 1")
    assert (status, json.loads(body)["headers"]) == (200, ["HTTP_X_TRUE"])
