"""Routes, includes and the router (items 64 to 77; defects 11 and 18 of Channels 1.1.8)."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from channelcelery import routing
from channelcelery.exceptions import InvalidName
from channelcelery.handler import ViewConsumer
from channelcelery.message import Message
from channelcelery.routing import Include, Route, RouteClass, Router, include, route, route_class
from channelcelery.staticfiles import StaticFilesConsumer
from tests.fakes import FakeLayer, make_message
from tests.shown import shown
from tests.unit.consumers_to_route import ClassConsumer, first, second, third

FIRST = "tests.unit.consumers_to_route.first"


class OwnRoute:
    """A route object of one's own, which counts how often it is asked (item 64)."""

    def __init__(self, channels: Iterable[str], answer: Callable[[Message], Any]) -> None:
        self.channels = channels
        self.answer = answer
        self.asked = 0

    def match(self, message: Message) -> Any:
        self.asked += 1
        return self.answer(message)

    def channel_names(self) -> Iterable[str]:
        return self.channels


class CountingMessage(Message):
    """A message that counts how often a filter looks at one of its values."""

    looked_at = 0

    def __getitem__(self, key: str) -> Any:
        type(self).looked_at += 1
        return super().__getitem__(key)


def test_the_names_of_1x_are_there_in_lower_case_too() -> None:
    assert (route, route_class, include) == (Route, RouteClass, Include)


class TestRoute:
    def test_given_a_channel_expect_exactly_it(self) -> None:
        """Item 66."""
        made = route("websocket.receive", first)
        assert made.match(make_message("websocket.receive")) == (first, {})
        for name in ("websocket.receive2", "websocket", "Websocket.receive"):
            assert made.match(make_message(name)) is None

    def test_given_a_list_expect_each(self) -> None:
        """Item 65."""
        made = route(["a", b"b"], first)
        assert made.channels == ["a", "b"]
        assert made.channel_names() == {"a", "b"}
        assert [made.match(make_message(name)) for name in "abc"] == [(first, {}), (first, {}), None]

    def test_given_positional_and_keyword_arguments_expect_those_of_1x(self) -> None:
        """Item 65."""
        assert Route(channels="a", consumer=first).channels == Route("a", first).channels
        assert RouteClass(consumer=ClassConsumer).consumer is ClassConsumer
        assert Include(routing=[]).routing == []

    def test_given_filters_expect_named_groups_as_arguments(self) -> None:
        """Items 16, 66 and 67."""
        made = route("websocket.receive", first, path=r"^/(?P<room>\w+)/", method="(?P<verb>.*)")
        message = make_message(path="/lobby/more", method="GET", order=5)
        assert made.match(message) == (first, {"room": "lobby", "verb": "GET"})
        assert made.match(make_message(path="/lobby", method="GET")) is None
        assert made.match(make_message(path="/lobby/")) is None

    def test_given_a_filter_on_a_number_expect_no_match_rather_than_an_error(self) -> None:
        """Item 73, and defect 18."""
        assert route("websocket.receive", first, order="0").match(make_message(order=0)) is None

    def test_given_bytes_that_are_not_ascii_expect_no_match(self) -> None:
        """Item 73, and defect 18."""
        made = route("websocket.receive", first, query_string="a")
        assert made.match(make_message(query_string=b"a=1")) == (first, {})
        assert made.match(make_message(query_string=b"a=\xff")) is None

    def test_given_a_dotted_path_expect_its_consumer(self) -> None:
        """Item 65."""
        assert route("a", FIRST).consumer is first

    @pytest.mark.parametrize(
        "path",
        [
            "tests.unit.consumers_to_route.missing",
            "tests.unit.missing.first",
            "missing_project.first",
            "first",
            "",
            ".first",
            "tests..first",
            "tests.unit.consumers_to_route.",
            "a b.c",
        ],
    )
    def test_given_a_path_that_leads_nowhere_expect_it_named(self, path: str) -> None:
        """Item 72."""
        for make in (lambda: route("a", path), lambda: route_class(path), lambda: Router({"a": path})):
            with pytest.raises(ImproperlyConfigured, match=re.escape(f"Cannot import consumer {path!r}")):
                make()

    @pytest.mark.parametrize("consumer", [None, 5, b"a.b", ["a"], "tests.unit.consumers_to_route.not_callable"])
    def test_given_what_cannot_be_called_expect_a_type_error(self, consumer: Any) -> None:
        with pytest.raises(TypeError, match="is no consumer"):
            route("a", consumer)

    @pytest.mark.parametrize("name", ["a b", "", "a\n", "websocket.send!node.token", "a?b", 5, None])
    def test_given_a_bad_channel_expect_invalid_name(self, name: Any) -> None:
        with pytest.raises(InvalidName):
            route([name], first)

    def test_given_positional_groups_expect_filter_and_route_named(self) -> None:
        """Item 67."""
        expected = r"filter path='/\(.\)' on route a/b -> tests\.unit\.consumers_to_route\.first contains positional"
        with pytest.raises(ValueError, match=expected):
            route(["a", "b"], first, path="/(.)")

    def test_its_text_shows_channels_filters_and_consumer(self) -> None:
        """Item 77."""
        assert str(route("a", first)) == f"a -> {FIRST}"
        made = route(["a", "b"], FIRST, path="^/x", method=b"GET")
        assert str(made) == f"a/b (path=^/x, method=GET) -> {FIRST}"
        assert str(route_class(ClassConsumer)) == (
            "websocket.connect/websocket.receive -> tests.unit.consumers_to_route.ClassConsumer"
        )


