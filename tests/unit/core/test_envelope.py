"""How messages are encoded (items 22 to 24 and 56), and which versions can be read."""

import re
import tracemalloc
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channelcelery.core import envelope
from channelcelery.exceptions import InvalidContent, InvalidEnvelope, MessageTooLarge
from tests.shown import shown
from tests.unit.core.contents import CONTENTS, VALUES, nested
from tests.unit.core.frozen_writer_v1 import batch_v1, content_v1, item_v1

LIMIT = 4 * 1024 * 1024
DECODERS = [envelope.decode_batch, envelope.decode_item, envelope.decode_content]


def travel(content: object) -> dict[str, Any]:
    """Send a message through every layer of its encoding."""
    item = envelope.encode_item(envelope.encode_content(content, LIMIT), 1_000)
    batch = envelope.decode_batch(envelope.encode_batch("chat", [item]))
    assert batch.channel == "chat"
    (only,) = batch.items
    return envelope.decode_item(only).content


class TestWhatTravels:
    @given(CONTENTS)
    def test_given_any_message_expect_it_unchanged(self, content: dict[str, Any]) -> None:
        """Item 22."""
        arrived = travel(content)
        assert arrived == content
        # equality alone takes 1 for True and 1.0
        assert repr(arrived) == repr(content)

    @given(VALUES)
    def test_given_a_tuple_at_any_depth_expect_a_list(self, value: Any) -> None:
        """Item 22."""
        assert travel({"a": (value, {"b": (value,)})}) == {"a": [value, {"b": [value]}]}

    @pytest.mark.parametrize("depth", [1, 2, 50, envelope.MAX_DEPTH - 1])
    def test_given_bytes_and_text_deep_inside_expect_themselves(self, depth: int) -> None:
        """Item 22."""
        value: Any = [b"\xff\x00", "é\x00😀"]
        for _ in range(depth - 1):
            value = [value]
        assert travel({"a": value}) == {"a": value}

    def test_given_not_a_number_expect_it(self) -> None:
        assert travel({"a": float("nan")})["a"] != travel({"a": float("nan")})["a"]

    def test_given_writable_bytes_expect_bytes(self) -> None:
        assert travel({"a": bytearray(b"x"), "b": memoryview(b"y")}) == {"a": b"x", "b": b"y"}

    def test_given_a_dict_whose_values_have_no_length_expect_it_to_travel(self) -> None:
        """Item 22: a QueryDict, such as request.POST, is one."""

        class LastValues(dict[str, list[str]]):
            def values(self) -> Any:
                return (each[-1] for each in super().values())

            def items(self) -> Any:
                return ((key, each[-1]) for key, each in super().items())

        assert travel({"form": LastValues(a=["1", "2"])}) == {"form": {"a": "2"}}

    def test_given_a_change_after_encoding_expect_what_was_encoded(self) -> None:
        """Item 24."""
        content = {"a": [1]}
        packed = envelope.encode_content(content, LIMIT)
        content["a"].append(2)
        assert envelope.decode_content(packed) == {"a": [1]}


