"""Test cases with layers of their own, and the client (items 209 to 212, 218, and defect 21 of 1.1.8)."""

import unittest
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from channelcelery import Channel, Group, channel_layers, route, route_class
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.names import is_reply_channel, reply_address
from channelcelery.exceptions import (
    ChannelFull,
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    InvalidName,
    WebsocketCloseException,
)
from channelcelery.generic import BaseConsumer
from channelcelery.layers.memory import InMemoryChannelLayer
from channelcelery.message import Message
from channelcelery.routing import Router
from channelcelery.signals import consumer_finished, consumer_started
from channelcelery.test import ChannelTestCase, Client, TransactionChannelTestCase, apply_routes
from channelcelery.test.layer import ReadableLayer

MEMORY = "channelcelery.layers.InMemoryChannelLayer"


def answer(message: Message, **kwargs: Any) -> str:
    """Reply, and return something, which only tests see."""
    message.reply_channel.send({"text": "answer"})  # type: ignore[union-attr]
    return "returned"


def result_of(case: TestCase) -> unittest.TestResult:
    """Run a case as Django's runner does."""
    result = unittest.TestResult()
    case(result)
    assert result.testsRun <= 1
    return result


class TestTheLayers(ChannelTestCase):
    """Item 210: each test has fresh layers."""

    def setUp(self) -> None:
        """Without calling that of Django: it must not be needed (item 210)."""

    def _fill(self) -> None:
        assert self.get_next_message("things") is None
        Channel("things").send({"left": "behind"})
        Group("all").add("things")
        assert Group("all").channels() == ["things"]

    def test_nothing_is_left_for_the_next_test_1(self) -> None:
        assert Group("all").channels() == []
        self._fill()

    def test_nothing_is_left_for_the_next_test_2(self) -> None:
        assert Group("all").channels() == []
        self._fill()

    def test_it_is_a_layer_in_memory(self) -> None:
        layer = channel_layers["default"]
        assert isinstance(layer, ReadableLayer)
        assert isinstance(layer, InMemoryChannelLayer)
        assert layer.local_only()
        assert str(layer).startswith("default (channelcelery.test.")

    def test_expired_messages_do_not_come(self) -> None:
        layer = channel_layers["default"]
        assert isinstance(layer, ReadableLayer)
        layer.queues.put_back("things", [encode_item(encode_content({"n": 1}, 100), 1)])
        Channel("things").send({"n": 2})
        message = self.get_next_message("things", require=True)
        assert message.content == {"n": 2}

    def test_receive_as_layers_of_1_x_had_it(self) -> None:
        """Item 49."""
        layer = channel_layers["default"]
        assert isinstance(layer, ReadableLayer)
        Channel("second").send({"n": 1})
        assert layer.receive(["first", "second"]) == ("second", {"n": 1})
        assert layer.receive_many(["first", "second"], block=False) == (None, None)

    def test_flush_leaves_nothing(self) -> None:
        """Item 50."""
        layer, client = channel_layers["default"], Client()
        assert isinstance(layer, ReadableLayer)
        client.join_group("all")
        Channel("things").send({})
        Group("all").send({"text": "a"})
        assert client.receive() == {"text": "a"}
        Group("all").send({"text": "b"})
        layer.flush()
        assert self.get_next_message("things") is None
        assert client.receive() is None
        assert Group("all").channels() == []
        other = Client()
        other.join_group("all")
        Group("all").send({"text": "c"})
        assert client.receive() is None
        assert other.receive() == {"text": "c"}


def test_the_project_s_layer_is_back_afterwards() -> None:
    before = channel_layers["default"]
    assert not isinstance(before, ReadableLayer)
    with pytest.raises(TypeError, match="inherit from ChannelTestCase"):
        Client().receive()


def test_the_classes_of_django() -> None:
    assert issubclass(ChannelTestCase, TestCase)
    assert issubclass(TransactionChannelTestCase, TransactionTestCase)
    assert not issubclass(TransactionChannelTestCase, TestCase)


class TestTransactions(TransactionChannelTestCase):
    """The same, without a transaction around each test."""

    def test_messages_come(self) -> None:
        Channel("things").send({"n": 1})
        assert self.get_next_message("things", require=True)["n"] == 1


LAYERS = {
    "default": {"BACKEND": MEMORY, "CONFIG": {"prefix": "a:", "capacity": 5}, "TEST_CONFIG": {"capacity": 1}},
    "other": {
        "BACKEND": "channelcelery.layers.RedisChannelLayer",
        "CONFIG": {"prefix": "b:", "capacity": 2, "hosts": ["redis://127.0.0.1:1/0"]},
    },
    "untouched": {"BACKEND": MEMORY, "CONFIG": {"prefix": "c:"}},
}


