"""What a reply does to an HTTP response (Channels 1.x, items 92 and 106)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.http import Fault, Head, Progress, SendBody, State, Step, decide

WAITING = Progress()
STARTED = Progress(State.STARTED)
DONE = Progress(State.DONE)


def head(status: int = 200, *headers: tuple[bytes, bytes], has_length: bool = False) -> Head:
    return Head(status, headers, has_length)


@pytest.mark.parametrize(
    ("progress", "reply", "step"),
    [
        # item 92: all in one, with what may be left out
        (WAITING, {"status": 200}, Step(DONE, head())),
        (WAITING, {"status": 404, "headers": None, "content": None}, Step(DONE, head(404))),
        (WAITING, {"status": 200, "content": b"a", "more_content": False}, Step(DONE, head(), b"a")),
        (
            WAITING,
            {"status": 200, "headers": [[b"X-A", b"1"], (b"x-a", b"2")], "content": b"a"},
            Step(DONE, head(200, (b"X-A", b"1"), (b"x-a", b"2")), b"a"),
        ),
        # headers as text, which servers of Channels 1.x took too
        (
            WAITING,
            {"status": 200, "headers": [("X-A", "\xe9"), ["b", b"c"]]},
            Step(DONE, head(200, (b"X-A", b"\xe9"), (b"b", b"c"))),
        ),
        # piece by piece
        (WAITING, {"status": 200, "more_content": True}, Step(STARTED, head())),
        (STARTED, {"content": b"a", "more_content": True}, Step(STARTED, None, b"a")),
        (STARTED, {"content": b"b"}, Step(DONE, None, b"b")),
        (STARTED, {}, Step(DONE)),
        # what follows is ignored, whatever it is
        (DONE, {"content": b"a"}, Step(DONE)),
        (DONE, {"status": 200}, Step(DONE)),
        (DONE, {"text": 5}, Step(DONE)),
        # a Content-Length that is right
        (
            WAITING,
            {"status": 200, "headers": [(b"content-length", b"3")], "content": b"a", "more_content": True},
            Step(Progress(State.STARTED, left=2), head(200, (b"content-length", b"3"), has_length=True), b"a"),
        ),
        (Progress(State.STARTED, left=2), {"content": b"bc"}, Step(Progress(State.DONE, left=0), None, b"bc")),
        # what is for one connection only
        (
            WAITING,
            {"status": 200, "headers": [(b"Connection", b"close"), (b"Transfer-Encoding", b"chunked"), (b"A", b"b")]},
            Step(DONE, head(200, (b"A", b"b"))),
        ),
    ],
)
def test_a_reply(progress: Progress, reply: dict[str, Any], step: Step) -> None:
    assert decide(progress, reply) == step


@pytest.mark.parametrize(
    ("progress", "status"),
    [(Progress(bodiless=True), 200), (WAITING, 204), (WAITING, 304), (Progress(bodiless=True), 304)],
)
@pytest.mark.parametrize("more", [False, True])
def test_a_response_without_a_body_is_done_at_once(progress: Progress, status: int, more: bool) -> None:
    """Given a HEAD, or a status that has no body: its content goes nowhere."""
    headers = [(b"content-length", b"10"), (b"a", b"b")]
    decided = decide(progress, {"status": status, "headers": headers, "content": b"0123", "more_content": more})
    assert isinstance(decided, Step)
    assert (decided.progress.state, decided.progress.bodiless, decided.content) == (State.DONE, True, b"")
    assert decided.head is not None
    # the length is that of what a GET would bring; a 304 and a 204 leave it out
    assert decided.head.has_length is (status == 200)


def test_a_worker_asks_for_the_body() -> None:
    """Item 91: before the response, or after it began; not after its end."""
    assert decide(WAITING, {"send_body": True}) == SendBody()
    assert decide(STARTED, {"send_body": True}) == SendBody()
    assert decide(DONE, {"send_body": True}) == Step(DONE)


@pytest.mark.parametrize(
    ("progress", "reply", "part", "ends"),
    [
        # item 92: a first one without status, a second one with it
        (WAITING, {"content": b"a"}, "'status'", False),
        (WAITING, {}, "'status'", False),
        (STARTED, {"status": 200, "content": b"a"}, "'status'", False),
        # what is meant for a socket, or for HTTP/2 push (item 93)
        (WAITING, {"text": "secret"}, "'text'", False),
        (STARTED, {"text": "secret"}, "'text'", False),
        (WAITING, {"request": {}}, "'request'", False),
        (WAITING, {"send_body": 1}, "'send_body'", False),
        # types and values
        (WAITING, {"status": "200"}, "str", True),
        (WAITING, {"status": True}, "bool", True),
        (WAITING, {"status": 101}, "200 to 599", True),
        (WAITING, {"status": 600}, "200 to 599", True),
        (WAITING, {"status": 200, "headers": {b"a": b"b"}}, "dict", True),
        (WAITING, {"status": 200, "headers": [b"ab"]}, "pairs", True),
        (WAITING, {"status": 200, "headers": [(b"a",)]}, "pairs", True),
        (WAITING, {"status": 200, "headers": [(5, b"b")]}, "pairs of bytes", True),
        (WAITING, {"status": 200, "headers": [(b"a", None)]}, "pairs of bytes", True),
        (WAITING, {"status": 200, "headers": [("a", "secret \u20ac")]}, "Latin-1", True),
        (WAITING, {"status": 200, "headers": [("a\r\nb", "c")]}, "header name", True),
        (WAITING, {"status": 200, "headers": [("a", "secret\r\nset-cookie: x")]}, "line break", True),
        (WAITING, {"status": 200, "headers": [(b"", b"b")]}, "header name", True),
        (WAITING, {"status": 200, "headers": [(b"a b", b"c")]}, "header name", True),
        (WAITING, {"status": 200, "headers": [(b"a:", b"c")]}, "header name", True),
        (WAITING, {"status": 200, "headers": [(b"a\r\nb", b"c")]}, "header name", True),
        (WAITING, {"status": 200, "headers": [(b"a", b"secret\r\nset-cookie: x")]}, "line break", True),
        (WAITING, {"status": 200, "headers": [(b"a", b"\x00")]}, "control character", True),
        (WAITING, {"status": 200, "headers": [(b"content-length", b"1x")]}, "Content-Length", True),
        (WAITING, {"status": 200, "headers": [(b"content-length", b"-1")]}, "Content-Length", True),
        (WAITING, {"status": 200, "headers": [(b"content-length", b"0"), (b"Content-Length", b"0")]}, "several", True),
        (WAITING, {"status": 200, "content": "a"}, "str", True),
        (STARTED, {"content": 5}, "int", True),
        (STARTED, {"more_content": 1}, "int", True),
        # a Content-Length that is wrong
        (Progress(State.STARTED, left=1), {"content": b"ab", "more_content": True}, "longer", True),
        (Progress(State.STARTED, left=3), {"content": b"ab"}, "shorter", True),
        (WAITING, {"status": 200, "headers": [(b"content-length", b"1")]}, "shorter", True),
        (WAITING, {"status": 200, "headers": [(b"content-length", b"1")], "content": b"ab"}, "longer", True),
    ],
)
def test_a_wrong_reply(progress: Progress, reply: dict[str, Any], part: str, ends: bool) -> None:
    decided = decide(progress, reply)
    assert isinstance(decided, Fault)
    assert part in decided.reason
    assert "secret" not in decided.reason
    assert decided.ends is ends


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
keys = st.sampled_from(["status", "headers", "content", "more_content", "send_body", "text"])


@given(
    st.sampled_from([WAITING, STARTED, DONE, Progress(bodiless=True), Progress(State.STARTED, left=3)]),
    st.dictionaries(keys | st.text(max_size=3), anything),
)
def test_it_is_total(progress: Progress, reply: dict[str, Any]) -> None:
    assert isinstance(decide(progress, reply), Step | SendBody | Fault)


@given(st.lists(st.binary(max_size=10), min_size=1), st.booleans())
def test_any_pieces_make_up_the_body(pieces: list[bytes], with_length: bool) -> None:
    body = b"".join(pieces)
    headers = [(b"content-length", str(len(body)).encode())] if with_length else []
    progress, got = WAITING, b""
    for number, piece in enumerate(pieces, 1):
        reply: dict[str, Any] = {"content": piece, "more_content": number < len(pieces)}
        step = decide(progress, reply if number > 1 else {"status": 200, "headers": headers, **reply})
        assert isinstance(step, Step)
        progress, got = step.progress, got + step.content
    assert (progress.state, got) == (State.DONE, body)


@pytest.mark.parametrize("progress", [Progress(), Progress(State.STARTED)])
def test_a_worker_that_gives_up_ends_the_response(progress: Progress) -> None:
    found = decide(progress, {"closed": True})
    assert isinstance(found, Fault)
    assert found.ends
