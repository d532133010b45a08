"""Delays (Channels 1.x, item 206): what counts as one, and how a delayed message waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.delays import MAX_DELAY, check_delay, decode_delayed, encode_delayed
from channelcelery.core.sends import DelayedSend
from channelcelery.exceptions import InvalidContent, InvalidEnvelope


@pytest.mark.parametrize(("delay", "expected"), [(1, 1), (1.2, 2), (0.001, 1), (MAX_DELAY, MAX_DELAY), (2.0, 2)])
def test_given_a_number_of_milliseconds_then_it_is_rounded_up(delay: float, expected: int) -> None:
    assert check_delay(delay) == expected


@pytest.mark.parametrize("delay", [0, -1, True, None, "5", float("nan"), float("inf"), MAX_DELAY + 1, b"1", []])
def test_if_a_delay_is_no_number_of_milliseconds_then_it_is_refused(delay: object) -> None:
    with pytest.raises(InvalidContent, match="milliseconds"):
        check_delay(delay)


def test_given_two_equal_messages_then_they_wait_as_two_and_read_as_one() -> None:
    send = DelayedSend("work", b"\x80", 5)
    first, second = encode_delayed(send, b"1"), encode_delayed(send, b"2")
    assert first != second
    assert decode_delayed(first) == decode_delayed(second) == DelayedSend("work", b"\x80", 0)
    traced = DelayedSend("work", b"\x80", 0, "00-trace")
    assert decode_delayed(encode_delayed(traced, b"1")) == traced


@given(st.binary())
def test_if_bytes_are_no_delayed_message_then_the_error_says_so(garbage: bytes) -> None:
    with pytest.raises(InvalidEnvelope):
        decode_delayed(garbage)