@override_settings(CHANNEL_LAYERS=LAYERS)
class TestSeveralLayers(ChannelTestCase):
    """Items 42, 48 and 210: the aliases named, with TEST_CONFIG where there is one."""

    test_channel_aliases = ["default", "other"]

    def test_each_has_its_own(self) -> None:
        Channel("things", alias="other").send({"n": 1})
        assert self.get_next_message("things") is None
        assert self.get_next_message("things", "default") is None
        message = self.get_next_message("things", "other", True)
        assert message
        assert message.channel_layer is channel_layers["other"]

    def test_test_config_counts_rather_than_config(self) -> None:
        Channel("things").send({})
        with pytest.raises(ChannelFull):
            Channel("things").send({})

    def test_without_one_config_counts(self) -> None:
        Channel("things", alias="other").send({})
        Channel("things", alias="other").send({})
        with pytest.raises(ChannelFull):
            Channel("things", alias="other").send({})

    def test_clients_of_either(self) -> None:
        for alias in ("default", "other"):
            client = Client(alias)
            client.join_group("all")
            Group("all", alias=alias).send({"text": alias})
            assert client.receive() == {"text": alias}
            assert client.receive() is None

    def test_layers_that_are_not_named_stay(self) -> None:
        assert not isinstance(channel_layers["untouched"], ReadableLayer)
        with pytest.raises(TypeError, match="'untouched' in test_channel_aliases"):
            self.get_next_message("things", "untouched")


class TestGetNextMessage(ChannelTestCase):
    """Item 211."""

    def test_none_if_there_is_none(self) -> None:
        assert self.get_next_message("things") is None
        assert self.get_next_message("things", alias="default", require=False) is None

    def test_required_and_missing_fails_the_test(self) -> None:
        with pytest.raises(self.failureException, match="Expected a message on channel things, got none"):
            self.get_next_message("things", require=True)

    def test_in_order_and_once(self) -> None:
        for number in range(3):
            Channel("things").send({"n": number, "reply_channel": "test-reply"})
        messages = [self.get_next_message("things", require=True) for _ in range(3)]
        assert [message["n"] for message in messages] == [0, 1, 2]
        assert str(messages[0].reply_channel) == "test-reply"
        assert messages[0].channel.name == "things"
        assert self.get_next_message("things") is None

    def test_a_delayed_message_when_it_is_due(self) -> None:
        from tests.processes import wait_until

        Channel("things").send({"n": 1}, delay=30)
        assert self.get_next_message("things") is None
        message = wait_until(lambda: self.get_next_message("things"), what="the delayed message")
        assert message["n"] == 1


