"""Bodies of HTTP requests that are too large or too slow."""

import asyncio
from typing import Any

import pytest

from channelcelery.interface.bodies import BoundedBodies, Limits
from channelcelery.interface.faults import Faults
from tests.unit.interface.fakes import run


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def request(
    *pieces: dict[str, Any], headers: tuple[tuple[bytes, bytes], ...] = (), timeout: float = 30.0, eager: bool = False
) -> tuple[list[int], list[str], dict[str, int]]:
    """Send a body of at most 10 bytes; return the statuses sent, what the application got, and what was counted.

    Args:
        eager: whether the application answers before it reads.
    """
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for event in pieces:
        incoming.put_nowait(event)
    statuses, got, faults = [], [], Faults()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        answer = {"type": "http.response.start", "status": 200}
        if eager:
            await send(answer)
        while True:
            event = await receive()
            got.append(event["type"])
            if event["type"] == "http.disconnect":
                return
            if not event["more_body"]:
                break
        await send(answer)

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    await BoundedBodies(application, Limits(10, timeout, faults))(scope, incoming.get, send)
    return statuses, got, dict(faults.dropped)


PIECE, GONE = "http.request", "http.disconnect"


@pytest.mark.parametrize(
    ("pieces", "options", "expected"),
    [
        ([piece(b"12345"), piece(b"67890", False)], {}, ([200], [PIECE, PIECE], {})),
        ([piece(b"", False)], {"headers": ((b"content-length", b"10"),)}, ([200], [PIECE], {})),
        ([], {"headers": ((b"content-length", b"11"),)}, ([413], [], {"body_size": 1})),
        ([piece(b"12345"), piece(b"678901", False)], {}, ([413], [PIECE, GONE], {"body_size": 1})),
        ([piece(b"12345")], {"timeout": 0.01}, ([408], [PIECE, GONE], {"body_timeout": 1})),
        ([piece(b"12345")], {"timeout": 0.01, "eager": True}, ([200], [PIECE, GONE], {"body_timeout": 1})),
        ([piece(b"1"), {"type": GONE}], {}, ([], [PIECE, GONE], {})),
    ],
)
def test_a_body(pieces: list[Any], options: dict[str, Any], expected: Any) -> None:
    async def main() -> None:
        assert await request(*pieces, **options) == expected

    run(main)


def test_after_its_body_a_request_may_take_as_long_as_it_likes() -> None:
    async def main() -> None:
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait(piece(b"", False))

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            incoming.put_nowait({"type": GONE})
            assert (await waiting)["type"] == GONE

        bounded = BoundedBodies(application, Limits(10, 0.01, Faults()))
        await bounded({"type": "http", "path": "/", "headers": []}, incoming.get, None)  # type: ignore[arg-type]

    run(main)
