"""Other routing for a while (item 216, and defect 10 of 1.1.8)."""

import asyncio
from typing import Any

import pytest
from django.test import override_settings

from channelcelery import include, route
from channelcelery.message import Message
from channelcelery.routing import get_router, replaced_router
from channelcelery.test import ChannelTestCase, Client, apply_routes

MEMORY = "channelcelery.layers.InMemoryChannelLayer"


def first(message: Message, **kwargs: Any) -> str:
    return "first"


def second(message: Message, **kwargs: Any) -> str:
    return "second"


routing = [route("things", first)]


def run(channel: str = "things", alias: str = "default", **content: Any) -> Any:
    """Run a message's consumer, and return what it returned or None if there is none."""
    return Client(alias).send_and_consume(channel, content, fail_on_none=False)


class TestForms(ChannelTestCase):
    """Item 216: what `apply_routes` takes."""

    def test_one_route(self) -> None:
        with apply_routes(route("things", first)):
            assert run() == "first"
        assert run() is None

    def test_a_list_of_routes(self) -> None:
        with apply_routes([route("things", first), route("others", second)]):
            assert [run(), run("others"), run("none")] == ["first", "second", None]

    def test_a_list_of_lists(self) -> None:
        with apply_routes([[route("things", first)], [route("others", second)]]):
            assert [run(), run("others")] == ["first", "second"]

    def test_includes_dicts_and_paths(self) -> None:
        with apply_routes([include(routing, path="^/a"), route("others", second)]):
            assert [run(path="/a"), run(path="/b"), run("others")] == ["first", None, "second"]
        with apply_routes({"things": first}):
            assert run() == "first"
        with apply_routes("tests.unit.test.test_apply_routes.routing"):
            assert run() == "first"
        with apply_routes(["tests.unit.test.test_apply_routes.routing"]):
            assert run() == "first"

    def test_none_at_all(self) -> None:
        """Defect 10: an empty list raised IndexError."""
        with apply_routes([]):
            assert run() is None
        with apply_routes(()):
            assert get_router().channels == set()

    def test_nested_and_restored_after_errors(self) -> None:
        outer = apply_routes(route("things", first))
        with outer:
            inner = apply_routes(route("things", second))
            with pytest.raises(RuntimeError), inner:
                raise RuntimeError(run())
            assert run() == "first"
            with outer:
                assert run() == "first"
            assert run() == "first"
        assert replaced_router("default") is None

    def test_by_hand(self) -> None:
        """As `setUp` and `tearDown` do it in tests of 1.x."""
        routes = apply_routes([route("things", first)])
        routes.enter()
        assert run() == "first"
        routes.exit()
        assert run() is None

    def test_workers_see_it_too(self) -> None:
        with apply_routes(route("things", first)):
            assert get_router("default").channels == {"things"}
        assert "websocket.connect" in get_router("default").channels


@override_settings(
    CHANNEL_LAYERS={
        "default": {"BACKEND": MEMORY, "ROUTING": {"things": first}},
        "other": {"BACKEND": MEMORY, "CONFIG": {"prefix": "other:"}, "ROUTING": {"things": first}},
    }
)
class TestAliases(ChannelTestCase):
    """Defect 10: the aliases were ignored, on the way in and on the way out."""

    test_channel_aliases = ["default", "other"]

    def test_the_default_one(self) -> None:
        with apply_routes(route("things", second)):
            assert [run(), run(alias="other")] == ["second", "first"]
        assert [run(), run(alias="other")] == ["first", "first"]

    def test_another_one(self) -> None:
        with apply_routes(route("things", second), aliases=["other"]):
            assert [run(), run(alias="other")] == ["first", "second"]
        assert [run(), run(alias="other")] == ["first", "first"]
        with apply_routes(route("things", second), "other"):
            assert run(alias="other") == "second"

    def test_both(self) -> None:
        with apply_routes([route("things", second)], ["default", "other"]):
            assert [run(), run(alias="other")] == ["second", "second"]
        assert [run(), run(alias="other")] == ["first", "first"]


class TestOnFunctions(ChannelTestCase):
    """Item 216: as a decorator of functions."""

    @apply_routes(route("things", first))
    def test_decorated(self) -> None:
        assert run() == "first"

    def test_not_decorated(self) -> None:
        assert run() is None

    def test_arguments_results_and_names_stay(self) -> None:
        @apply_routes([])
        def function(a: int, b: int = 0) -> int:
            """Add."""
            return a + b

        assert function(1, b=2) == 3
        assert (function.__name__, function.__doc__) == ("function", "Add.")

    def test_async_functions(self) -> None:
        @apply_routes(route("things", first))
        async def function() -> set[str]:
            await asyncio.sleep(0)
            return get_router().channels

        assert asyncio.run(function()) == {"things"}


class Base(ChannelTestCase):
    """Expects its class to be decorated."""

    set_up: set[str] = set()

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.set_up = get_router().channels

    def test_the_routes_count_from_the_beginning(self) -> None:
        assert self.set_up == get_router().channels


@apply_routes([route("things", first)])
class TestOnClasses(Base):
    """Item 216: as a decorator of classes."""

    def test_decorated(self) -> None:
        assert run() == "first"
        assert self.set_up == {"things"}


class TestBelow(TestOnClasses):
    """A class below a decorated one has its routes."""


class TestBeside(Base):
    """A class above a decorated one is left alone."""

    def test_not_decorated(self) -> None:
        assert run() is None
        assert replaced_router("default") is None


@apply_routes([route("things", first)])
class TestOnPlainClasses:
    """Of pytest's own kind."""

    def test_decorated(self) -> None:
        assert get_router().channels == {"things"}


def test_if_setting_up_the_class_fails_then_the_routes_are_gone() -> None:
    @apply_routes([route("things", first)])
    class Case(ChannelTestCase):
        @classmethod
        def setUpClass(cls) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        Case.setUpClass()
    assert replaced_router("default") is not None
    Case.doClassCleanups()
    assert replaced_router("default") is None