class TestClient(ChannelTestCase):
    """Item 212."""

    def test_the_reply_channel_is_one_as_interface_processes_make_them(self) -> None:
        """Defect 21 of 1.1.8: without a "!" tests did not exercise reply channels."""
        client = Client()
        assert client.reply_channel.startswith("websocket.send!")
        assert is_reply_channel(client.reply_channel)
        assert len(reply_address(client.reply_channel).token) == 32
        assert Client().reply_channel != client.reply_channel

    def test_send_adds_the_reply_channel(self) -> None:
        client, content = Client(), {"k": {"deep": 1}}
        client.send("things", content)
        assert content == {"k": {"deep": 1}}
        message = self.get_next_message("things", require=True)
        assert message.content == {"k": {"deep": 1}, "reply_channel": client.reply_channel}
        client.send("things")
        client.send("things", {"reply_channel": "mine"})
        assert self.get_next_message("things", require=True)["reply_channel"] == client.reply_channel
        assert self.get_next_message("things", require=True)["reply_channel"] == "mine"

    def test_consume_returns_what_the_consumer_returned(self) -> None:
        client = Client()
        with apply_routes([route("things", answer)]):
            client.send("things")
            assert client.consume("things") == "returned"
            assert client.receive() == {"text": "answer"}
            assert client.receive() is None
            assert client.send_and_consume("things", {"a": 1}) == "returned"

    def test_async_consumers(self) -> None:
        async def consumer(message: Message) -> int:
            message.reply_channel.send({"text": "async"})  # type: ignore[union-attr]
            return 5

        client = Client()
        with apply_routes(route("things", consumer)):
            assert client.send_and_consume("things") == 5
            assert client.receive() == {"text": "async"}

    def test_without_a_message(self) -> None:
        client = Client()
        with pytest.raises(AssertionError, match="No message for channel things"):
            client.consume("things")
        assert client.consume("things", fail_on_none=False) is None

    def test_without_a_consumer(self) -> None:
        """Expect the defaults that workers have for sockets to count for nothing here."""
        client = Client()
        for channel in ("things", "websocket.connect", "websocket.receive"):
            with pytest.raises(AssertionError, match="Can't find consumer for message"):
                client.send_and_consume(channel, {"path": "/misspelled/"})
            assert client.send_and_consume(channel, {"path": "/"}, fail_on_none=False) is None
        with apply_routes([route("things", answer, path="^/right/$")]), pytest.raises(AssertionError):
            client.send_and_consume("things", {"path": "/wrong/"})

    def test_get_consumer_by_channel(self) -> None:
        client = Client()
        with apply_routes([route("things", answer), route("filtered", answer, path="/")]):
            assert client.get_consumer_by_channel("things") is answer
            assert client.get_consumer_by_channel("filtered") is None
            assert client.get_consumer_by_channel("others") is None

    def test_routing_is_the_project_s(self) -> None:
        entry = {"BACKEND": MEMORY, "ROUTING": {"things": "tests.unit.test.test_test_case.answer"}}
        with self.settings(CHANNEL_LAYERS={"default": entry}):

            class Case(ChannelTestCase):
                def runTest(self) -> None:
                    client = Client()
                    assert client.send_and_consume("things") == "returned"
                    assert "things" in client.channel_layer.router.channels
                    assert client.channel_layer.routing == entry["ROUTING"]

            assert result_of(Case()).wasSuccessful()

    def test_class_based_consumers_are_returned(self) -> None:
        class Consumers(BaseConsumer):
            method_mapping = {"test.create": "create"}

            def create(self, message: Message, **kwargs: Any) -> None:
                self.called = "create"

        with apply_routes([route_class(Consumers)]):
            client = Client()
            assert client.send_and_consume("test.create").called == "create"
            client.send("test.wrong")
            message = self.get_next_message("test.wrong", require=True)
            assert client.channel_layer.router.match(message) is None

    def test_what_a_consumer_sends_leaves_when_it_has_ended(self) -> None:
        """Item 36, and immediately (item 39)."""
        seen = []

        def consumer(message: Message) -> None:
            Channel("later").send({"n": 1})
            Channel("at-once").send({"n": 2}, immediately=True)
            seen.extend([self.get_next_message("later"), self.get_next_message("at-once")])

        with apply_routes([route("things", consumer)]):
            Client().send_and_consume("things")
        assert seen[0] is None
        assert seen[1]["n"] == 2
        assert self.get_next_message("later", require=True)["n"] == 1

    def test_exceptions_are_the_test_s_and_sends_leave_all_the_same(self) -> None:
        class Broken(Exception):
            pass

        for error in (Broken, ConsumeLater, DenyConnection):

            def consumer(message: Message, error: type[Exception] = error) -> None:
                Channel("later").send({"n": 1})
                raise error

            with apply_routes([route("websocket.connect", consumer)]), pytest.raises(error):
                Client().send_and_consume("websocket.connect")
            assert self.get_next_message("later", require=True)["n"] == 1

    def test_channel_socket_exceptions_act(self) -> None:
        class Apology(ChannelSocketException):
            def run(self, message: Message) -> None:
                message.reply_channel.send({"text": "sorry"})  # type: ignore[union-attr]

        def apologise(message: Message) -> None:
            raise Apology

        def close(message: Message) -> None:
            raise WebsocketCloseException(3001)

        client = Client()
        with apply_routes([route("things", apologise), route("websocket.receive", close)]):
            assert client.send_and_consume("things") is None
            assert client.receive() == {"text": "sorry"}
            client.send_and_consume("websocket.receive")
            assert client.receive() == {"close": 3001}

    def test_room_that_is_lacking_is_an_error(self) -> None:
        layer = channel_layers["default"]

        def consumer(message: Message) -> None:
            for _ in range(layer.config.capacity + 1):
                Channel("later").send({})

        with apply_routes([route("things", consumer)]), pytest.raises(ChannelFull, match="later"):
            Client().send_and_consume("things")

    def test_signals(self) -> None:
        """Items 85 and 86: sent around the consumer, after errors too, with the client's class as the sender."""
        order: list[Any] = []

        def started(sender: Any, environ: dict[str, Any], **kwargs: Any) -> None:
            order.append(("started", sender, environ))

        def finished(sender: Any, **kwargs: Any) -> None:
            order.append(("finished", sender))

        def consumer(message: Message) -> None:
            order.append("consumer")
            raise RuntimeError

        consumer_started.connect(started)
        consumer_finished.connect(finished)
        try:
            with apply_routes([route("things", consumer)]), pytest.raises(RuntimeError):
                Client().send_and_consume("things")
        finally:
            consumer_started.disconnect(started)
            consumer_finished.disconnect(finished)
        assert order == [("started", Client, {}), "consumer", ("finished", Client)]

    def test_the_database_s_connection_stays_open(self) -> None:
        """Item 218: the test's transaction is on it, and what the consumer wrote is there."""

        def consumer(message: Message) -> None:
            get_user_model().objects.create(username="ann")

        connection.close_at = 0.0  # as if CONN_MAX_AGE were over
        try:
            with apply_routes([route("things", consumer)]):
                Client().send_and_consume("things")
            assert connection.connection is not None
            assert get_user_model().objects.filter(username="ann").exists()
        finally:
            connection.close_at = None


