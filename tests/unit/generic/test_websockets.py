"""Sockets as classes, plain and JSON (Channels 1.x, items 182 to 189)."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client

from channelcelery import sessions
from channelcelery.channel import Group
from channelcelery.generic.websockets import JsonWebsocketConsumer, WebsocketConsumer
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.sessions import session_for_reply_channel
from tests.fakes import FakeLayer, make_message
from tests.unit.sockets import REPLY, connect_message, disconnect_message, receive_message, replies

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


@pytest.fixture
def default_layer() -> Any:
    layer = FakeLayer()
    former = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", former)


class Watching(WebsocketConsumer):
    def connect(self, message: Message, **kwargs: Any) -> None:
        seen.append(("connect", message is self.message, self.path, kwargs))

    def receive(self, text: str | None = None, bytes: bytes | None = None, **kwargs: Any) -> None:
        seen.append(("receive", text, bytes, self.path, kwargs))

    def disconnect(self, message: Message, **kwargs: Any) -> None:
        seen.append(("disconnect", message["code"], self.path, kwargs))


class TestWebsocketConsumer:
    def test_it_listens_to_the_three_channels(self) -> None:
        expected = {"websocket.connect", "websocket.receive", "websocket.disconnect"}
        assert WebsocketConsumer.channel_names() == expected

    def test_given_messages_expect_the_methods_called(self) -> None:
        """Items 182 and 185."""
        Watching(connect_message(path="/a"), n="1")
        Watching(receive_message("hello", path="/a"), n="1")
        Watching(disconnect_message(), n="1")
        assert seen == [
            ("connect", True, "/a", {"n": "1"}),
            ("receive", "hello", None, "/a", {"n": "1"}),
            ("disconnect", 1000, "/", {"n": "1"}),
        ]

    @pytest.mark.parametrize(
        ("content", "text", "data"),
        [
            ({"text": "a"}, "a", None),
            ({"text": ""}, "", None),
            ({"text": "a", "bytes": None}, "a", None),
            ({"bytes": b"a"}, None, b"a"),
            ({"bytes": b"a", "text": None}, None, b"a"),
        ],
    )
    def test_given_either_key_missing_or_none_expect_the_other(self, content: Any, text: Any, data: Any) -> None:
        """Item 117: 1.1.8 lost the bytes beside `text: None`."""
        Watching(make_message("websocket.receive", reply_channel=REPLY, path="/", **content))
        assert seen == [("receive", text, data, "/", {})]

    def test_given_no_methods_expect_an_acceptance_and_nothing_else(self) -> None:
        """Item 182."""
        messages = [connect_message(), receive_message(), disconnect_message()]
        for message in messages:
            WebsocketConsumer(message)
        assert [replies(message) for message in messages] == [[{"accept": True}], [], []]

    def test_given_a_connect_of_one_s_own_expect_no_acceptance(self) -> None:
        """Item 182: it must accept itself."""
        message = connect_message()
        Watching(message)
        assert replies(message) == []

    def test_given_async_methods_expect_them_run(self) -> None:
        class Async(WebsocketConsumer):
            async def receive(self, text: Any = None, bytes: Any = None, **kwargs: Any) -> None:
                self.send(text=text)

        message = receive_message("hello")
        Async(message)
        assert replies(message) == [{"text": "hello"}]

    @pytest.mark.parametrize(
        ("arguments", "sent"),
        [
            ({"text": "a"}, {"text": "a"}),
            ({"text": ""}, {"text": ""}),
            ({"bytes": b"a"}, {"bytes": b"a"}),
            ({"text": "a", "bytes": b"a"}, {"text": "a"}),
            ({"text": "a", "close": True}, {"text": "a", "close": True}),
            ({"bytes": b"", "close": 4001}, {"bytes": b"", "close": 4001}),
        ],
    )
    def test_given_a_frame_expect_it_sent(self, arguments: Any, sent: Any, default_layer: FakeLayer) -> None:
        """Item 184."""
        message = receive_message()
        WebsocketConsumer(message).send(**arguments)
        assert replies(message) == [sent]
        WebsocketConsumer.group_send("room", **arguments)
        assert default_layer.replies.delivered == [("room", sent)]

    def test_given_positional_arguments_expect_the_order_of_1_x(self, default_layer: FakeLayer) -> None:
        """Item 184."""
        message = receive_message()
        WebsocketConsumer(message).send("a", None, True)
        WebsocketConsumer.group_send("room", None, b"b", 3000)
        assert replies(message) == [{"text": "a", "close": True}]
        assert default_layer.replies.delivered == [("room", {"bytes": b"b", "close": 3000})]

    def test_given_neither_text_nor_bytes_expect_a_value_error(self) -> None:
        """Item 184."""
        with pytest.raises(ValueError, match="text or bytes"):
            WebsocketConsumer(receive_message()).send(close=True)
        with pytest.raises(ValueError, match="text or bytes"):
            WebsocketConsumer.group_send("room")

    def test_given_close_expect_the_code(self) -> None:
        """Item 184."""
        message = receive_message()
        consumer = WebsocketConsumer(message)
        consumer.close()
        consumer.close(4000)
        consumer.close(status=False)
        assert replies(message) == [{"close": True}, {"close": 4000}, {"close": False}]

    def test_given_an_instance_expect_group_sends_on_the_layer_of_its_message(self, default_layer: FakeLayer) -> None:
        """Defect 22: 1.1.8 used the default layer always."""
        message = receive_message()
        WebsocketConsumer(message).group_send("room", "a")
        JsonWebsocketConsumer(receive_message("1")).group_send("room", 1)
        assert message.channel_layer.replies.delivered == [("room", {"text": "a"})]
        assert default_layer.replies.delivered == []

    def test_given_a_class_method_of_one_s_own_expect_super_to_work(self, default_layer: FakeLayer) -> None:
        class Shouting(WebsocketConsumer):
            @classmethod
            def group_send(cls, name: str, text: str, **kwargs: Any) -> None:  # type: ignore[override]
                super().group_send(name, text.upper(), **kwargs)

        Shouting.group_send("room", "a")
        assert default_layer.replies.delivered == [("room", {"text": "A"})]


class TestGroups:
    def test_given_groups_expect_them_joined_before_connect_and_left_before_disconnect(self) -> None:
        """Item 183."""

        class Grouped(WebsocketConsumer):
            def connection_groups(self, **kwargs: Any) -> list[str]:
                return [f"room-{kwargs['room']}", "all"]

            def connect(self, message: Message, **kwargs: Any) -> None:
                seen.append(members(message))

            disconnect = connect

        def members(message: Message) -> list[list[str]]:
            return [Group(name, channel_layer=message.channel_layer).channels() for name in ("room-a", "all")]

        Grouped(connect_message(), room="a")
        message = disconnect_message()
        for name in ("room-a", "all"):
            Group(name, channel_layer=message.channel_layer).add(REPLY)
        Grouped(message, room="a")
        assert seen == [[[REPLY], [REPLY]], [[], []]]

    def test_given_the_attribute_expect_the_same(self) -> None:
        """Item 183."""
        message = connect_message()
        type("Listed", (WebsocketConsumer,), {"groups": ["all"]})(message)
        assert Group("all", channel_layer=message.channel_layer).channels() == [REPLY]

    def test_given_a_name_instead_of_a_list_expect_a_type_error(self) -> None:
        consumer = type("Wrong", (WebsocketConsumer,), {"groups": "all"})
        with pytest.raises(TypeError, match=r"write \['all'\]"):
            consumer(connect_message())


@pytest.mark.django_db
class TestUsers:
    @pytest.fixture
    def cookie(self) -> str:
        client = Client()
        client.force_login(User.objects.create_user("ann"))
        return str(client.session.session_key)

    def consumer(self, **flags: Any) -> Any:
        def watch(self: Any, message: Any = None, **kwargs: Any) -> None:
            seen.append((self.message.user.username, self.message.http_session is not None))

        return type("Users", (WebsocketConsumer,), {"connect": watch, "receive": watch, **flags})

    def test_given_http_user_expect_it_on_every_message(self, cookie: str) -> None:
        """Item 186: the browser's on connect, the connection's later."""
        consumer = self.consumer(http_user=True)
        consumer(connect_message(cookie=cookie))
        consumer(receive_message())
        assert seen == [("ann", True), ("ann", False)]
        assert "_auth_user_id" in session_for_reply_channel(REPLY)
        assert consumer.channel_session_user is False, "the class stays as it was"

    def test_given_http_user_and_session_expect_both_on_every_message(self, cookie: str) -> None:
        """Item 186."""
        consumer = self.consumer(http_user_and_session=True)
        consumer(connect_message(cookie=cookie))
        consumer(receive_message())
        assert seen == [("ann", True), ("ann", True)]

    def test_given_nobody_expect_nobody(self) -> None:
        self.consumer(http_user=True)(connect_message())
        assert seen == [(AnonymousUser().username, False)]


@pytest.mark.parametrize(
    ("flags", "slight"),
    [
        ({"strict_ordering": True}, False),
        ({"slight_ordering": True}, True),
        ({"strict_ordering": True, "slight_ordering": True}, False),
        ({}, None),
    ],
)
def test_given_an_ordering_flag_expect_the_decorator_around_all(
    flags: dict[str, bool], slight: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items 164 and 187, and item 2: slight ordering is there again."""

    def enforce_ordering(func: Any, slight: bool) -> Any:
        def ordered(message: Any, **kwargs: Any) -> None:
            seen.append(slight)
            func(message, **kwargs)

        return ordered

    ordering: Any = type("ordering", (), {"enforce_ordering": staticmethod(enforce_ordering)})
    monkeypatch.setattr(sessions, "import_module", {"channelcelery.ordering": ordering}.__getitem__)
    type("Ordered", (Watching,), flags)(receive_message("a"))
    assert seen == ([] if slight is None else [slight]) + [("receive", "a", None, "/", {})]


