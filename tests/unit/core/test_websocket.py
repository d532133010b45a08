"""What a reply does to a socket (Channels 1.x, items 117 to 124)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.websocket import (
    Accept,
    Close,
    Refuse,
    SendBytes,
    SendText,
    State,
    above_limit,
    choose_subprotocol,
    decide,
)

NOTHING: tuple[Any, ...] = ()


@pytest.mark.parametrize(
    ("reply", "actions"),
    [
        # item 119: before acceptance
        ({"accept": True}, (Accept(),)),
        ({"accept": True, "text": "a"}, (Accept(), SendText("a"))),
        ({"accept": True, "bytes": b"a"}, (Accept(), SendBytes(b"a"))),
        ({"accept": False}, (Refuse(),)),
        ({"accept": False, "text": "ignored"}, (Refuse(),)),
        ({"accept": False, "close": 4000}, (Refuse(),)),
        ({"text": "a"}, (Accept(), SendText("a"))),
        ({"bytes": b"\x00"}, (Accept(), SendBytes(b"\x00"))),
        ({"close": True}, (Refuse(),)),
        ({"close": 1000}, (Refuse(),)),
        ({"close": 403}, (Refuse(),)),  # no code is sent, so any will do
        ({"close": True, "text": "why"}, (Accept(), SendText("why"), Close(1000))),
        ({"close": 4001, "bytes": b"why"}, (Accept(), SendBytes(b"why"), Close(4001))),
        ({"accept": True, "close": True}, (Accept(), Close(1000))),
        ({"accept": True, "text": "a", "close": 3000}, (Accept(), SendText("a"), Close(3000))),
        # nothing is asked for
        ({}, NOTHING),
        ({"close": False}, NOTHING),
        ({"close": 0}, NOTHING),
        ({"text": ""}, NOTHING),
        ({"bytes": b""}, NOTHING),
        # item 117: None is absence
        ({"accept": None, "text": None, "bytes": None, "close": None}, NOTHING),
        ({"text": None, "bytes": b"a"}, (Accept(), SendBytes(b"a"))),
        ({"text": "", "bytes": b"a"}, (Accept(), SendBytes(b"a"))),
    ],
)
def test_before_acceptance(reply: dict[str, Any], actions: tuple[Any, ...]) -> None:
    """Items 118, 119 and 129."""
    assert decide(State.CONNECTING, reply) == actions


@pytest.mark.parametrize(
    ("reply", "actions"),
    [
        # item 120: after acceptance
        ({"text": "a"}, (SendText("a"),)),
        ({"bytes": b"a"}, (SendBytes(b"a"),)),
        ({"accept": True}, NOTHING),
        ({"accept": False}, NOTHING),
        ({"accept": False, "text": "a"}, (SendText("a"),)),
        ({"close": True}, (Close(1000),)),
        ({"close": 4999, "text": "a"}, (SendText("a"), Close(4999))),
        ({"close": False, "text": "a"}, (SendText("a"),)),
        ({"text": ""}, NOTHING),
        ({"text": None, "bytes": b"a"}, (SendBytes(b"a"),)),
        *[({"close": code}, (Close(code),)) for code in (1000, 1001, 1008, 1011, 1012, 1013, 3000, 4999)],
    ],
)
def test_after_acceptance(reply: dict[str, Any], actions: tuple[Any, ...]) -> None:
    """Items 118 and 120."""
    assert decide(State.OPEN, reply) == actions


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        # item 118
        ({"content": "secret", "id": 7}, "unknown keys 'content', 'id'"),
        ({"text": "a", "txet": "b"}, "unknown keys 'txet'"),
        ({b"text": b"a"}, "unknown keys b'text'"),
        ({"text": "a", "bytes": b"b"}, "both 'text' and 'bytes'"),
        ({"text": b"a"}, "'text' is bytes, it must be str"),
        ({"text": 1}, "'text' is int"),
        ({"text": False}, "'text' is bool"),
        ({"bytes": "a"}, "'bytes' is str, it must be bytes"),
        ({"accept": "yes"}, "'accept' is str"),
        ({"accept": 1}, "'accept' is int"),
        ({"close": "1000"}, "'close' is str"),
        ({"close": 1000.0}, "'close' is float"),
        ({"close": -1}, "'close' is negative"),
    ],
)
@pytest.mark.parametrize("state", [State.CONNECTING, State.OPEN])
def test_errors_name_the_key_and_never_the_value(state: State, reply: dict[Any, Any], error: str) -> None:
    """Items 3 and 118."""
    decided = decide(state, reply)
    assert isinstance(decided, str)
    assert error in decided
    assert "secret" not in decided


@pytest.mark.parametrize("code", [1, 999, 1002, 1004, 1005, 1006, 1009, 1014, 1015, 2999, 5000, 10**30])
def test_codes_that_may_not_be_sent(code: int) -> None:
    assert "cannot be sent" in decide(State.OPEN, {"close": code})
    assert "cannot be sent" in decide(State.CONNECTING, {"close": code, "text": "a"})
    assert decide(State.CONNECTING, {"close": code}) == (Refuse(),)


@pytest.mark.parametrize("reply", [{"text": "a"}, {"accept": True}, {"close": True}, {"bad": 1}, {"text": 7}])
def test_a_closed_socket_takes_nothing_and_complains_of_nothing(reply: dict[str, Any]) -> None:
    """Item 63."""
    assert decide(State.CLOSED, reply) == ()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(["accept", "text", "bytes", "close"]) | st.text() | st.binary() | st.integers() | st.none()


@given(st.sampled_from(State), st.dictionaries(keys, values, max_size=5))
def test_any_dict_is_either_actions_or_an_error(state: State, reply: dict[Any, Any]) -> None:
    decided = decide(state, reply)
    assert isinstance(decided, str | tuple)
    if isinstance(decided, tuple):
        # what can be done in a state, in an order in which it can be done
        kinds = [type(action) for action in decided]
        assert kinds.count(Accept) <= (state is State.CONNECTING)
        assert kinds in ([Refuse], []) or kinds[0] is Accept or state is State.OPEN
        assert Close not in kinds[:-1]


@given(st.dictionaries(keys, values, max_size=5))
def test_values_are_never_in_an_error(reply: dict[Any, Any]) -> None:
    reply["text"] = "5ecret-5ecret"
    decided = decide(State.OPEN, reply)
    assert not isinstance(decided, str) or "5ecret-5ecret" not in decided


@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        ([], [], None),
        (["a"], [], None),
        ([], ["a"], None),
        (["a", "b"], ["b", "a"], "a"),
        (["x", "b"], ["a", "b"], "b"),
    ],
)
def test_subprotocol_is_the_first_offered_that_is_supported(
    offered: list[str], supported: list[str], chosen: str | None
) -> None:
    """Item 124."""
    assert choose_subprotocol(offered, supported) == chosen


@given(st.text(alphabet=st.characters()) | st.binary(), st.integers(1, 40))
def test_limit_counts_bytes_on_the_wire(frame: str | bytes, limit: int) -> None:
    size = len(frame.encode("utf-8", "surrogatepass")) if isinstance(frame, str) else len(frame)
    assert above_limit(frame, limit) == (size > limit)
