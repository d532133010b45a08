"""Handshakes: answered always, and by the worker only where the consumer did not (section 0, item 1)."""

from collections.abc import Callable
from typing import Any

import pytest

from channelcelery.channel import Channel, Group
from channelcelery.exceptions import BrokerUnavailable, DenyConnection, WebsocketCloseException
from channelcelery.message import Message
from channelcelery.routing import route
from tests.fakes import FakeLayer
from tests.unit.worker.jobs import REPLY, counted, job
from tests.unit.worker.test_forward import Recorder

Consumer = Callable[..., Any]


def nothing(message: Message) -> None: ...


def failing(message: Message) -> None:
    raise RuntimeError("on purpose")


class TestHandshake:
    """A handshake is always answered, and by the worker only where the consumer did not (section 0, item 1)."""

    @pytest.fixture
    def connect(self, routed: Callable[..., None], layer: FakeLayer) -> Callable[..., list[dict[str, Any]]]:
        """Run a connect consumer, and return what its socket got."""

        def run(consumer: Consumer, **content: Any) -> list[dict[str, Any]]:
            routed(route("websocket.connect", consumer))
            job({"reply_channel": REPLY, **content}, channel="websocket.connect")
            return [content for name, content in layer.replies.delivered if name == REPLY]

        return run

    def test_given_a_consumer_that_sent_nothing_expect_accept(self, connect: Any) -> None:
        """Item 1."""
        assert connect(nothing) == [{"accept": True}]

    def test_given_a_consumer_that_raised_expect_the_socket_refused_at_once(self, connect: Any) -> None:
        """Item 1."""
        assert connect(failing) == [{"close": True}]

    def test_given_a_setting_against_it_expect_no_answer(
        self, connect: Any, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Item 1."""
        monkeypatch.setattr(layer, "config", FakeLayer(implicit_accept=False).config)
        assert connect(nothing) == []

    @pytest.mark.parametrize("immediately", [False, True])
    @pytest.mark.parametrize("answer", [{"accept": True}, {"close": 4001}, {"accept": False}, {"text": "hello"}])
    @pytest.mark.parametrize("raises", [False, True])
    def test_given_an_explicit_answer_expect_no_other(
        self, connect: Any, answer: dict[str, Any], immediately: bool, raises: bool
    ) -> None:
        """Item 1."""

        def consumer(message: Message) -> None:
            assert message.reply_channel is not None
            message.reply_channel.send(answer, immediately=immediately)
            if raises:
                raise RuntimeError("on purpose")

        assert connect(consumer) == [answer]

    def test_given_an_accept_beside_a_reliable_message_that_is_not_kept_expect_the_socket_refused(
        self, connect: Any, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Item 1: the consumer failed, nothing of it left, and its client is not to wait for nothing."""
        monkeypatch.setattr(layer, "config", FakeLayer(reliable_channels=["orders"]).config)
        layer.make_reliable = lambda config: Recorder(BrokerUnavailable("on purpose"))

        def consumer(message: Message) -> None:
            assert message.reply_channel is not None
            message.reply_channel.send({"accept": True})
            Channel("orders", channel_layer=layer).send({"n": 1})

        assert connect(consumer) == [{"close": True}]

    def test_given_an_answer_through_a_channel_of_the_same_name_expect_no_other(self, connect: Any) -> None:
        assert connect(lambda message: Channel(message["reply_channel"]).send({"close": True})) == [{"close": True}]

    def test_given_sends_to_others_only_expect_accept_after_them(self, connect: Any, layer: FakeLayer) -> None:
        def consumer(message: Message) -> None:
            Group("room").send({"text": "someone came"})
            Channel("websocket.send!node.other").send({"text": "a"})

        assert connect(consumer) == [{"accept": True}]
        assert [name for name, _ in layer.replies.delivered] == ["room", "websocket.send!node.other", REPLY]

    def test_given_deny_connection_expect_it_refused(self, connect: Any) -> None:
        """Item 81."""

        def consumer(message: Message) -> None:
            raise DenyConnection

        assert connect(consumer) == [{"close": True}]

    def test_given_deny_connection_after_an_accept_expect_both_in_order(self, connect: Any) -> None:
        def consumer(message: Message) -> None:
            assert message.reply_channel is not None
            message.reply_channel.send({"accept": True})
            raise DenyConnection

        assert connect(consumer) == [{"accept": True}, {"close": True}]

    @pytest.mark.parametrize(("code", "close"), [(None, True), (4001, 4001)])
    def test_given_a_close_exception_expect_its_code_and_nothing_else(
        self, connect: Any, code: int | None, close: object
    ) -> None:
        """Item 83, and defect 2."""

        def consumer(message: Message) -> None:
            raise WebsocketCloseException(code)

        assert connect(consumer) == [{"close": close}]

    def test_given_no_route_for_the_path_expect_the_default_to_accept(self, connect: Any, layer: FakeLayer) -> None:
        """Item 75."""
        job({"reply_channel": REPLY, "path": "/nowhere"}, channel="websocket.connect")
        assert layer.replies.delivered == [(REPLY, {"accept": True})]

    @pytest.mark.parametrize("consumer", [nothing, failing])
    @pytest.mark.parametrize("reply", [None, "", "websocket.send!forged", "a?b", "chat"])
    def test_given_a_reply_channel_that_no_interface_made_expect_the_job_to_end_well(
        self, connect: Any, reply: str | None, consumer: Consumer
    ) -> None:
        assert connect(consumer, reply_channel=reply) == []

    def test_given_it_denied_with_nobody_to_tell_expect_the_job_to_end_well(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        def consumer(message: Message) -> None:
            raise DenyConnection

        routed(route("websocket.connect", consumer))
        assert counted(job({}, {"reply_channel": "websocket.send!forged"}, channel="websocket.connect")) == (1, 1, {})
        assert layer.replies.delivered == []

    def test_given_other_channels_expect_no_answer(self, routed: Callable[..., None], layer: FakeLayer) -> None:
        routed(route(["websocket.receive", "websocket.disconnect"], failing))
        for channel in ("websocket.receive", "websocket.disconnect"):
            job({"reply_channel": REPLY}, channel=channel)
        assert layer.replies.delivered == []