class Echo(JsonWebsocketConsumer):
    def receive(self, content: Any, **kwargs: Any) -> None:
        seen.append((content, kwargs))
        self.send(content)


class TestJsonWebsocketConsumer:
    def test_given_json_expect_it_decoded_and_answers_encoded(self) -> None:
        """Item 188."""
        message = receive_message('{"a": [1, null]}')
        consumer = Echo(message, n="1")
        consumer.send({"b": 2}, close=True)
        consumer.send([3], 4000)
        assert seen == [({"a": [1, None]}, {"n": "1"})]
        first, second, third = replies(message)
        assert json.loads(first["text"]) == {"a": [1, None]}
        assert (json.loads(second["text"]), second["close"]) == ({"b": 2}, True)
        assert (json.loads(third["text"]), third["close"]) == ([3], 4000)

    @pytest.mark.parametrize("content", [{"bytes": b"{}"}, {"bytes": b"{}", "text": None}])
    def test_given_bytes_expect_a_value_error(self, content: dict[str, Any]) -> None:
        """Item 188."""
        with pytest.raises(ValueError, match="No text section"):
            Echo(make_message("websocket.receive", reply_channel=REPLY, path="/", **content))

    def test_given_no_json_expect_the_decoder_s_error(self) -> None:
        """Item 188."""
        with pytest.raises(json.JSONDecodeError):
            Echo(receive_message("{"))

    def test_given_a_coding_of_one_s_own_expect_it_everywhere(self, default_layer: FakeLayer) -> None:
        """Item 188: class methods, used by group_send too."""

        class Reversed(Echo):
            @classmethod
            def decode_json(cls, text: str) -> Any:
                return json.loads(text[::-1])

            @classmethod
            def encode_json(cls, content: Any) -> str:
                return json.dumps(content)[::-1]

        message = receive_message("]21[")
        Reversed(message)
        Reversed.group_send("room", {"a": 12})
        Reversed.group_send("room", [], True)
        assert seen == [([12], {})]
        assert replies(message) == [{"text": "]21["}]
        sent = [("room", {"text": '}21 :"a"{'}), ("room", {"text": "][", "close": True})]
        assert default_layer.replies.delivered == sent

    def test_given_a_plain_group_send_expect_it_as_it_is(self) -> None:
        """Item 189: whoever sends it encodes it."""
        message = receive_message("1")
        Group("room", channel_layer=message.channel_layer).send({"text": "plain"})
        assert message.channel_layer.replies.delivered == [("room", {"text": "plain"})]
