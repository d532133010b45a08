"""What the interface process answers to HTTP by itself."""

from typing import Any

import pytest

from channelcelery.interface.answers import answer
from tests.unit.interface.fakes import run


def answered(status: int, method: str = "GET") -> tuple[dict[bytes, bytes], bytes]:
    """Return headers and body of an answer."""
    events: list[Any] = []

    async def send(event: Any) -> None:
        events.append(event)

    async def main() -> None:
        await answer(status, {"type": "http", "method": method}, send)

    run(main)
    start, body = events
    assert (start["type"], start["status"]) == ("http.response.start", status)
    assert (body["type"], body.get("more_body", False)) == ("http.response.body", False)
    return dict(start["headers"]), body["body"]


@pytest.mark.parametrize(
    ("status", "says", "closes"),
    [
        (400, b"The request cannot be understood.\n", True),
        (404, b"This process serves WebSockets only (CONFIG['http'] is 'off').\n", False),
        (408, b"The body did not come in time.\n", True),
        (413, b"The body is too large.\n", True),
        (500, b"Internal Server Error\n", True),
        (503, b"There is no answer now; try again.\n", True),
    ],
)
def test_each_status_says_why_and_ends_the_connection_whose_body_may_be_unread(
    status: int, says: bytes, closes: bool
) -> None:
    headers, body = answered(status)
    assert body == says
    assert headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert headers[b"content-length"] == str(len(says)).encode()
    assert headers.get(b"connection") == (b"close" if closes else None)
    assert (b"retry-after" in headers) == (status == 503)


def test_a_head_gets_the_headers_alone() -> None:
    headers, body = answered(413, "HEAD")
    assert (headers[b"content-length"], body) == (b"23", b"")