class TestHttp(ChannelTestCase):
    """Requests as messages (items 92 and 96)."""

    def test_a_consumer_that_answers_by_hand(self) -> None:
        def consumer(message: Message) -> None:
            message.reply_channel.send({"status": 200, "content": message["method"].encode(), "more_content": True})  # type: ignore[union-attr]
            message.reply_channel.send({"content": b"", "more_content": False})  # type: ignore[union-attr]

        client = Client()
        with apply_routes(route("http.request", consumer, method="^GET$")):
            client.send_and_consume("http.request", {"method": "GET", "path": "/"})
        assert client.receive() == {"status": 200, "content": b"GET", "more_content": True}
        assert client.receive() == {"content": b"", "more_content": False}

    def test_the_views_get_what_no_route_is_for(self) -> None:
        """Item 75: as in a worker, but not where `apply_routes` says who gets what."""
        views = Router([route("http.request", answer)])
        client = Client()
        with patch("channelcelery.test.layer.get_router", return_value=views):
            assert client.send_and_consume("http.request", {"path": "/"}) == "returned"
            with apply_routes([]), pytest.raises(AssertionError, match="find consumer"):
                client.send_and_consume("http.request", {"path": "/"})


class TestGroups(ChannelTestCase):
    """Groups and replies travel through an inbox, in order, as everywhere."""

    def test_join_and_leave_count_in_order(self) -> None:
        client, other = Client(), Client()
        Group("all").send({"text": "before"})
        client.join_group("all")
        other.join_group("all")
        Group("all").send({"text": "one"})
        Group("all").discard(client.reply_channel)
        Group("all").send({"text": "two"})
        Channel(client.reply_channel).send({"text": "three"})
        assert [client.receive() for _ in range(3)] == [{"text": "one"}, {"text": "three"}, None]
        assert [other.receive() for _ in range(3)] == [{"text": "one"}, {"text": "two"}, None]

    def test_members_share_no_content(self) -> None:
        first, second = Client(), Client()
        first.join_group("all")
        second.join_group("all")
        Group("all").send({"text": "one"})
        received = first.receive()
        received["text"] = "changed"
        assert second.receive() == {"text": "one"}

    def test_normal_channels_in_groups(self) -> None:
        """Item 32."""
        Group("all").add("things")
        Group("all").send({"n": 1}, immediately=True)
        assert self.get_next_message("things", require=True).content == {"n": 1}

    def test_reply_channels_of_others_cannot_be_read(self) -> None:
        with pytest.raises(InvalidName, match="own clients"):
            self.get_next_message("websocket.send!somebody.else")

    def test_a_client_outlives_the_layer(self) -> None:
        """Expect a client made before the test began, in `setUpClass` say, to work."""
        client = Client()
        with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY}}):

            class Case(ChannelTestCase):
                def runTest(self) -> None:
                    Channel(client.reply_channel).send({"text": "here"})
                    assert client.receive() == {"text": "here"}

            assert result_of(Case()).wasSuccessful()


class TestWithoutLayers(SimpleTestCase):
    """A wrong alias is an error that names it (item 44), and leaves nothing half done."""

    databases = {"default"}

    def test_unknown_alias(self) -> None:
        class Case(ChannelTestCase):
            test_channel_aliases = ["default", "unknown"]

            def runTest(self) -> None:
                raise AssertionError("the test must not run")

        before = channel_layers["default"]
        result = result_of(Case())
        assert len(result.errors) == 1
        assert "CHANNEL_LAYERS has no 'unknown'" in result.errors[0][1]
        assert channel_layers["default"] is before