class TestRouteClass:
    def test_given_a_class_expect_its_channels(self) -> None:
        """Item 71."""
        for made in (route_class(ClassConsumer, path="/a"), route_class(f"{ClassConsumer.__module__}.ClassConsumer")):
            assert made.channel_names() == {"websocket.connect", "websocket.receive"}
            assert made.match(make_message(path="/a")) == (ClassConsumer, {})
        assert route_class(ClassConsumer, path="/a").match(make_message(path="/b")) is None

    def test_given_a_set_of_channels_expect_its_text_the_same_in_every_process(self) -> None:
        """Item 77."""

        class Several(ClassConsumer):
            @classmethod
            def channel_names(cls) -> Any:
                return dict.fromkeys("badc")

        assert str(route_class(Several)).startswith("a/b/c/d -> ")

    def test_given_no_channel_names_expect_a_value_error(self) -> None:
        """Item 71."""

        class Wrong:
            channel_names = ["a"]

        for consumer in (first, Wrong):
            with pytest.raises(ValueError, match=r"has no channel_names\(\)"):
                route_class(consumer)


class TestInclude:
    def test_given_a_prefix_expect_it_cut_off_inside_and_the_message_whole(self) -> None:
        """Item 69."""
        seen: list[Any] = []
        own = OwnRoute(["websocket.receive"], lambda message: seen.append((message["path"], message.content["path"])))
        inside = [own, route("websocket.receive", first, path="^/room$")]
        message = make_message(path="/chat/room")
        assert include(inside, path="^/chat").match(message) == (first, {})
        assert seen == [("/room", "/room")]
        assert message["path"] == "/chat/room"

    def test_given_a_message_for_a_route_of_ones_own_expect_its_channel_and_layer(self) -> None:
        def answer(message: Message) -> Any:
            return (first, {"channel": message.channel.name, "layer": message.channel_layer})

        message = make_message(path="/chat")
        found = include([OwnRoute(["websocket.receive"], answer)], path="/chat").match(message)
        assert found == (first, {"channel": "websocket.receive", "layer": message.channel_layer})

    def test_given_nesting_expect_each_prefix_cut_and_inner_arguments_to_win(self) -> None:
        """Item 69."""
        inner = include([route("websocket.receive", first, path="/(?P<c>.)(?P<x>.)$")], path="/(?P<b>.)(?P<x>.)")
        outer = include([inner], path="/(?P<a>.)(?P<x>.)", method="(?P<m>.*)")
        message = make_message(path="/a1/b2/c3", method="GET")
        assert outer.match(message) == (first, {"a": "a", "b": "b", "c": "c", "x": "3", "m": "GET"})

    def test_given_several_prefixes_expect_all_needed_and_all_cut(self) -> None:
        """Item 69."""
        made = include([route("websocket.receive", first, a="^2$", b="^4$")], a="1", b="3")
        assert made.match(make_message(a="12", b=b"34")) == (first, {})
        assert made.match(make_message(a="12", b="44")) is None
        assert made.match(make_message(a="12")) is None

    @pytest.mark.parametrize("value", [5, None, b"\xff", ["/chat"]])
    def test_given_a_value_that_is_no_text_expect_no_match(self, value: object) -> None:
        assert include([route("websocket.receive", first)], path="").match(make_message(path=value)) is None

    def test_given_no_match_inside_expect_routing_to_go_on(self) -> None:
        """Item 70."""
        routes = [
            include([route("websocket.receive", first, path="/a")], path="/x"),
            route("websocket.receive", second),
        ]
        assert Router(routes).match(make_message(path="/x/b")) == (second, {})

    def test_given_positional_groups_expect_filter_and_include_named(self) -> None:
        """Defect 11 of Channels 1.1.8."""
        with pytest.raises(
            ValueError, match=r"filter path='/\(a\)' on include of \[a -> .*first\] contains positional"
        ):
            include([route("a", first)], path="/(a)")
        with pytest.raises(ValueError, match=r"on include of 'tests\.unit\.routings\.as_list' contains positional"):
            include("tests.unit.routings.as_list", path="/(a)")

    def test_given_routes_added_to_the_list_later_expect_them(self) -> None:
        inside: list[Any] = []
        routes = [include(inside, path="/a")]
        inside.append(route("websocket.receive", first))
        assert Router(routes).match(make_message(path="/a")) == (first, {})

    def test_its_text_shows_what_it_includes(self) -> None:
        routes = [route("a", first), route("b", second), route("c", third)]
        assert str(include(routes[:1], path="/x")) == f"include of [a -> {FIRST}] (path=/x)"
        assert str(include(routes)).endswith("second, …]")
        assert str(include("tests.unit.routings.as_dict")) == "include of 'tests.unit.routings.as_dict'"


