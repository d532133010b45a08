"""Bodies of HTTP requests that are too large or too slow."""

import asyncio
from typing import Any

import pytest

from channelcelery.interface.bodies import Body, BoundedBodies, Limits
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
    await BoundedBodies(application, Limits(10, timeout, 500, faults))(scope, incoming.get, send)
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


@pytest.mark.parametrize(
    ("version", "headers", "bounded"),
    [
        ("1.1", [(b"host", b"a")], False),
        ("1.0", [], False),
        ("1.1", [(b"transfer-encoding", b"chunked")], True),
        ("1.1", [(b"content-length", b"1")], True),
        ("2", [(b"host", b"a")], True),
    ],
)
def test_only_a_request_that_may_have_a_body_is_looked_after(
    version: str, headers: list[tuple[bytes, bytes]], bounded: bool
) -> None:
    async def main() -> None:
        async def receive() -> dict[str, Any]:
            return piece(b"12345678901", False)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["type"] == (GONE if bounded else PIECE)

        async def send(event: Any) -> None:
            pass

        scope = {"type": "http", "http_version": version, "method": "GET", "path": "/", "headers": headers}
        await BoundedBodies(application, Limits(10, 1.0, 500, Faults()))(scope, receive, send)

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

        bounded = BoundedBodies(application, Limits(10, 0.01, 500, Faults()))
        await bounded({"type": "http", "path": "/", "headers": []}, incoming.get, None)  # type: ignore[arg-type]

    run(main)


@pytest.mark.parametrize(("rate", "fault"), [(1_000, "body_rate"), (10, None)])
def test_given_a_byte_now_and_then_expect_the_end_unless_that_is_fast_enough(rate: float, fault: str | None) -> None:
    """Given 0.2 s to be late, and a byte each 0.05 s / Expect the end after the fourth, or all of them."""

    async def main() -> None:
        came = 0

        async def receive() -> dict[str, Any]:
            nonlocal came
            await asyncio.sleep(0.05)
            came += 1
            return piece(b"a", came < 10)

        body = Body(receive, 10, 0.2, rate)
        while not body.complete and body.fault is None:
            await body.receive()
        assert body.fault == fault
        assert came < 6 if fault else came == 10

    run(main)


def test_given_an_application_that_does_not_read_expect_its_client_not_to_be_blamed() -> None:
    async def main() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            return piece(b"", True)

        body = Body(receive, 10, 0.1, 1)
        for _ in range(5):
            await body.receive()
            await asyncio.sleep(0.06)
        assert body.fault is None

    run(main)
