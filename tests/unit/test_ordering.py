"""enforce_ordering as a decorator: what it looks at, and what the worker can see of it (items 155 to 172)."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from channelcelery import sessions
from channelcelery.core.ordering import LAST
from channelcelery.generic import BaseConsumer
from channelcelery.generic.websockets import JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer
from channelcelery.ordering import Ordering, enforce_ordering, message_order, ordering_of
from channelcelery.sessions import channel_session, session_for_reply_channel
from tests.fakes import make_message
from tests.unit.sockets import REPLY, connect_message, disconnect_message, receive_message, run_async

pytestmark = pytest.mark.django_db


@enforce_ordering
def strict(message: Any, **kwargs: Any) -> Any:
    message.channel_session["seen"] = message.channel_session.get("seen", 0) + 1
    return kwargs or "returned"


@enforce_ordering()
def called(message: Any) -> None: ...


@enforce_ordering(slight=True)
def slight(message: Any) -> None: ...


@enforce_ordering
async def asynchronous(message: Any) -> str:
    return str(message["order"])


class TestCalled:
    def test_expect_a_channel_session_and_the_consumer_s_arguments(self) -> None:
        """Items 155 and 169: the numbers are kept elsewhere, so that no data of the session is lost for them."""
        assert strict(connect_message()) == "returned"
        assert strict(receive_message(), room="a") == {"room": "a"}
        assert dict(session_for_reply_channel(REPLY).items()) == {"seen": 2}

    def test_given_messages_in_order_expect_no_write_for_their_numbers(self) -> None:
        """Item 167: it cost a write of the session for each message in 1.x."""
        read_only = enforce_ordering(lambda message: message.channel_session.get("seen"))
        strict(connect_message())
        with CaptureQueriesContext(connection) as queries:
            assert [read_only(receive_message(order=order)) for order in (1, 2, 3)] == [1, 1, 1]
        assert {query["sql"].split()[0] for query in queries} == {"SELECT"}

    def test_given_other_decorators_around_and_inside_expect_one_session(self) -> None:
        """Item 169."""

        @channel_session
        @enforce_ordering
        @channel_session
        def consumer(message: Any) -> None:
            message.channel_session["inside"] = True

        consumer(connect_message())
        assert dict(session_for_reply_channel(REPLY).items()) == {"inside": True}

    def test_given_an_async_function_or_a_method_expect_it_to_work(self) -> None:
        """Items 131 and 155."""

        class Consumers:
            @enforce_ordering
            def method(self, message: Any) -> Any:
                return message.channel_session

        assert run_async(asynchronous, receive_message(order=5)) == "5"
        assert Consumers().method(connect_message()) is not None

    def test_given_no_order_expect_a_value_error(self) -> None:
        """Item 156."""
        with pytest.raises(ValueError, match=r"No `order` value in a message of websocket\.receive"):
            strict(make_message("websocket.receive", reply_channel=REPLY, path="/"))

    def test_given_an_order_that_is_none_expect_a_value_error(self) -> None:
        """Item 168."""
        with pytest.raises(ValueError, match="must be a whole number from 0"):
            strict(receive_message(order="x"))

    def test_given_no_reply_channel_or_no_message_expect_a_value_error(self) -> None:
        """Items 133 and 155."""
        with pytest.raises(ValueError, match="No reply_channel"):
            strict(make_message("jobs", order=0))
        with pytest.raises(ValueError, match="enforce_ordering called without Message instance"):
            strict({"order": 0})

    def test_given_the_disconnect_of_a_dead_interface_process_expect_it_to_run(self) -> None:
        """Item 116: it has no number."""
        message = make_message("websocket.disconnect", reply_channel=REPLY, path="/", code=1006)
        assert message_order(message) == LAST
        assert strict(message) == "returned"

    def test_it_is_the_decorator_of_sessions(self) -> None:
        """Item 155: its home in 1.x."""

        @sessions.enforce_ordering
        def consumer(message: Any) -> None: ...

        assert ordering_of(consumer, "websocket.receive") is Ordering.STRICT
        assert ordering_of(sessions.enforce_ordering(slight=True)(lambda message: None), "x") is Ordering.SLIGHT

    def test_given_text_as_a_number_expect_it_converted(self) -> None:
        """Item 168."""
        assert message_order(receive_message(order="7")) == 7
        assert strict(receive_message(order="7")) == "returned"
        assert message_order(disconnect_message()) == 2


class TestSeen:
    @pytest.mark.parametrize(
        ("consumer", "ordering"),
        [
            (strict, Ordering.STRICT),
            (called, Ordering.STRICT),
            (asynchronous, Ordering.STRICT),
            (slight, Ordering.SLIGHT),
            (channel_session(strict), Ordering.STRICT),
            (functools.partial(strict), None),
            (lambda message: None, None),
            (channel_session(lambda message: None), None),
        ],
    )
    def test_given_a_function_expect_what_it_is_decorated_with(
        self, consumer: Callable[..., Any], ordering: Ordering | None
    ) -> None:
        """Items 155 and 172."""
        assert ordering_of(consumer, "websocket.receive") is ordering

    @pytest.mark.parametrize("base", [WebsocketConsumer, JsonWebsocketConsumer])
    @pytest.mark.parametrize(
        ("flags", "ordering"),
        [
            ({}, None),
            ({"strict_ordering": True}, Ordering.STRICT),
            ({"slight_ordering": True}, Ordering.SLIGHT),
            ({"strict_ordering": True, "slight_ordering": True}, Ordering.STRICT),
        ],
    )
    def test_given_a_class_expect_its_flags(self, base: Any, flags: dict[str, bool], ordering: Ordering | None) -> None:
        """Items 164 and 187."""
        route = base.as_route(flags) if flags else base.as_route()
        for channel in ("websocket.connect", "websocket.receive", "websocket.disconnect"):
            assert ordering_of(route.consumer, channel) is ordering

    def test_given_a_class_with_a_decorated_method_expect_it_for_the_method_s_channel(self) -> None:
        """Item 179."""

        class Consumer(BaseConsumer):
            method_mapping = {"one": "first", "two": "second"}

            @enforce_ordering
            def first(self, message: Any, **kwargs: Any) -> None: ...

            def second(self, message: Any, **kwargs: Any) -> None: ...

        assert ordering_of(Consumer, "one") is Ordering.STRICT
        assert ordering_of(Consumer, "two") is None
        assert ordering_of(Consumer, "three") is None

    @pytest.mark.parametrize(
        ("flags", "ordering"),
        [
            ([{}, {}], None),
            ([{}, {"slight_ordering": True}], Ordering.SLIGHT),
            ([{"slight_ordering": True}, {"strict_ordering": True}], Ordering.STRICT),
            ([{"strict_ordering": True}, {"slight_ordering": True}], Ordering.STRICT),
        ],
    )
    def test_given_streams_that_want_different_orders_expect_the_stricter_for_all(
        self, flags: list[dict[str, bool]], ordering: Ordering | None
    ) -> None:
        """Items 164 and 190: the messages of a socket cannot be told apart by stream before one is read."""
        consumers = {str(number): type("Stream", (JsonWebsocketConsumer,), each) for number, each in enumerate(flags)}
        demultiplexer = type("Demultiplexer", (WebsocketDemultiplexer,), {"consumers": consumers})
        assert ordering_of(demultiplexer, "websocket.receive") is ordering
