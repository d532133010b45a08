"""What clients see of requests that are late, wrong or alike: real interface, real worker, both brokers."""

import ast
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

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

    def ask(self, line: bytes, *headers: bytes, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request as it is written, and return the status and the body of its answer."""
        lines = [line + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *headers, b"", b""]
        received = b""
        with socket.create_connection((LOOPBACK, self.port), timeout=20) as client:
            client.sendall(b"\r\n".join(lines) + body)
            while part := client.recv(65_536):
                received += part
        head, _, content = received.partition(b"\r\n\r\n")
        return int(head.split()[1]), content

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests that the consumer wrote down."""
        noted = map(ast.literal_eval, self.setup.lines())
        return [content for kind, content in noted if kind == "request"]


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
