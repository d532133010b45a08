"""`Message`: what a consumer is called with (items 33 to 35)."""

from typing import Any

import pytest

from channelcelery.exceptions import InvalidName
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from tests.fakes import FakeLayer, make_message

REPLY = "websocket.send!node.token"


def test_given_content_channel_and_layer_expect_them_as_attributes() -> None:
    """Items 33 and 48."""
    layer = FakeLayer("other")
    content = {"text": "a", "reply_channel": REPLY}
    message = Message(content, "websocket.receive", layer)
    assert message.content is content
    assert message.channel.name == "websocket.receive"
    assert message.reply_channel is not None
    assert message.reply_channel.name == REPLY
    assert message.channel_layer is layer
    assert message.channel.channel_layer is layer
    assert message.reply_channel.channel_layer is layer


def test_given_neither_channel_nor_layer_expect_the_default_layer() -> None:
    """Item 33: `Message(content, None, None)` is how tests of consumers make one."""
    layer = FakeLayer()
    former = channel_layers.set("default", layer)
    try:
        message = Message({"reply_channel": REPLY}, None, None)
    finally:
        channel_layers.set("default", former)
    assert message.channel_layer is layer
    assert message.reply_channel is not None
    assert message.reply_channel.channel_layer is layer


@pytest.mark.parametrize("content", [{}, {"reply_channel": None}, {"reply_channel": ""}])
def test_given_no_reply_channel_expect_none(content: dict[str, Any]) -> None:
    """Item 33."""
    assert make_message(**content).reply_channel is None


@pytest.mark.parametrize("name", ["a b", 5, ["a"], "a!"])
def test_given_a_bad_reply_channel_expect_invalid_name(name: Any) -> None:
    with pytest.raises(InvalidName):
        make_message(reply_channel=name)


def test_given_a_message_expect_its_content_as_a_mapping() -> None:
    """Item 34."""
    message = make_message(text="a", order=1)
    assert message["text"] == "a"
    assert "text" in message
    assert "bytes" not in message
    assert message.get("bytes") is None
    assert message.get("bytes", b"") == b""
    assert message.get("text", "b") == "a"
    message["more"] = True
    assert list(message.keys()) == ["text", "order", "more"]
    assert list(message.values()) == ["a", 1, True]
    assert dict(message.items()) == message.content == {"text": "a", "order": 1, "more": True}
    with pytest.raises(KeyError, match="bytes"):
        message["bytes"]


def test_given_a_copy_expect_its_own_content_and_the_same_channel_and_layer() -> None:
    """Item 34."""
    message = make_message(reply_channel=REPLY, headers=[[b"a", b"b"]])
    other = message.copy()
    other["headers"][0][0] = b"changed"
    other["more"] = 1
    assert message.content == {"reply_channel": REPLY, "headers": [[b"a", b"b"]]}
    assert other.channel.name == message.channel.name
    assert other.reply_channel is not None
    assert other.reply_channel.name == REPLY
    assert other.channel_layer is message.channel_layer


def test_given_a_class_of_ones_own_expect_copies_of_it() -> None:
    """Item 34."""

    class Loud(Message):
        pass

    assert type(Loud({"text": "a"}, "chat", FakeLayer()).copy()) is Loud


def test_given_a_message_expect_an_id_of_its_own_that_stays_and_the_first_attempt() -> None:
    message, other = make_message(), make_message()
    assert message.id == message.id != other.id
    assert (message.attempt, message.redelivered) == (1, False)


def test_given_one_of_a_reliable_channel_expect_what_its_run_says_in_copies_too() -> None:
    message = Message({}, "orders", FakeLayer(), id="an id", attempt=3, redelivered=True)
    for each in (message, message.copy()):
        assert (each.id, each.attempt, each.redelivered) == ("an id", 3, True)


def test_given_decorators_expect_what_they_hang_on_it_to_stay() -> None:
    """Item 35."""
    message = make_message()
    message.user = "anna"  # type: ignore[attr-defined]
    assert message.user == "anna"  # type: ignore[attr-defined]


def test_given_its_repr_expect_no_value() -> None:
    message = make_message("websocket.connect", path="/secret", headers=[[b"cookie", b"secret"]])
    assert repr(message) == "<Message on websocket.connect, keys ['headers', 'path']>"
