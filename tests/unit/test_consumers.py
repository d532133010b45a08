"""`@consumer`, autodiscovery and the router of a layer that both feed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channelcelery import consumers, routing
from channelcelery.consumers import ConsumerRegistry, consumer, consumer_name
from channelcelery.exceptions import InvalidChannelLayerError, InvalidName
from channelcelery.routing import connect_consumer, get_router, null_consumer, reset_routers, route
from tests.fakes import make_message
from tests.shown import shown
from tests.unit.consumers_to_route import ClassConsumer, first, second, third

MEMORY = "channelcelery.layers.InMemoryChannelLayer"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsumerRegistry]:
    """An empty registry in the place of the one that `@consumer` uses."""
    empty = ConsumerRegistry()
    monkeypatch.setattr(consumers, "registry", empty)
    monkeypatch.setattr(routing, "registry", empty)
    reset_routers()
    yield empty
    reset_routers()


class TestDecorator:
    def test_given_a_function_expect_it_registered_and_unchanged(self, registry: ConsumerRegistry) -> None:
        def function(message: Any) -> None: ...

        assert consumer("chat", path="^/a")(function) is function
        (made,) = registry
        assert (made.alias, made.channels, made.function, made.filters) == (
            "default",
            ("chat",),
            function,
            {"path": "^/a"},
        )

    def test_given_an_async_function_expect_it_registered(self, registry: ConsumerRegistry) -> None:
        async def function(message: Any) -> None: ...

        assert consumer("chat")(function) is function
        assert [made.function for made in registry] == [function]

    def test_given_several_decorators_expect_each(self, registry: ConsumerRegistry) -> None:
        consumer("a")(consumer(["b", b"c"], alias="other")(first))  # type: ignore[list-item]
        assert [(made.alias, made.channels) for made in registry] == [("other", ("b", "c")), ("default", ("a",))]
        assert [made.channels for made in registry.of("other")] == [("b", "c")]
        assert registry.of("nowhere") == []

    def test_given_decorators_around_the_function_expect_what_they_made(self, registry: ConsumerRegistry) -> None:
        class Checked:
            """A class-based decorator, as those of Channels 1.x for origins."""

            def __init__(self, function: Any) -> None:
                update_wrapper(self, function)

            def __call__(self, message: Any) -> None: ...

        for made in (Checked(first), partial(first)):
            assert consumer("chat")(made) is made
        assert [str(made) for made in registry] == [
            "@consumer('chat') tests.unit.consumers_to_route.first",
            "@consumer('chat') functools.partial",
        ]

    @pytest.mark.parametrize("name", ["a b", "", "a\n", "a!b", "a?b", None])
    def test_given_a_bad_channel_expect_the_error_at_import(self, registry: ConsumerRegistry, name: Any) -> None:
        with pytest.raises(InvalidName):
            consumer(["good", name])
        assert list(registry) == []

    @pytest.mark.parametrize("wrong", [5, None, first, ClassConsumer], ids=shown)
    def test_given_no_channel_expect_how_to_write_it(self, registry: ConsumerRegistry, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"write @consumer\('channel'"):
            consumer(wrong)

    @pytest.mark.parametrize("empty", [[], ()])
    def test_given_an_empty_list_expect_a_value_error(self, registry: ConsumerRegistry, empty: Any) -> None:
        with pytest.raises(ValueError, match="needs a channel"):
            consumer(empty)

    def test_given_a_bad_filter_expect_the_error_at_import(self, registry: ConsumerRegistry) -> None:
        with pytest.raises(ValueError, match=r"filter path='\(a\)' on @consumer\('chat'\) contains positional groups"):
            consumer("chat", path="(a)")
        with pytest.raises(ValueError, match=r"filter path='\(' on @consumer\('chat'\) is no regular expression"):
            consumer("chat", path="(")
        with pytest.raises(TypeError, match=r"filter durable=True on @consumer\('chat'\): write a regular expression"):
            consumer("chat", durable=True)
        for name in ("channels", "consumer", "self"):
            with pytest.raises(TypeError, match=f"filter '{name}' on @consumer"):
                consumer("chat", **{name: "a"})

    def test_given_a_filter_named_channel_expect_it_to_be_one(self, registry: ConsumerRegistry) -> None:
        consumer("chat", channel="^a")(first)
        assert [made.filters for made in registry] == [{"channel": "^a"}]

    @pytest.mark.parametrize("wrong", [ClassConsumer, None, "tests.unit.consumers_to_route.first"], ids=shown)
    def test_given_no_function_expect_what_to_do_instead(self, registry: ConsumerRegistry, wrong: Any) -> None:
        with pytest.raises(TypeError, match=r"@consumer\('chat'\) is for functions.*route_class\(\)"):
            consumer("chat")(wrong)
        assert list(registry) == []


def test_a_consumer_s_name_is_dotted() -> None:
    assert consumer_name(first) == "tests.unit.consumers_to_route.first"
    assert consumer_name(ClassConsumer) == "tests.unit.consumers_to_route.ClassConsumer"
    assert consumer_name(ClassConsumer.channel_names) == "tests.unit.consumers_to_route.ClassConsumer.channel_names"
    assert consumer_name(ClassConsumer(None)) == "tests.unit.consumers_to_route.ClassConsumer"


def layers(**entries: Any) -> Any:
    """Override CHANNEL_LAYERS with layers of these ROUTINGs."""
    return override_settings(
        CHANNEL_LAYERS={alias: {"BACKEND": MEMORY, "ROUTING": routes} for alias, routes in entries.items()}
    )


class TestGetRouter:
    def test_given_routing_and_decorators_expect_routing_then_decorators_then_defaults(
        self, registry: ConsumerRegistry
    ) -> None:
        consumer("websocket.receive", path="/(?P<x>b)")(second)
        consumer("websocket.receive", path="/.c")(third)
        with layers(default=[route("websocket.receive", first, path="/a")]):
            router = get_router()
        found = [router.match(make_message(path=path)) for path in ("/a", "/b", "/bc", "/cc", "/d")]
        assert found == [(first, {}), (second, {"x": "b"}), (second, {"x": "b"}), (third, {}), (null_consumer, {})]
        assert router.match(make_message("websocket.connect")) == (connect_consumer, {})
        views = router.match(make_message("http.request"))
        assert views is not None
        assert type(views[0]).__name__ == "ViewConsumer"

    @pytest.mark.parametrize("routes", [None, [], "tests.unit.routings.empty", {}])
    def test_given_no_routes_expect_the_defaults(self, registry: ConsumerRegistry, routes: Any) -> None:
        with layers(default=routes):
            sockets = {"websocket.connect", "websocket.receive", "websocket.disconnect"}
            assert get_router().channels == sockets | {"http.request", "http.disconnect"}

    def test_given_a_path_or_a_dict_expect_its_routes(self, registry: ConsumerRegistry) -> None:
        for routes in ("tests.unit.routings.as_dict", {"websocket.receive": first}):
            with layers(default=routes):
                assert get_router().match(make_message()) == (first, {})

    def test_given_two_layers_expect_each_with_its_own(self, registry: ConsumerRegistry) -> None:
        consumer("chat", alias="other")(second)
        with layers(default={"chat": first}, other=None):
            assert get_router("default").match(make_message("chat")) == (first, {})
            assert get_router("other").match(make_message("chat")) == (second, {})

    def test_given_the_same_alias_expect_the_same_router_until_reset(self, registry: ConsumerRegistry) -> None:
        router = get_router()
        assert get_router("default") is get_router(alias="default") is router
        consumer("chat")(first)
        assert "chat" not in get_router().channels
        reset_routers()
        assert "chat" in get_router().channels

    def test_given_changed_settings_expect_a_new_router(self, registry: ConsumerRegistry) -> None:
        assert "chat" not in get_router().channels
        with layers(default={"chat": first}):
            assert "chat" in get_router().channels
        assert "chat" not in get_router().channels

    def test_given_a_wrong_setting_expect_its_error_each_time(self, registry: ConsumerRegistry) -> None:
        for _ in range(2):
            with layers(default="tests.unit.routings.missing"), pytest.raises(ImproperlyConfigured, match="missing"):
                get_router()
            with pytest.raises(KeyError, match="nowhere"):
                get_router("nowhere")
            with (
                override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "a.b"}}),
                pytest.raises(InvalidChannelLayerError),
            ):
                get_router()


PROGRAM = """
import sys
from pathlib import Path
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["channelcelery", "tests.unit.decorated_app"],
    CHANNEL_LAYERS={
        alias: {"BACKEND": "channelcelery.layers.InMemoryChannelLayer"} for alias in ("default", "other")
    },
)
django.setup()
"""


class TestInAProcessOfItsOwn:
    """What importing does can only be seen in a fresh process."""

    def run(self, program: str) -> None:
        root = Path(__file__).resolve().parents[2]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM + program], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def test_given_django_set_up_expect_no_routing_and_no_consumers_imported(self) -> None:
        self.run("""
