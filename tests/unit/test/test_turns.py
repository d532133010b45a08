"""Consumers that want order, in a test case (items 155 to 172 and 215)."""

from typing import Any

import pytest

from channelcelery import route, route_class
from channelcelery.generic.websockets import WebsocketConsumer
from channelcelery.sessions import enforce_ordering
from channelcelery.test import ChannelTestCase, Client, WSClient, apply_routes


@enforce_ordering
def strict(message: Any) -> int:
    return int(message["order"])


@enforce_ordering(slight=True)
def slight(message: Any) -> int:
    return int(message["order"])


class TestStrict(ChannelTestCase):
    """Items 157, 158 and 215: one after another, by number."""

    def test_in_order(self) -> None:
        @enforce_ordering
        def consumer(message: Any) -> None:
            message.reply_channel.send({"text": message["text"]})

        client = WSClient(ordered=True)
        with apply_routes(route("websocket.receive", consumer)):
            for text in ("1", "2", "3"):
                client.send_and_consume("websocket.receive", text=text)
        assert [client.receive() for _ in range(4)] == [1, 2, 3, None]

    def test_early_ones_run_when_those_before_them_have(self) -> None:
        client = Client()
        with apply_routes(route("things", strict)):
            for order in (2, 1, 0):
                client.send("things", {"order": order})
            assert client.consume("things") is None
            assert client.consume("things") is None
            assert [client.consume("things") for _ in range(3)] == [0, 1, 2]
            assert client.consume("things", fail_on_none=False) is None

    def test_classes(self) -> None:
        class Ordered(WebsocketConsumer):
            strict_ordering = True

            def connect(self, message: Any, **kwargs: Any) -> None:
                self.order = message["order"]

        client = Client()
        with apply_routes([route_class(Ordered, path="/path")]):
            client.send("websocket.connect", {"path": "/path", "order": 1})
            client.send("websocket.connect", {"path": "/path", "order": 0})
            client.consume("websocket.connect")
            assert client.consume("websocket.connect").order == 0
            assert client.consume("websocket.connect").order == 1

    def test_an_undecorated_connect(self) -> None:
        """Defect 5 of 1.1.8: nothing ever ran after it."""
        client = WSClient(ordered=True)
        with apply_routes([route("websocket.connect", print), route("things", strict)]):
            client.send("websocket.connect")
            client.send("things")
            assert client.consume("things") is None
            client.consume("websocket.connect")
            assert client.consume("things") == 1
            assert client.send_and_consume("things") == 2

    def test_after_an_error_the_next_one_runs(self) -> None:
        """Defect 4 of 1.1.8."""

        @enforce_ordering
        def consumer(message: Any) -> int:
            if message["order"] == 0:
                raise RuntimeError
            return strict(message)  # type: ignore[no-any-return]

        client = WSClient(ordered=True)
        with apply_routes(route("things", consumer)):
            with pytest.raises(RuntimeError):
                client.send_and_consume("things")
            assert client.send_and_consume("things") == 1

    def test_later_early_ones_too(self) -> None:
        client = Client()
        with apply_routes(route("things", strict)):
            assert client.send_and_consume("things", {"order": 0}) == 0
            for order in (3, 2, 1):
                client.send("things", {"order": order})
            assert [client.consume("things") for _ in range(5)] == [None, None, 1, 2, 3]

    def test_a_disconnect_without_a_number_runs(self) -> None:
        """As one does that is sent for a dead interface process."""

        @enforce_ordering
        def consumer(message: Any) -> str:
            return "ran"

        with apply_routes(route("websocket.disconnect", consumer)):
            assert Client().send_and_consume("websocket.disconnect") == "ran"

    def test_a_late_duplicate_is_dropped(self) -> None:
        """Item 162."""
        client = Client()
        with apply_routes(route("things", strict)):
            assert client.send_and_consume("things", {"order": 0}) == 0
            assert client.send_and_consume("things", {"order": 0}) is None

    def test_clients_have_orders_of_their_own(self) -> None:
        """Item 166."""
        with apply_routes(route("things", strict)):
            assert [Client().send_and_consume("things", {"order": 0}) for _ in range(2)] == [0, 0]

    def test_without_a_number(self) -> None:
        """Item 156."""
        with apply_routes(route("things", strict)), pytest.raises(ValueError, match="order"):
            Client().send_and_consume("things")

    def test_too_many_close_the_socket(self) -> None:
        client = Client()
        with apply_routes(route("things", strict)):
            assert client.send_and_consume("things", {"order": 0}) == 0
            for order in range(2, 103):
                assert client.send_and_consume("things", {"order": order}) is None
        assert client.receive() == {"close": 1013}


class TestSlight(ChannelTestCase):
    """Number 0 first, then any (item 172)."""

    def test_number_0_first(self) -> None:
        client = Client()
        with apply_routes(route("things", slight)):
            for order in (3, 0, 2, 1):
                client.send("things", {"order": order})
            assert client.consume("things") is None
            assert client.consume("things") == 0
            assert sorted(client.consume("things") for _ in range(3)) == [1, 2, 3]
