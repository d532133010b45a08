"""Which channels are reliable: said by their routes, for the channel as a whole."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from channelcelery.consumers import ConsumerRegistry
from channelcelery.core.reliable import Reliable
from channelcelery.message import Message
from channelcelery.routing import Router, include, make_router, route, route_class


def first(message: Message) -> None: ...


def second(message: Message) -> None: ...


class Orders:
    """A class that says itself which channels it is for."""

    def __init__(self, message: Message) -> None: ...

    @classmethod
    def channel_names(cls) -> set[str]:
        return {"orders.paid", "orders.sent"}


class Own:
    """A route object of a project's own."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def match(self, message: Message) -> None: ...

    def channel_names(self) -> Iterable[str]:
        return ["orders.paid"]


class TestWhichChannels:
    @pytest.mark.parametrize(
        "routing",
        [
            [route("orders.paid", first, reliable=True)],
            [route(["orders.paid"], first, reliable=Reliable())],
            [include([include([route("orders.paid", first, reliable=True), route("other", first)])])],
            [route("orders.paid", first, reliable=True, kind="a"), route("orders.paid", second, reliable=Reliable())],
            [route("orders.paid", first, reliable=True), Own()],
            [Own(reliable=Reliable())],
        ],
    )
    def test_given_routes_that_agree_expect_the_channel_with_its_policy(self, routing: list[Any]) -> None:
        assert Router(routing).reliable == {"orders.paid": Reliable()}

    def test_given_a_class_expect_all_of_its_channels(self) -> None:
        policy = Reliable(max_attempts=2)
        found = Router([route_class(Orders, reliable=policy)]).reliable
        assert found == {"orders.paid": policy, "orders.sent": policy}

    def test_given_none_expect_none(self) -> None:
        router = Router([route("orders.paid", first), route("websocket.receive", first, reliable=False)])
        router.check_default()
        assert router.reliable == {}


class TestRefused:
    @pytest.mark.parametrize(
        "other", [route("orders.paid", second), route("orders.paid", second, reliable=Reliable(max_attempts=9))]
    )
    @pytest.mark.parametrize("nested", [False, True])
    def test_if_two_consumers_disagree_expect_an_error_that_names_both(self, other: Any, nested: bool) -> None:
        routes = [route("orders.paid", first, reliable=True), other]
        with pytest.raises(ImproperlyConfigured, match=r"orders\.paid disagree.*\.first.*\.second"):
            Router([include([routes[0]]), include([routes[1]])] if nested else routes)

    def test_if_a_route_is_added_that_disagrees_expect_an_error(self) -> None:
        router = Router([route("orders.paid", first, reliable=True)])
        with pytest.raises(ImproperlyConfigured, match="disagree"):
            router.add_route(route("orders.paid", second))

    @pytest.mark.parametrize("channel", ["websocket.receive", "websocket.connect", "http.request"])
    def test_if_it_is_a_channel_of_connections_expect_an_error_that_says_what_to_do(self, channel: str) -> None:
        with pytest.raises(ImproperlyConfigured, match="Forward what must not get lost to a channel of your own"):
            Router([route(channel, first, reliable=True)])

    @pytest.mark.parametrize(
        "make", [lambda **given: route("a", first, **given), partial(ConsumerRegistry().consumer, "a")]
    )
    @pytest.mark.parametrize("value", ["yes", 1, None])
    def test_if_it_is_no_policy_expect_an_error(self, make: Callable[..., Any], value: object) -> None:
        with pytest.raises(TypeError, match=r"write True or Reliable\(…\)"):
            make(reliable=value)


def test_given_the_decorator_expect_the_channel_reliable(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = ConsumerRegistry()
    registry.consumer("orders.paid", reliable=Reliable(max_attempts=3))(first)
    monkeypatch.setattr("channelcelery.routing.registry", registry)
    assert make_router("default").reliable == {"orders.paid": Reliable(max_attempts=3)}
