"""Several streams on one socket (Channels 1.x, items 190 to 195; defect 6)."""

import json
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from channelcelery.exceptions import SendNotAvailableOnDemultiplexer
from channelcelery.generic.websockets import (
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    WebsocketMultiplexer,
)
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from tests.fakes import FakeLayer
from tests.unit.sockets import connect_message, disconnect_message, receive_message, replies

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


class Stream(JsonWebsocketConsumer):
    def connect(self, message: Message, multiplexer: Any, **kwargs: Any) -> None:
        seen.append(("connect", multiplexer.stream, kwargs))
        multiplexer.send({"hello": multiplexer.stream})

    def receive(self, content: Any, multiplexer: Any, **kwargs: Any) -> None:  # type: ignore[override]
        seen.append(("receive", multiplexer.stream, content, kwargs, self.message["reply_channel"]))
        multiplexer.send({"got": content})

    def disconnect(self, message: Message, multiplexer: Any, **kwargs: Any) -> None:
        seen.append(("disconnect", multiplexer.stream, kwargs))


class Sending(JsonWebsocketConsumer):
    """Sends as if it had the socket for itself."""

    def receive(self, content: Any, **kwargs: Any) -> None:
        self.send(content)


class PlainSending(WebsocketConsumer):
    def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:
        self.send(text=text)


def function(message: Message, **kwargs: Any) -> None:
    seen.append(("function", message.channel.name, message.get("text"), kwargs["multiplexer"].stream))


class Streams(WebsocketDemultiplexer):
    consumers = {"first": Stream, "second": Stream, "sending": Sending, "plain": PlainSending, "function": function}


def frame(stream: object, payload: object) -> str:
    return json.dumps({"stream": stream, "payload": payload})


def frames(message: Message) -> list[Any]:
    return [json.loads(reply["text"]) for reply in replies(message) if "text" in reply]


class TestReceive:
    def test_given_a_frame_expect_its_stream_to_get_the_payload(self) -> None:
        """Items 190, 192 and 193."""
        message = receive_message(frame("second", {"a": [1]}))
        Streams(message, room="x")
        assert seen == [("receive", "second", {"a": [1]}, {"room": "x"}, message["reply_channel"])]
        assert frames(message) == [{"stream": "second", "payload": {"got": {"a": [1]}}}]

    def test_given_a_function_expect_a_receive_message_with_text(self) -> None:
        """Item 190: dispatched directly, no new channel."""
        Streams(receive_message(frame("function", {"a": 1})))
        assert seen == [("function", "websocket.receive", '{"a": 1}', "function")]

    def test_given_a_group_of_the_route_named_like_the_multiplexer_expect_streams_to_get_theirs(self) -> None:
        """Item 192."""
        Streams(receive_message(frame("function", {"a": 1})), multiplexer="what a client wrote")
        assert seen == [("function", "websocket.receive", '{"a": 1}', "function")]

    @pytest.mark.parametrize(
        "text",
        [
            frame("third", {}),
            frame(["first"], {}),
            frame(None, {}),
            frame("first", []),
            frame("first", "text"),
            frame("first", None),
            '{"stream": "first"}',
            '{"payload": {}}',
            "[]",
            "5",
        ],
    )
    def test_given_a_bad_frame_expect_a_value_error(self, text: str) -> None:
        """Item 191."""
        message = receive_message(text)
        with pytest.raises(ValueError, match=r"frame"):
            Streams(message)
        assert seen == replies(message) == []


class TestConnectAndDisconnect:
    def test_given_a_connect_expect_acceptance_first_and_every_consumer_told(self) -> None:
        """Item 192."""
        message = connect_message()
        Streams(message, room="x")
        assert replies(message)[0] == {"accept": True}
        assert frames(message) == [{"stream": name, "payload": {"hello": name}} for name in ("first", "second")]
        assert [entry[:2] for entry in seen] == [
            ("connect", "first"),
            ("connect", "second"),
            ("function", "websocket.connect"),
        ]
        assert seen[0][2] == {"room": "x"}

    def test_given_a_disconnect_expect_every_consumer_told(self) -> None:
        """Item 192."""
        Streams(disconnect_message())
        assert [entry[:2] for entry in seen] == [
            ("disconnect", "first"),
            ("disconnect", "second"),
            ("function", "websocket.disconnect"),
        ]


