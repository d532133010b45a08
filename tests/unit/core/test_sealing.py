"""Sealed messages: only who has a key reads or writes them, where they were written for, and in time."""

import secrets

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.sealing import KeySeal, NoSeal
from channelcelery.exceptions import InvalidEnvelope

OLD, NEW, OTHER = (name * 32 for name in (b"o", b"n", b"x"))


def seal(*keys: bytes) -> KeySeal:
    return KeySeal(keys, secrets.token_bytes)


@given(st.binary(max_size=300), st.text(max_size=20))
def test_given_a_message_expect_it_back_at_its_place_and_nothing_of_it_to_be_seen(content: bytes, place: str) -> None:
    sealed = seal(NEW).close(content, place)
    assert seal(NEW).open(sealed, place) == content
    assert len(content) < 8 or content not in sealed
    with pytest.raises(InvalidEnvelope):
        seal(NEW).open(sealed, place + "x")


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_given_any_byte_changed_expect_it_to_be_refused(position: int, change: int) -> None:
    """If key, salt, nonce, deadline, content or tag is another, expect an error."""
    sealed = bytearray(seal(NEW).close(b"content", "queue a", deadline=5_000))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(InvalidEnvelope):
        seal(NEW).open(bytes(sealed), "queue a", now=1)


@given(st.binary(max_size=80))
def test_given_anything_expect_an_answer(junk: bytes) -> None:
    for each in (junk, b"\xc1\x01" + junk):
        with pytest.raises(InvalidEnvelope):
            seal(NEW).open(each, "place")


def test_given_any_part_cut_off_expect_it_to_be_refused() -> None:
    sealed = seal(NEW).close(b"content", "place")
    for end in range(len(sealed)):
        with pytest.raises(InvalidEnvelope):
            seal(NEW).open(sealed[:end], "place")


def test_given_a_deadline_expect_it_to_be_refused_after_that() -> None:
    sealed = seal(NEW).close(b"content", "place", deadline=1_000)
    assert seal(NEW).open(sealed, "place", now=1_000) == b"content"
    with pytest.raises(InvalidEnvelope, match="deadline"):
        seal(NEW).open(sealed, "place", now=1_001)


def test_given_keys_that_are_exchanged_one_process_after_the_other_expect_all_to_understand_each_other() -> None:
    before, both, first, after = seal(OLD), seal(OLD, NEW), seal(NEW, OLD), seal(NEW)
    for one, other in ((before, both), (both, first), (first, after)):
        assert one.open(other.close(b"content", "place"), "place") == b"content"
        assert other.open(one.close(b"content", "place"), "place") == b"content"
    with pytest.raises(InvalidEnvelope, match="key that"):
        after.open(before.close(b"content", "place"), "place")


def test_given_no_keys_on_one_side_expect_neither_to_read_the_other() -> None:
    plain = msgpack.packb({"text": "hello"})
    assert NoSeal().open(NoSeal().close(plain, "place"), "place") == plain
    with pytest.raises(InvalidEnvelope, match="has no CONFIG"):
        NoSeal().open(seal(NEW).close(plain, "place"), "place")
    with pytest.raises(InvalidEnvelope, match="not encrypted"):
        seal(NEW).open(plain, "place")


def test_given_very_many_messages_expect_a_new_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.core.sealing._MOST", 3)
    monkeypatch.setattr("channelcelery.core.sealing._REMEMBERED", 2)
    writer, reader = seal(NEW), seal(NEW)
    sealed = [writer.close(b"content", "place") for _ in range(20)]
    assert len({each[6:22] for each in sealed}) == 7
    assert len(set(sealed)) == 20
    assert {reader.open(each, "place") for each in sealed} == {b"content"}
