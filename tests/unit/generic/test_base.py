"""`BaseConsumer` (Channels 1.x, items 178 to 181)."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser

from channelcelery.generic import BaseConsumer
from channelcelery.message import Message
from channelcelery.routing import Router
from channelcelery.sessions import session_for_reply_channel
from tests.fakes import make_message
from tests.unit.sockets import REPLY, receive_message

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


class Counting(BaseConsumer):
    method_mapping = {"test.one": "one", "test.two": "two"}

    def one(self, message: Message, **kwargs: Any) -> None:
        seen.append(("one", self, self.message is message, self.kwargs, kwargs))

    async def two(self, message: Message, **kwargs: Any) -> None:
        seen.append(("two", self, self.message is message, self.kwargs, kwargs))


def test_given_a_message_expect_an_instance_that_ran_the_method() -> None:
    """Item 178; and methods may be `async def`."""
    first = Counting(make_message("test.one"), n="1")
    second = Counting(make_message("test.two"))
    assert seen == [("one", first, True, {"n": "1"}, {"n": "1"}), ("two", second, True, {}, {})]


def test_given_a_class_expect_its_channels() -> None:
    """Item 179."""

    class More(Counting):
        @classmethod
        def channel_names(cls) -> set[str]:
            return {*super().channel_names(), "test.three"}

    assert Counting.channel_names() == {"test.one", "test.two"}
    assert More.as_route().channel_names() == {"test.one", "test.two", "test.three"}


def test_given_get_handler_and_dispatch_expect_both_overridable() -> None:
    """Item 179: decorators are added in get_handler."""

    class Wrapped(Counting):
        def get_handler(self, message: Message, **kwargs: Any) -> Callable[..., Any]:
            handler = super().get_handler(message, **kwargs)

            def wrapped(message: Message, **kwargs: Any) -> None:
                seen.append("before")
                handler(message, **kwargs)

            return wrapped

        def dispatch(self, message: Message, **kwargs: Any) -> Any:
            seen.append("dispatch")
            return super().dispatch(message, **kwargs)

    Wrapped(make_message("test.one"))
    assert seen[:2] == ["dispatch", "before"]
    assert seen[2][0] == "one"


@pytest.mark.django_db
class TestFlags:
    def test_given_channel_session_expect_it(self) -> None:
        """Item 180."""

        class Consumer(BaseConsumer):
            method_mapping = {"websocket.receive": "receive"}
            channel_session = True

            def receive(self, message: Any) -> None:
                self.message.channel_session["a"] = 1

        Consumer(receive_message())
        assert session_for_reply_channel(REPLY)["a"] == 1

    def test_given_channel_session_user_expect_both(self) -> None:
        """Item 180."""

        class Consumer(BaseConsumer):
            method_mapping = {"websocket.receive": "receive"}
            channel_session_user = True

            def receive(self, message: Any) -> None:
                seen.append((self.message.user, len(self.message.channel_session.keys())))

        Consumer(receive_message())
        assert seen == [(AnonymousUser(), 0)]


class TestAsRoute:
    def test_given_filters_expect_a_route_to_the_class(self) -> None:
        """Item 181."""
        route = Counting.as_route(path=r"^/(?P<n>\d+)$")
        assert route.consumer is Counting
        found = Router([route]).match(make_message("test.one", path="/5"))
        assert found == (Counting, {"n": "5"})
        assert Router([route]).match(make_message("test.one", path="/x")) is None

    def test_given_attributes_expect_a_subclass_with_them(self) -> None:
        """Item 181; a route's name in logs stays that of the class."""
        route = Counting.as_route(attrs={"method_mapping": {"test.one": "two"}, "extra": 1}, path="^/$")
        made: Any = route.consumer
        assert issubclass(made, Counting)
        assert made.extra == 1
        assert route.channel_names() == {"test.one"}
        assert str(route) == "test.one (path=^/$) -> tests.unit.generic.test_base.Counting"
        made(make_message("test.one"))
        assert seen[0][0] == "two"
        assert not hasattr(Counting, "extra")
        assert Counting.as_route({}).consumer is Counting

    def test_given_attributes_that_are_no_dict_expect_an_assertion_error(self) -> None:
        """Item 181."""
        with pytest.raises(AssertionError, match="attrs must be a dict"):
            Counting.as_route(attrs="path")  # type: ignore[arg-type]