class TestRoutingForms:
    @pytest.mark.parametrize("name", ["as_list", "as_tuple"])
    def test_given_a_path_to_a_list_expect_its_routes_in_order(self, name: str) -> None:
        """Item 64."""
        router = Router(f"tests.unit.routings.{name}")
        assert router.channels == {"websocket.receive"}
        assert router.match(make_message(path="/first")) == (first, {})
        assert router.match(make_message(path="/")) == (second, {})

    def test_given_a_dict_expect_a_route_for_each(self) -> None:
        """Item 64."""
        for form in ("tests.unit.routings.as_dict", {"websocket.receive": FIRST, b"websocket.connect": second}):
            router = Router(form)
            assert router.match(make_message("websocket.receive")) == (first, {})
            assert router.match(make_message("websocket.connect")) == (second, {})
            assert router.match(make_message("websocket.disconnect")) is None

    def test_given_includes_of_paths_and_dicts_expect_them_all(self) -> None:
        """Item 69."""
        router = Router("tests.unit.routings.nested")
        assert router.channels == {"websocket.receive", "websocket.connect"}
        assert router.match(make_message(path="/deep/first")) == (first, {})
        assert router.match(make_message(path="/deeper")) == (second, {})
        assert router.match(make_message("websocket.connect", method="POST")) == (second, {})
        assert router.match(make_message("websocket.connect", method="GET")) is None

    def test_given_an_iterator_expect_its_routes(self) -> None:
        made = include(iter([route("a", first)]), path="")
        for _ in range(2):
            assert Router([made]).match(make_message("a", path="")) == (first, {})

    @pytest.mark.parametrize("empty", [[], (), {}, "tests.unit.routings.empty"])
    def test_given_nothing_expect_no_channel(self, empty: Any) -> None:
        assert Router(empty).channels == set()
        assert Router([include(empty, path="/")]).match(make_message(path="/")) is None

    @pytest.mark.parametrize("path", ["tests.unit.routings.missing", "tests.unit.nowhere.routes", "routes", ""])
    def test_given_a_path_that_leads_nowhere_expect_it_named(self, path: str) -> None:
        """Item 72."""
        for make in (Router, include):
            with pytest.raises(ImproperlyConfigured, match=re.escape(f"Cannot import channel routing {path!r}")):
                make(path)

    @pytest.mark.parametrize(
        "wrong", [5, None, route("a", first), b"a.b", "tests.unit.routings.not_a_routing", "tests.unit.routings.a_text"]
    )
    def test_given_no_list_expect_an_error_that_says_what_to_write(self, wrong: Any) -> None:
        for make in (Router, include):
            with pytest.raises(ImproperlyConfigured, match="write a list of routes, or a dict"):
                make(wrong)

    @pytest.mark.parametrize("entry", [first, "a.b", [route("a", first)], None, ("a", first), object()], ids=shown)
    def test_given_an_entry_that_is_no_route_expect_its_place_and_what_to_write(self, entry: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"Entry 2 of the routing is no route: .* Write route\(\)"):
            Router([route("a", first), entry])
        with pytest.raises(ImproperlyConfigured, match=r"Entry 1 of include of .* is no route"):
            Router([include([entry], path="/a")])

    def test_given_an_import_error_inside_the_consumers_module_expect_its_reason(self, tmp_path: Any) -> None:
        (tmp_path / "broken_consumers.py").write_text("import a_library_that_is_missing\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            with pytest.raises(ImproperlyConfigured, match=r"broken_consumers\.run.*a_library_that_is_missing"):
                route("a", "broken_consumers.run")


class TestRouter:
    def test_given_two_that_match_expect_the_first(self) -> None:
        """Item 68."""
        router = Router([route("websocket.receive", first, path="/a"), route("websocket.receive", second)])
        assert router.match(make_message(path="/ab")) == (first, {})
        assert router.match(make_message(path="/b")) == (second, {})

    def test_given_no_route_for_the_channel_expect_none(self) -> None:
        """Item 76."""
        assert Router([route("a", first)]).match(make_message("b")) is None

    def test_given_routes_of_ones_own_expect_their_place_in_the_order(self) -> None:
        """Items 64 and 68."""
        own = OwnRoute(["websocket.receive"], lambda message: (third, {"x": 1}) if message["path"] == "/own" else None)
        routes = [route("websocket.receive", first, path="/first"), own, route("websocket.receive", second)]
        router = Router(routes)
        assert router.channels == {"websocket.receive"}
        assert [router.match(make_message(path=path)) for path in ("/first", "/own", "/else")] == [
            (first, {}),
            (third, {"x": 1}),
            (second, {}),
        ]
        assert own.asked == 2

    def test_given_a_subclass_that_matches_in_its_own_way_expect_it_asked(self) -> None:
        class Never(Include):
            def match(self, message: Message) -> Any:
                return None

        class Loud(Route):
            def match(self, message: Message) -> Any:
                found = super().match(message)
                return found and (found[0], {"loud": True})

        routes = [Never([route("a", first)]), Loud("a", second)]
        assert Router(routes).match(make_message("a")) == (second, {"loud": True})

    def test_given_a_route_added_expect_it_last_and_the_list_of_the_project_unchanged(self) -> None:
        """Item 74."""
        routes = [route("a", first)]
        router = Router(routes)
        router.add_route(route(["a", "b"], second))
        assert router.channels == {"a", "b"}
        assert router.match(make_message("a")) == (first, {})
        assert router.match(make_message("b")) == (second, {})
        assert len(routes) == 1
        with pytest.raises(ImproperlyConfigured, match=r"Entry 1 of add_route\(\) is no route"):
            router.add_route(first)  # type: ignore[arg-type]

    def test_given_a_route_added_to_one_router_expect_others_unchanged(self) -> None:
        shared = [include([route("a", first, path="/a")])]
        one, other = Router(shared), Router(shared)
        one.add_route(route("a", second))
        assert other.match(make_message("a", path="/b")) is None
        assert Router(shared).match(make_message("a", path="/b")) is None

    def test_given_many_routes_of_other_channels_expect_none_of_them_looked_at(self) -> None:
        """Expect only the routes of the message's own channel asked, however many others there are."""

        def looked(others: int) -> tuple[int, int]:
            own = [OwnRoute([f"other-{number}"], lambda message: None) for number in range(others)]
            routes: list[Any] = [*own]
            for number in range(others):
                routes.append(route(f"other-{number}", first, path="/never"))
                routes.append(include([route(f"other-{number}", first, path="/never")], path="/"))
                routes.append(include([include([route(f"other-{number}", first)], path="/")]))
            routes.append(include([*own, *routes, route("websocket.receive", second, path="/b")], path="/a"))
            CountingMessage.looked_at = 0
            message = CountingMessage({"path": "/a/b"}, "websocket.receive", FakeLayer())
            assert Router(routes).match(message) == (second, {})
            return CountingMessage.looked_at, sum(each.asked for each in own)

        assert looked(0) == looked(100) == (2, 0)


class TestManyRoutes:
    """What is shown to a route is looked at: of very many routes of a channel few are asked."""

    ROUTES = tuple(
        route("websocket.receive", first, path=rf"^/room-{number}/(?P<seat>\d+)$") for number in range(1_000)
    )

    @pytest.mark.parametrize("routing", [list(ROUTES), [include(list(ROUTES))]], ids=["in a list", "included"])
    def test_given_a_thousand_paths_expect_few_of_them_tried(self, routing: Any) -> None:
        router = Router(routing)
        message = CountingMessage({"path": "/room-731/5"}, "websocket.receive", FakeLayer())
        CountingMessage.looked_at = 0
        assert router.match(message) == (first, {"seat": "5"})
        assert CountingMessage.looked_at <= 3

    def test_given_others_between_them_expect_the_order_of_the_list(self) -> None:
        """Item 74: the first that matches, whether an index has it or not."""
        router = Router([*self.ROUTES[:5], route("websocket.receive", second), *self.ROUTES])
        at = {path: router.match(make_message("websocket.receive", path=path)) for path in ("/room-4/1", "/room-9/1")}
        assert at == {"/room-4/1": (first, {"seat": "1"}), "/room-9/1": (second, {})}

    def test_given_a_route_that_matches_in_its_own_way_expect_it_asked_whatever_its_filter(self) -> None:
        class Backwards(Route):
            def match(self, message: Message) -> Any:
                return third, {}

        router = Router([Backwards("websocket.receive", first, path="^/elsewhere/")])
        assert router.match(make_message("websocket.receive", path="/here/")) == (third, {})


class TestCheckDefault:
    def test_given_no_routes_expect_sockets_accepted_and_the_rest_ignored(self) -> None:
        """Items 75 and 130."""
        router = Router([])
        router.check_default()
        ignored = {"http.disconnect", "websocket.receive", "websocket.disconnect"}
        assert router.channels == {"http.request", "websocket.connect", *ignored}
        message = make_message("websocket.connect", path="/x", reply_channel="websocket.send!node.token")
        run(router, message)
        assert message.channel_layer.replies.delivered == [("websocket.send!node.token", {"accept": True})]
        for channel in ignored:
            message = make_message(channel, path="/x", reply_channel="websocket.send!node.token")
            run(router, message)
            assert message.channel_layer.replies.delivered == []

    def test_given_more_arguments_expect_the_defaults_to_take_them(self) -> None:
        """Item 75: those of 1.x did, which projects hand messages on to."""
        message = make_message("websocket.connect", path="/x", reply_channel="websocket.send!node.token")
        routing.connect_consumer(message, 1, room="a")
        assert message.channel_layer.replies.delivered == [("websocket.send!node.token", {"accept": True})]
        routing.null_consumer(message, 1, room="a")
        routing.null_consumer()

    def test_given_own_routes_expect_them_first(self) -> None:
        """Item 75."""
        router = Router([route("websocket.connect", first, path="/mine")])
        router.check_default()
        assert router.match(make_message("websocket.connect", path="/mine")) == (first, {})
        assert router.match(make_message("websocket.connect", path="/else")) == (routing.connect_consumer, {})

    @pytest.mark.parametrize(("debug", "kind"), [(False, ViewConsumer), (True, StaticFilesConsumer)])
    def test_given_no_http_consumer_expect_the_views(self, settings: Any, debug: bool, kind: type) -> None:
        """Items 74 and 75: as a worker has it, with static files where Django is debugged (item 112)."""
        settings.DEBUG, settings.STATIC_URL = debug, "/static/"
        settings.INSTALLED_APPS = ["django.contrib.staticfiles", *settings.INSTALLED_APPS]
        router = Router([route("http.request", second, path="/mine")])
        router.check_default()
        assert router.match(make_message("http.request", path="/mine")) == (second, {})
        found = router.match(make_message("http.request", path="/else"))
        assert found is not None
        assert type(found[0]) is kind

    @pytest.mark.parametrize("consumer", [first, FIRST])
    def test_given_an_http_consumer_expect_it_for_requests(self, consumer: Any) -> None:
        """Items 74 and 75."""
        router = Router([route("http.request", second, path="/mine")])
        router.check_default(http_consumer=consumer)
        assert router.match(make_message("http.request", path="/mine")) == (second, {})
        assert router.match(make_message("http.request", path="/else")) == (first, {})

    def test_given_a_path_without_a_route_expect_it_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        router = Router([])
        router.check_default()
        with caplog.at_level(logging.INFO, logger="django.channels.worker"):
            run(router, make_message("websocket.connect", path="/no\nsuch/" + "x" * 1_000))
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("django.channels.worker", logging.INFO)
        assert "no route for websocket.connect matches the path '/no\\nsuch/xxx" in record.getMessage()
        assert len(record.getMessage()) < 300


def run(router: Router, message: Message) -> None:
    found = router.match(message)
    assert found is not None
    consumer, kwargs = found
    consumer(message, **kwargs)