class TestSend:
    @pytest.mark.parametrize("stream", ["sending", "plain"])
    def test_given_a_consumer_that_sends_without_the_multiplexer_expect_an_error(self, stream: str) -> None:
        """Item 194."""
        message = receive_message(frame(stream, {}))
        with pytest.raises(SendNotAvailableOnDemultiplexer):
            Streams(message)
        assert replies(message) == []

    def test_given_the_same_class_used_directly_expect_it_to_send(self) -> None:
        """Defect 6: 1.1.8 replaced the class's method for the whole process."""
        with pytest.raises(SendNotAvailableOnDemultiplexer):
            Streams(receive_message(frame("sending", {})))
        message = receive_message('{"a": 1}')
        Sending(message)
        assert frames(message) == [{"a": 1}]

    def test_given_a_route_with_a_group_of_that_name_expect_it_to_send(self) -> None:
        message = receive_message("1")
        Sending(message, multiplexer="from the path")
        assert frames(message) == [1]

    def test_given_the_demultiplexer_itself_expect_an_error(self) -> None:
        """Item 194."""
        demultiplexer = Streams(receive_message(frame("function", {})))
        with pytest.raises(SendNotAvailableOnDemultiplexer):
            demultiplexer.send({})
        with pytest.raises(SendNotAvailableOnDemultiplexer):
            demultiplexer.group_send("room", "first", {})
        with pytest.raises(SendNotAvailableOnDemultiplexer):
            Streams.group_send("room", stream="first", payload={})

    def test_given_a_consumer_that_closes_expect_the_socket_closed(self) -> None:
        class Closing(JsonWebsocketConsumer):
            def receive(self, content: Any, **kwargs: Any) -> None:
                self.close(4000)

        message = receive_message(frame("closing", {}))
        type("Closers", (WebsocketDemultiplexer,), {"consumers": {"closing": Closing}})(message)
        assert replies(message) == [{"close": 4000}]


class TestMultiplexer:
    def test_given_what_django_knows_expect_it_encoded(self) -> None:
        """Item 193."""
        payload = {"day": date(2024, 2, 29), "price": Decimal("1.50"), "id": uuid.UUID(int=1)}
        content = WebsocketMultiplexer.encode("first", payload)
        assert json.loads(content["text"]) == {
            "stream": "first",
            "payload": {"day": "2024-02-29", "price": "1.50", "id": str(uuid.UUID(int=1))},
        }

    def test_given_a_group_expect_the_frame_on_the_right_layer(self) -> None:
        """Item 193; on an instance the layer is the socket's (defect 22)."""
        message = receive_message()
        assert message.reply_channel is not None
        default = FakeLayer()
        former = channel_layers.set("default", default)
        try:
            WebsocketMultiplexer.group_send("room", "first", {"a": 1}, True)
            WebsocketMultiplexer("first", message.reply_channel).group_send("room", "first", {"b": 1})
        finally:
            channel_layers.set("default", former)
        text = frame("first", {"a": 1})
        assert default.replies.delivered == [("room", {"text": text, "close": True})]
        assert message.channel_layer.replies.delivered == [("room", {"text": frame("first", {"b": 1})})]

    def test_given_a_class_of_one_s_own_expect_it_used(self) -> None:
        """Item 193."""

        class Terse(WebsocketMultiplexer):
            @classmethod
            def encode(cls, stream: str, payload: Any) -> dict[str, Any]:
                return {"text": cls.encode_json([stream, payload])}

        class Tersely(WebsocketDemultiplexer):
            consumers = {"first": Stream}
            multiplexer_class = Terse

        message = receive_message(frame("first", {}))
        Tersely(message)
        assert frames(message) == [["first", {"got": {}}]]
        assert seen[0][4] == message["reply_channel"]