class TestWhatDoesNot:
    @pytest.mark.parametrize("content", [None, "text", b"bytes", 5, ["a"], [("a", 1)], object(), {"a"}])
    def test_given_no_dict_expect_an_error_that_is_both_types(self, content: object) -> None:
        """Items 28 and 30."""
        with pytest.raises(InvalidContent, match="a message is a dict") as caught:
            envelope.encode_content(content, LIMIT)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize(
        "value",
        [
            object(),
            {1, 2},
            1j,
            Decimal(1),
            datetime(2026, 1, 1),
            print,
            2**64,
            -(2**63) - 1,
            "\ud800",
            "a\udfff",
            msgpack.ExtType(5, b"x"),
            msgpack.Timestamp(1),
            range(3),
        ],
        ids=shown,
    )
    @pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"b": (v,)}], ids=["bare", "list", "dict"])
    def test_given_a_value_that_cannot_travel_expect_an_error(self, value: object, wrap: Callable[[Any], Any]) -> None:
        """Item 22."""
        with pytest.raises(InvalidContent, match="a message holds bytes, text"):
            envelope.encode_content({"a": wrap(value)}, LIMIT)

    @pytest.mark.parametrize("key", [1, None, b"a", (1,), True, 1.5], ids=shown)
    def test_given_a_key_that_is_no_text_expect_an_error_at_any_depth(self, key: object) -> None:
        for content in ({key: 1}, {"a": {key: 1}}, {"a": [{"b": ({key: 1},)}]}):
            with pytest.raises(InvalidContent, match=re.escape(f"keys are text: {key!r}")):
                envelope.encode_content(content, LIMIT)

    def test_given_the_deepest_nesting_expect_it_readable_and_one_more_refused(self) -> None:
        assert envelope.MAX_DEPTH == 100, "a lower one would refuse what was sent before"
        # the dict itself is the first level
        content = {"a": nested(envelope.MAX_DEPTH - 1)}
        assert travel(content) == content
        with pytest.raises(InvalidContent, match="nested"):
            envelope.encode_content({"a": nested(envelope.MAX_DEPTH)}, LIMIT)

    def test_given_a_nesting_bomb_expect_an_error(self) -> None:
        with pytest.raises(InvalidContent, match="nested"):
            envelope.encode_content({"a": nested(200_000)}, LIMIT)

    def test_given_a_list_in_itself_expect_an_error(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(InvalidContent, match="nested"):
            envelope.encode_content({"a": endless}, LIMIT)

    def test_given_a_short_message_that_unfolds_expect_too_large(self) -> None:
        bomb: list[Any] = []
        for _ in range(60):
            bomb = [bomb, bomb]
        with pytest.raises(MessageTooLarge):
            envelope.encode_content({"a": bomb}, 10_000)

    def test_given_the_limit_expect_it_counted_in_encoded_bytes(self) -> None:
        """Item 23."""
        content = {"text": "é" * 50}
        size = len(content_v1(content))
        assert envelope.encode_content(content, size)
        with pytest.raises(MessageTooLarge, match=f"{size} bytes.*{size - 1}") as caught:
            envelope.encode_content(content, size - 1)
        assert (caught.value.size, caught.value.limit) == (size, size - 1)

    def test_given_a_megabyte_expect_it_to_travel(self) -> None:
        """Item 23."""
        assert travel({"text": "x" * 1024 * 1024})["text"] == "x" * 1024 * 1024

    def test_given_a_long_key_expect_a_short_message(self) -> None:
        with pytest.raises(InvalidContent) as caught:
            envelope.encode_content({("k" * 100_000,): 1}, LIMIT)
        assert len(str(caught.value)) < 500


class TestReading:
    @given(CONTENTS, st.integers(0, 2**53), st.lists(CONTENTS, max_size=3))
    def test_given_the_frozen_writer_expect_it_read(
        self, content: dict[str, Any], deadline: int, more: list[dict[str, Any]]
    ) -> None:
        items = [item_v1(content_v1(each), deadline) for each in [content, *more]]
        batch = envelope.decode_batch(batch_v1("http.request", items))
        assert batch == envelope.Batch("http.request", tuple(items))
        assert [envelope.decode_item(item) for item in batch.items] == [
            envelope.Item(each, deadline) for each in [content, *more]
        ]

    @given(CONTENTS)
    def test_given_the_present_writer_expect_the_frozen_one(self, content: dict[str, Any]) -> None:
        packed = envelope.encode_content(content, LIMIT)
        assert packed == content_v1(content)
        assert envelope.encode_item(packed, 5) == item_v1(packed, 5)
        assert envelope.encode_batch("a", [b"1", b"2"]) == batch_v1("a", [b"1", b"2"])

    def test_given_the_next_version_with_unknown_fields_expect_it_read(self) -> None:
        item = msgpack.packb({"trace": [1, {"x": b"\xff"}], "b": {"text": "hi"}, "d": 7, "k": None})
        body = msgpack.packb({"codec": "zstd", "m": [item], "v": 2, "c": "chat", "z": {"n": 1}})
        batch = envelope.decode_batch(body)
        assert batch.channel == "chat"
        assert envelope.decode_item(batch.items[0]) == envelope.Item({"text": "hi"}, 7)

    @pytest.mark.parametrize("version", [3, 0, -1, 10**18, None, "1", 1.0, True, [1]])
    def test_given_another_version_expect_it_refused(self, version: object) -> None:
        body = msgpack.packb({"v": version, "c": "chat", "m": [b"x"]})
        with pytest.raises(InvalidEnvelope, match=re.escape(f"version {version!r}, where 1 to 2 can be read")):
            envelope.decode_batch(body)

    @pytest.mark.parametrize(
        "fields", [{"c": "a"}, {"m": []}, {"c": b"a", "m": []}, {"c": "a", "m": "x"}, {"c": "a", "m": [1]}, {}]
    )
    def test_given_a_batch_without_channel_or_items_expect_an_error(self, fields: dict[str, Any]) -> None:
        with pytest.raises(InvalidEnvelope, match="channel or the items"):
            envelope.decode_batch(msgpack.packb({"v": 1, **fields}))

    @pytest.mark.parametrize(
        "fields", [{"b": {}}, {"d": 1}, {"b": [], "d": 1}, {"b": {}, "d": "1"}, {"b": {}, "d": 1.5}, {}]
    )
    def test_given_an_item_without_content_or_deadline_expect_an_error(self, fields: dict[str, Any]) -> None:
        with pytest.raises(InvalidEnvelope, match="content or the deadline"):
            envelope.decode_item(msgpack.packb(fields))


class TestRetries:
    """A message that goes back to its channel carries the count of its tries outside of its content (item 80)."""

    @given(CONTENTS, st.integers(0, 2**53))
    def test_given_an_item_expect_one_more_retry_and_all_else_kept(
        self, content: dict[str, Any], deadline: int
    ) -> None:
        """Items 25 and 80."""
        item = item_v1(content_v1(content), deadline)
        for retries in range(3):
            assert envelope.decode_item(item) == envelope.Item(content, deadline, retries)
            item = envelope.count_retry(item)

    def test_given_fields_of_a_later_version_expect_them_kept(self) -> None:
        item = msgpack.packb({"trace": [b"\xff"], "b": {}, "d": 7})
        assert msgpack.unpackb(envelope.count_retry(item)) == {"trace": [b"\xff"], "b": {}, "d": 7, "n": 1}

    @pytest.mark.parametrize("retries", [-1, True, "1", 1.5, None, [1]])
    def test_given_no_count_expect_the_item_refused(self, retries: object) -> None:
        item = msgpack.packb({"b": {}, "d": 1, "n": retries})
        for read in (envelope.decode_item, envelope.count_retry):
            with pytest.raises(InvalidEnvelope, match="retries"):
                read(item)


class TestGarbage:
    """Whatever is in a queue, reading it returns or raises InvalidEnvelope, and nothing else."""

    @pytest.mark.parametrize("decode", DECODERS)
    @given(st.binary())
    @example(b"")
    @example(b"\xc1")
    @example(b"\xd6\xff\x00\x00\x00\x01")
    @example(b"\x81\xa1a\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    @example(b"\xdf\xff\xff\xff\xff")
    @example(b"\x81\xc0\xc0")
    @example(b"\x81\x90\xc0")
    @example(b"\x81\xa1\xff\xc0")
    @example(b"\x81\xa1a\xc7\x00\x05")
    def test_given_random_bytes_expect_only_invalid_envelope(
        self, decode: Callable[[bytes], object], data: bytes
    ) -> None:
        _read(decode, data)

    @pytest.mark.parametrize("decode", DECODERS)
    @given(VALUES)
    def test_given_msgpack_of_another_shape_expect_only_invalid_envelope(
        self, decode: Callable[[bytes], object], value: Any
    ) -> None:
        _read(decode, msgpack.packb(value))

    @pytest.mark.parametrize("decode", DECODERS)
    @given(CONTENTS, st.data())
    def test_given_a_damaged_message_expect_only_invalid_envelope(
        self, decode: Callable[[bytes], object], content: dict[str, Any], data: st.DataObject
    ) -> None:
        whole = item_v1(content_v1(content), 5) if decode is not envelope.decode_batch else batch_v1("a", [b"x" * 20])
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 3)) :]
        _read(decode, damaged)

    @pytest.mark.parametrize("decode", DECODERS)
    @pytest.mark.parametrize(
        "opening", [b"\x91", b"\x81\xa1a", b"\xdd\x00\x00\x00\x01"], ids=["list", "map", "list 32"]
    )
    def test_given_a_nesting_bomb_expect_invalid_envelope(
        self, decode: Callable[[bytes], object], opening: bytes
    ) -> None:
        for bomb in (opening * 100_000, opening * 100_000 + b"\xc0"):
            with pytest.raises(InvalidEnvelope):
                decode(bomb)

    @pytest.mark.parametrize("decode", DECODERS)
    @pytest.mark.parametrize(
        "claim",
        [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"],
        ids=["list", "map", "text", "bytes", "extension"],
    )
    @pytest.mark.parametrize("length", [1_000_000, 2**32 - 1])
    def test_given_a_few_bytes_that_claim_to_be_many_expect_invalid_envelope_and_no_memory_taken(
        self, decode: Callable[[bytes], object], claim: bytes, length: int
    ) -> None:
        claimed = claim + length.to_bytes(4, "big") + b"\xc0" * 100
        tracemalloc.start()
        try:
            for attack in (claimed, b"\x81\xa1b" + claimed, b"\x91" * 50 + claimed):
                with pytest.raises(InvalidEnvelope):
                    decode(attack)
            assert tracemalloc.get_traced_memory()[1] < 500_000
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("decode", DECODERS)
    def test_given_more_bytes_than_any_writer_sends_expect_them_not_read(
        self, decode: Callable[[bytes], object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(envelope, "MAX_BYTES", 1_000)
        with pytest.raises(InvalidEnvelope, match="1001 bytes, where 1000 are read at most"):
            decode(b"\xc5" + (998).to_bytes(2, "big") + bytes(998))
        with pytest.raises(MessageTooLarge):  # so that none is sent that could not be read
            envelope.encode_content({"text": "x" * 500}, 1_000_000)

    @pytest.mark.parametrize("decode", DECODERS)
    def test_given_bytes_after_the_end_expect_invalid_envelope(self, decode: Callable[[bytes], object]) -> None:
        with pytest.raises(InvalidEnvelope):
            decode(item_v1(content_v1({}), 5) + b"\xc0")

    @pytest.mark.parametrize("key", [b"a", 1, None])
    def test_given_keys_that_are_no_text_expect_invalid_envelope(self, key: object) -> None:
        for content in ({key: 1}, {"a": [{key: 1}]}):
            packed = msgpack.packb(content)
            with pytest.raises(InvalidEnvelope):
                envelope.decode_content(packed)
            with pytest.raises(InvalidEnvelope):
                envelope.decode_item(item_v1(packed, 5))

    def test_given_an_extension_expect_invalid_envelope(self) -> None:
        with pytest.raises(InvalidEnvelope):
            envelope.decode_content(msgpack.packb({"a": msgpack.ExtType(5, b"x")}))

    def test_given_a_timestamp_which_no_writer_sends_expect_a_number(self) -> None:
        assert envelope.decode_content(msgpack.packb({"a": msgpack.Timestamp(2**34, 0)})) == {"a": 2.0**34}


def _read(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        read = decode(data)
    except InvalidEnvelope as error:
        read, said = None, str(error)
    else:
        said = "read"
    assert 0 < len(said) < 500
    # what could be read can be sent on
    if isinstance(read, envelope.Item):
        read = read.content
    if isinstance(read, dict):
        envelope.encode_content(read, LIMIT)