from channelcelery import Channel, Group, channel_layers
from channelcelery.message import Message
from django.core.checks import run_checks
from channelcelery.checks import LAYERS_TAG
assert run_checks(tags=[LAYERS_TAG]) == []
user_code = {"channelcelery.routing", "channelcelery.routes", "channelcelery.consumers", "channelcelery.worker",
             "tests.unit.decorated_app.consumers"}
assert not user_code & set(sys.modules), user_code & set(sys.modules)
""")

    def test_given_an_installed_app_expect_its_consumers_in_order(self) -> None:
        self.run("""
from channelcelery.message import Message
from channelcelery.routing import get_router
assert "tests.unit.decorated_app.consumers" not in sys.modules
router = get_router()
from tests.fakes import make_message
from tests.unit.decorated_app.consumers import decorated, elsewhere, later
assert router.match(make_message("chat")) == (decorated, {})
assert router.match(make_message(path="/decorated")) == (decorated, {})
assert router.match(make_message(path="/")) == (later, {})
assert router.match(make_message("websocket.connect", path="/")) == (later, {})
assert get_router("other").match(make_message("chat")) == (elsewhere, {})
""")

    def test_given_consumers_of_an_alias_that_does_not_exist_expect_the_check_to_say_so(self) -> None:
        self.run("""
from django.core.checks import run_checks
from channelcelery.checks import ROUTING_TAG
assert run_checks(tags=[ROUTING_TAG]) == []
del settings.CHANNEL_LAYERS["other"]
(error,) = run_checks(tags=[ROUTING_TAG])
assert error.id == "channelcelery.E003"
assert error.msg == ("@consumer('chat') tests.unit.decorated_app.consumers.elsewhere is for the channel layer 'other', "
                     "which does not exist."), error.msg
""")
