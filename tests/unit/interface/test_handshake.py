"""Which requests are handshakes; what is wrong with the others is said by `websockets`."""

import pytest
import uvicorn

from channelcelery.interface.handshake import Handshake, read_handshake
from tests.unit.interface.own_server import HEADERS

CONFIG = uvicorn.Config(None, ws_max_size=2**21)  # type: ignore[arg-type]


def read(method: str = "GET", target: bytes = b"/", **changes: bytes | None) -> Handshake | bytes | None:
    named = {name.replace("_", "-").encode(): value for name, value in changes.items()}
    headers = [(name, value) for name, value in [*HEADERS, *named.items()] if named.get(name, value) is value]
    return read_handshake(method, target, [(name, value) for name, value in headers if value is not None], CONFIG)


def test_given_all_that_is_needed_expect_a_handshake_and_its_path() -> None:
    """Given a path with escapes and a query, and an empty body as some devices announce it."""
    handshake = read(target=b"/a%20b?c=%20", content_length=b"0")
    assert isinstance(handshake, Handshake)
    scope = handshake.scope(HEADERS, scheme="ws", server=None, client=None)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=%20")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in handshake.acceptance(None)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"upgrade": b"h2c"}, b"426"),
        ({"connection": b"keep-alive"}, b"426"),
        ({"sec_websocket_key": None}, b"400"),
        ({"sec_websocket_key": b"c2hvcnQ="}, b"400"),
        ({"sec_websocket_version": b"8"}, b"400"),
        ({"sec_websocket_protocol": b"no, (token"}, b"400"),
    ],
)
def test_given_something_wrong_expect_its_answer(changes: dict[str, bytes | None], status: bytes) -> None:
    answer = read(**changes)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST"},
        {"target": b"/\xff"},
        {"content_length": b"5"},
        {"transfer_encoding": b"chunked"},
    ],
)
def test_given_no_request_for_a_socket_expect_none(request_: dict[str, bytes]) -> None:
    assert read(**request_) is None  # type: ignore[arg-type]
