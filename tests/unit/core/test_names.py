"""Names of channels and groups (items 17 to 21; defect 11 of Channels 1.1.8: trailing newline, non-ASCII digits)."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channelcelery.core import names
from channelcelery.exceptions import InvalidName

PART = st.text("abcXYZ0189-_.", min_size=1, max_size=40)
#: Mostly names and near misses: plain random text hardly ever is a name.
NEARLY = st.text("aZ09-_.?! \n\x00é٣", max_size=12) | st.text(max_size=12)


def _is_channel_name(text: str) -> bool:
    """The rule of item 17 and 18, written as prose has it and without a regular expression."""
    parts = re.split("[?!]", text)
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    return len(text) < 100 and len(parts) <= 2 and all(part and set(part) <= set(allowed) for part in parts)


class TestChannelNames:
    @given(NEARLY)
    @example("a\n")
    @example("a?b\n")
    @example("?")
    @example("a?")
    @example("!a")
    @example("a!b!c")
    @example("a?b!c")
    @example("chat٣")
    @example("")
    @example(" ")
    def test_given_any_text_expect_the_rule(self, text: str) -> None:
        """Items 4, 17, 18 and 20, and defect 11."""
        if _is_channel_name(text):
            assert names.check_channel_name(text) == text
        else:
            with pytest.raises(InvalidName):
                names.check_channel_name(text)

    @given(PART, st.sampled_from("?!"), PART)
    def test_given_two_parts_expect_a_name(self, main: str, separator: str, local: str) -> None:
        """Items 10 and 17."""
        name = main + separator + local
        assert names.check_channel_name(name) == name
        assert names.is_reply_channel(name)
        assert not names.is_reply_channel(main)

    @pytest.mark.parametrize("check", [names.check_channel_name, names.check_group_name])
    def test_given_99_characters_expect_a_name_and_100_expect_none(self, check: Callable[[object], str]) -> None:
        """Items 4 and 20."""
        assert check("a" * 99) == "a" * 99
        with pytest.raises(InvalidName, match="1 to 99 characters"):
            check("a" * 100)

    def test_given_100_characters_with_a_separator_expect_none(self) -> None:
        assert names.check_channel_name("a" * 49 + "!" + "b" * 49)
        with pytest.raises(InvalidName):
            names.check_channel_name("a" * 50 + "!" + "b" * 49)

    @pytest.mark.parametrize("check", [names.check_channel_name, names.check_group_name])
    def test_given_bytes_expect_text(self, check: Callable[[object], str]) -> None:
        """Item 21."""
        assert check(b"http.request") == "http.request"
        with pytest.raises(InvalidName, match="bytes must be ASCII"):
            check("é".encode())

    @pytest.mark.parametrize("name", [None, 5, ["a"], ("a",), {"a": 1}, object()])
    @pytest.mark.parametrize("check", [names.check_channel_name, names.check_group_name])
    def test_given_no_text_expect_a_type_error_that_shows_it(
        self, check: Callable[[object], str], name: object
    ) -> None:
        """Item 20."""
        with pytest.raises(TypeError, match="it must be text") as caught:
            check(name)
        assert isinstance(caught.value, InvalidName)
        assert caught.value.name is name

    def test_given_a_long_wrong_name_expect_a_short_message(self) -> None:
        with pytest.raises(InvalidName) as caught:
            names.check_channel_name("é" * 100_000)
        assert len(str(caught.value)) < 500
        assert caught.value.kind == "channel"


class TestGroupNames:
    @given(NEARLY)
    @example("a\n")
    @example("a!b")
    @example("a?b")
    @example("")
    def test_given_any_text_expect_the_rule_without_separators(self, text: str) -> None:
        """Items 19 and 20."""
        if _is_channel_name(text) and "?" not in text and "!" not in text:
            assert names.check_group_name(text) == text
        else:
            with pytest.raises(InvalidName) as caught:
                names.check_group_name(text)
            assert caught.value.kind == "group"


class TestNormalChannelNames:
    @pytest.mark.parametrize("name", ["websocket.send!node.token", "http.request.body?x"])
    def test_given_a_reply_channel_expect_an_error(self, name: str) -> None:
        """Item 10."""
        with pytest.raises(InvalidName, match="only one process reads"):
            names.check_normal_channel_name(name)

    @given(PART)
    def test_given_another_name_expect_it(self, name: str) -> None:
        assert names.check_normal_channel_name(name.encode()) == name


class TestReplyAddress:
    @given(st.text("aZ0-_", min_size=1, max_size=12), st.text("aZ0-_", min_size=1, max_size=24))
    def test_given_an_address_expect_it_back_from_its_name(self, node: str, token: str) -> None:
        """Item 95."""
        for kind, begins in (("", "websocket.send!"), (names.HTTP_PREFIX, "http.response!")):
            address = names.ReplyAddress(node, kind + token)
            channel = address.channel()
            assert channel.startswith(begins)
            assert names.check_channel_name(channel) == channel
            assert names.reply_address(channel) == address

    # item 95
    def test_given_the_address_of_a_request_expect_the_name_of_its_body_channel(self) -> None:
        address = names.ReplyAddress("node", names.HTTP_PREFIX + "token")
        assert address.is_http
        assert address.body_channel() == "http.request.body?node.http.token"

    @pytest.mark.parametrize("name", ["chat", "http.request.body?a.b", "a!b", "a!.b", "a!b.", "a!."])
    def test_given_a_name_that_no_interface_makes_expect_an_error(self, name: str) -> None:
        with pytest.raises(InvalidName, match=re.escape("websocket.send!node.token")):
            names.reply_address(name)
