"""What uvicorn's HTTP protocol is given beside: limits on bytes that are no body, however they are cut into reads."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from channelcelery.interface.faults import Faults
from channelcelery.interface.limits import Gate
from channelcelery.interface.protocol import LimitedHttpProtocol
from tests.unit.interface.fakes import make_config

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
BODY = b"a" * (3 * 64 * 1024)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def received(*reads: bytes) -> tuple[bytes, bool, list[bytes]]:
    """Let a protocol read; return what it wrote, whether it closed, and the paths that the application got."""
    paths = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["raw_path"])
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(application, lifespan="off", log_config=None)
    config.load()
    protocol = LimitedHttpProtocol(
        config, ServerState(), {}, asyncio.get_running_loop(), gate=Gate(make_config(), Faults())
    )
    transport = Transport()
    protocol.connection_made(transport)
    for data in reads:
        if not transport.closed:
            protocol.data_received(data)
        for _ in range(5):
            await asyncio.sleep(0)
    closed = transport.closed
    protocol.connection_lost(None)
    return transport.written, closed, paths


def test_given_a_large_body_and_the_begin_of_the_next_request_in_one_read_expect_both() -> None:
    first = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    written, closed, paths = asyncio.run(received(first + b"GET /next HTTP/1.1\r\nHo", b"st: a\r\n\r\n"))
    assert (written.count(b"HTTP/1.1 204"), closed, paths) == (2, False, [b"/", b"/next"])


def test_given_a_head_without_an_end_expect_431() -> None:
    written, closed, paths = asyncio.run(received(POST, b"X: ", *[b"a" * 1024] * 70))
    assert (written[:12], closed, paths) == (b"HTTP/1.1 431", True, [])


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"1;a="], ids=["trailer", "extension"])
def test_given_bytes_of_a_body_that_are_no_content_and_have_no_end_expect_the_connection_to_end(begun: bytes) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    _, closed, _ = asyncio.run(received(chunked, begun, *[b"a" * 1024] * 60))
    assert not closed
    _, closed, _ = asyncio.run(received(chunked, begun, *[b"a" * 1024] * 70))
    assert closed


def test_given_a_body_in_any_pieces_expect_no_limit_here() -> None:
    written, closed, _ = asyncio.run(received(POST + b"Content-Length: %d\r\n\r\n" % len(BODY), *[b"a" * 1024] * 192))
    assert (written[:12], closed) == (b"HTTP/1.1 204", False)


def test_given_a_handshake_while_its_client_takes_no_answers_expect_nothing_to_wait_for_it() -> None:
    """An orderly end would wait for the client to read, for as long as it likes."""

    async def main() -> None:
        config = uvicorn.Config(lambda *_: None, lifespan="off", log_config=None)
        config.load()
        gate = Gate(make_config(), Faults())
        protocol = LimitedHttpProtocol(config, ServerState(), {}, asyncio.get_running_loop(), gate=gate)
        transport = Transport()
        protocol.connection_made(transport)
        protocol.pause_writing()
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert transport.aborted
        assert gate.faults.dropped == {"request_invalid": 1}
        protocol.connection_lost(None)

    asyncio.run(main())
