"""What an interface process reads from its inbox."""

from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channelcelery.core import inbox
from channelcelery.core.envelope import encode_content
from channelcelery.exceptions import InvalidEnvelope
from tests.shown import shown
from tests.unit.core.contents import CONTENTS, TEXT, VALUES, nested
from tests.unit.core.frozen_writer_v1 import content_v1, replies_v1

LIMIT = 4 * 1024 * 1024
TOKENS = st.text("abcXYZ019-_", min_size=1, max_size=22)
FIELDS = st.dictionaries(st.sampled_from([b"r", b"g", b"b", b"j", b"k", b"l", b"x"]) | st.binary(), st.binary())


class TestReplies:
    @given(st.lists(st.tuples(TOKENS, CONTENTS), max_size=5))
    def test_given_replies_expect_them_in_order(self, replies: list[tuple[str, dict[str, Any]]]) -> None:
        packed = inbox.encode_replies([(token, encode_content(content, LIMIT)) for token, content in replies])
        assert inbox.decode_entry({b"r": packed}) == inbox.RepliesEntry(tuple(replies))

    @given(st.lists(st.tuples(TOKENS, CONTENTS), max_size=5))
    def test_given_the_present_writer_expect_the_frozen_one(self, replies: list[tuple[str, dict[str, Any]]]) -> None:
        encoded = [(token, content_v1(content)) for token, content in replies]
        assert inbox.encode_replies(encoded) == replies_v1(encoded)

    @pytest.mark.parametrize(
        "value",
        [5, {}, "a", ["token"], ["token", []], [b"token", {}], [{}, "token"], ["token", {}, "token"], [None, None]],
    )
    def test_given_another_shape_expect_an_error(self, value: object) -> None:
        with pytest.raises(InvalidEnvelope):
            inbox.decode_entry({b"r": msgpack.packb(value)})

    def test_given_an_extension_in_a_reply_expect_an_error(self) -> None:
        with pytest.raises(InvalidEnvelope):
            inbox.decode_entry({b"r": msgpack.packb(["token", {"text": msgpack.ExtType(5, b"x")}])})

    @given(st.binary() | VALUES.map(msgpack.packb))
    @example(b"\x91" * 100_000)
    @example(b"\x92\xa1a" * 100_000)
    @example(b"\x92\xa1a\x81\x90\xc0")
    def test_given_garbage_expect_only_invalid_envelope(self, packed: bytes) -> None:
        _read({b"r": packed})


class TestOtherEntries:
    @given(TOKENS, CONTENTS)
    def test_given_a_group_send_expect_it(self, group: str, content: dict[str, Any]) -> None:
        fields = {b"g": group.encode(), b"b": content_v1(content), b"later": b"\xff"}
        assert inbox.decode_entry(fields) == inbox.GroupEntry(group, content)

    @given(TOKENS, TOKENS)
    def test_given_a_join_or_a_leave_expect_it(self, group: str, token: str) -> None:
        for field, entry in ((b"j", inbox.JoinEntry), (b"l", inbox.LeaveEntry)):
            fields = {field: group.encode(), b"k": token.encode(), b"later": b"\xff"}
            assert inbox.decode_entry(fields) == entry(group, token)

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {b"x": b"y"},
            {b"k": b"token"},
            {b"b": b"\x80"},
            {b"g": b"chat"},
            {b"g": b"chat", b"b": b""},
            {b"g": b"chat", b"b": b"\x90"},
            {b"g": b"\xff", b"b": b"\x80"},
            {b"j": b"chat"},
            {b"j": b"chat", b"k": b"\xff"},
            {b"l": b"\xff", b"k": b"token"},
            {b"g": b"chat", b"b": msgpack.packb(nested(1_000))},
        ],
        ids=shown,
    )
    def test_given_less_than_an_entry_expect_an_error_that_says_so(self, fields: dict[bytes, bytes]) -> None:
        with pytest.raises(InvalidEnvelope) as caught:
            inbox.decode_entry(fields)
        assert 10 < len(str(caught.value)) < 500

    @given(FIELDS)
    @example({b"x" * 100_000: b""})
    @example({b"j": b"\xff" * 100_000, b"k": b"token"})
    def test_given_random_fields_expect_only_invalid_envelope(self, fields: dict[bytes, bytes]) -> None:
        _read(fields)

    @given(TEXT.map(str.encode), TEXT.map(str.encode), VALUES.map(msgpack.packb))
    def test_given_random_values_expect_only_invalid_envelope(self, name: bytes, token: bytes, packed: bytes) -> None:
        for fields in ({b"g": name, b"b": packed}, {b"j": name, b"k": token}, {b"l": name, b"k": token}):
            _read(fields)


def _read(fields: dict[bytes, bytes]) -> None:
    entry: inbox.Entry | None
    try:
        entry = inbox.decode_entry(fields)
    except InvalidEnvelope as error:
        entry, said = None, str(error)
    else:
        said = repr(type(entry))
    assert 10 < len(said) < 500
    assert isinstance(entry, inbox.RepliesEntry | inbox.GroupEntry | inbox.JoinEntry | inbox.LeaveEntry | None)
