"""`WSClient`: cookies, headers, sessions, users, queries, acceptance, order (items 213 to 215)."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.http.cookie import parse_cookie
from django.test import modify_settings, override_settings

from channelcelery import Channel, Group, route
from channelcelery.auth import channel_session_user, channel_session_user_from_http, http_session_user
from channelcelery.exceptions import ChannelSocketException
from channelcelery.generic.websockets import JsonWebsocketConsumer
from channelcelery.message import Message
from channelcelery.security.websockets import allowed_hosts_only
from channelcelery.sessions import channel_session, enforce_ordering, http_session
from channelcelery.test import ChannelTestCase, HttpClient, WSClient, apply_routes

MEMORY = "channelcelery.layers.InMemoryChannelLayer"


def accept(message: Any, **kwargs: Any) -> None:
    message.reply_channel.send({"accept": True})


def seen_by(client: WSClient, channel: str = "websocket.receive", **arguments: Any) -> Message:
    """Return the message that a consumer gets."""
    seen: list[Message] = []
    with apply_routes(route(channel, seen.append)):
        client.send_and_consume(channel, check_accept=False, **arguments)
    return seen[0]


class TestContent(ChannelTestCase):
    """Item 213: what is sent."""

    def test_text_is_encoded_as_json_unless_it_is_text(self) -> None:
        client = WSClient()
        assert seen_by(client, text="plain")["text"] == "plain"
        assert json.loads(seen_by(client, text={"key": [1, None]})["text"]) == {"key": [1, None]}
        assert seen_by(client, content={"text": ["in content"]})["text"] == '["in content"]'
        assert "text" not in seen_by(client)
        assert seen_by(client, content={"text": ""})["text"] == ""

    def test_the_content_s_keys_win(self) -> None:
        message = seen_by(WSClient(), content={"path": "/mine/", "reply_channel": "mine"}, path="/other/")
        assert (message["path"], message["reply_channel"]) == ("/mine/", "mine")

    def test_the_content_given_stays_as_it_is(self) -> None:
        content: dict[str, Any] = {"a": {}}
        WSClient(ordered=True).send("things", content, text="t", path="/x?y=1")
        assert content == {"a": {}}

    def test_the_query_goes_with_connect_only(self) -> None:
        client = WSClient()
        message = seen_by(client, "websocket.connect", path="/my/path?test=1&token=a%3Fb?c")
        assert (message["path"], message["query_string"]) == ("/my/path", b"test=1&token=a%3Fb?c")
        message = seen_by(client, path="/my/path?test=1")
        assert message["path"] == "/my/path"
        assert "query_string" not in message

    def test_positional_arguments(self) -> None:
        """As in 1.x: channel, content, text, path, fail_on_none, check_accept."""
        client = WSClient()
        client.send("things", {"a": 1}, "text", "/path/")
        message = self.get_next_message("things", require=True)
        assert (message["a"], message["text"], message["path"]) == (1, "text", "/path/")
        assert client.send_and_consume("websocket.connect", {}, None, "/", False, False) is None
        assert client.consume("websocket.connect", False, False) is None

    def test_other_aliases(self) -> None:
        client = WSClient(alias="other", ordered=True)
        assert client.alias == "other"

    def test_what_a_test_of_1_x_reads_before_it_is_sent(self) -> None:
        """Expect text, where consumers get bytes as from an interface."""
        content = WSClient()._get_content(text={"key": "value"}, path="/my/path?test=1&token=2")
        assert content["text"] == '{"key": "value"}'
        assert (content["path"], content["query_string"]) == ("/my/path", "test=1&token=2")
        assert b"sessionid" in content["headers"]["cookie"]


class TestReceive(ChannelTestCase):
    """Item 213: what comes back."""

    def test_forms(self) -> None:
        client = WSClient()
        assert client.receive() is None
        for reply in ({"text": '{"a": 1}'}, {"text": "5"}, {"accept": True}, {"bytes": b"\xff"}, {"text": {"d": 1}}):
            client.channel_layer.send(client.reply_channel, reply)
        assert [client.receive() for _ in range(6)] == [
            {"a": 1},
            5,
            {"accept": True},
            {"bytes": b"\xff"},
            {"d": 1},
            None,
        ]
        client.channel_layer.send(client.reply_channel, {"text": "{plain"})
        assert client.receive(json=False) == "{plain"
        client.channel_layer.send(client.reply_channel, {"text": "{plain"})
        with pytest.raises(json.JSONDecodeError):
            client.receive()

    def test_group_sends(self) -> None:
        client = WSClient()
        client.join_group("all")
        Group("all").send({"text": "5"})
        assert client.receive() == 5

    def test_exceptions_that_act(self) -> None:
        class Apology(ChannelSocketException):
            def run(self, message: Any) -> None:
                message.reply_channel.send({"text": "error"})

        def consumer(message: Message) -> None:
            raise Apology

        client = WSClient()
        with apply_routes(route("websocket.receive", consumer)):
            client.send_and_consume("websocket.receive")
        assert client.receive(json=False) == "error"

    def test_consumers_as_classes(self) -> None:
        class Echo(JsonWebsocketConsumer):
            groups = ["all"]

            def receive(self, content: Any, **kwargs: Any) -> None:
                self.send({"again": content})

        client = WSClient()
        with apply_routes([Echo.as_route(path="^/echo/$")]):
            assert isinstance(client.send_and_consume("websocket.connect", path="/echo/"), Echo)
            client.send_and_consume("websocket.receive", text={"a": 1}, path="/echo/")
            assert client.receive() == {"again": {"a": 1}}
            Group("all").send({"text": "1"})
            client.send_and_consume("websocket.disconnect", path="/echo/")
            Group("all").send({"text": "2"})
            assert [client.receive(), client.receive()] == [1, None]


class TestAcceptance(ChannelTestCase):
    """Item 214."""

    def connect(self, *replies: dict[str, Any], **arguments: Any) -> WSClient:
        def consumer(message: Any) -> str:
            for reply in replies:
                message.reply_channel.send(reply)
            return "returned"

        client = WSClient()
        with apply_routes(route("websocket.connect", consumer)):
            assert client.send_and_consume("websocket.connect", **arguments) == "returned"
        return client

    def test_accepted(self) -> None:
        assert self.connect({"accept": True}, {"text": "1"}).receive() == 1

    def test_anything_else_is_an_error(self) -> None:
        for reply in ({"accept": False}, {"close": True}, {"text": "hello"}, {"accept": 1, "close": False}):
            with pytest.raises(AssertionError, match="Connection rejected: "):
                self.connect(reply)

    def test_unchecked(self) -> None:
        assert self.connect({"close": True}, check_accept=False).receive() == {"close": True}

    def test_a_consumer_that_answers_nothing_accepts_as_in_a_worker(self) -> None:
        """Section 0, item 1."""
        assert self.connect().receive() is None

    def test_and_does_not_where_the_setting_says_so(self) -> None:
        entry = {"BACKEND": MEMORY, "TEST_CONFIG": {"implicit_accept": False}}
        with override_settings(CHANNEL_LAYERS={"default": entry}):
            self._post_teardown()
            self._pre_setup()
        with pytest.raises(AssertionError, match="Connection rejected: None"):
            self.connect()

    def test_nothing_that_did_not_run_accepts(self) -> None:
        client = WSClient()
        with pytest.raises(AssertionError, match="Connection rejected: None"):
            client.send_and_consume("websocket.connect", fail_on_none=False)
        with apply_routes(route("websocket.connect", enforce_ordering(accept))):
            client.send("websocket.connect", {"order": 1})
            client.send("websocket.connect", {"order": 0})
            with pytest.raises(AssertionError, match="Connection rejected: None"):
                client.consume("websocket.connect")
            client.consume("websocket.connect")
            client.consume("websocket.connect")

    def test_only_connect_is_checked(self) -> None:
        client = WSClient()
        with apply_routes(route("websocket.receive", accept)):
            client.send_and_consume("websocket.receive")
        assert client.receive() == {"accept": True}


class TestOrdered(ChannelTestCase):
    """Item 215."""

    def test_numbers(self) -> None:
        client = WSClient(ordered=True)
        assert seen_by(client, "websocket.connect")["order"] == 0
        assert [seen_by(client)["order"], seen_by(client, "websocket.disconnect")["order"]] == [1, 2]
        client.order = 7
        assert seen_by(client)["order"] == 7

    def test_none_otherwise(self) -> None:
        assert "order" not in seen_by(WSClient())
        assert seen_by(WSClient(), content={"order": 5})["order"] == 5

    def test_both_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="order"):
            WSClient(ordered=True).send("websocket.receive", {"order": 5})


class TestHeaders(ChannelTestCase):
    """Item 213: cookies and headers, as bytes in consumers."""

    def test_cookies(self) -> None:
        client = WSClient()
        client.set_cookie("foo", "not-bar")
        client.set_cookie("foo", "bar")
        client.set_cookie("qux", "qu;x")
        parsed = parse_cookie(client.headers["cookie"].decode("ascii"))
        assert parsed == client.get_cookies()
        assert parsed == {"foo": "bar", "qux": "qu;x", "sessionid": client.get_cookies()["sessionid"]}

    def test_headers(self) -> None:
        client = WSClient()
        client.set_header("Origin", "http://example.com")
        client.set_header("x-bytes", b"\xff")
        headers = seen_by(client, "websocket.connect")["headers"]
        assert [b"origin", b"http://example.com"] in headers
        assert [b"x-bytes", b"\xff"] in headers
        assert [type(part) for header in headers for part in header] == [bytes] * 6

    def test_cookie_is_refused(self) -> None:
        for name in ("cookie", "Cookie"):
            with pytest.raises(ValueError, match="set_cookie"):
                WSClient().set_header(name, "a=b")

    def test_headers_given_win(self) -> None:
        client = WSClient()
        client.set_header("origin", "http://example.com")
        assert seen_by(client, content={"headers": [[b"a", b"b"]]})["headers"] == [[b"a", b"b"]]
        assert seen_by(client, content={"headers": {"a": "b"}})["headers"] == [[b"a", b"b"]]  # item 102

    def test_the_session_s_cookie_goes_with_the_first_message_only(self) -> None:
        client = WSClient()
        client.set_cookie("foo", "bar")
        name = settings.SESSION_COOKIE_NAME
        first, second = (dict(seen_by(client)["headers"])[b"cookie"].decode() for _ in range(2))
        assert set(parse_cookie(first)) == {"foo", name}
        assert set(parse_cookie(second)) == {"foo"}

    def test_origins(self) -> None:
        client = WSClient()
        with (
            apply_routes(route("websocket.connect", allowed_hosts_only(accept))),
            override_settings(ALLOWED_HOSTS=["example.com"]),
        ):
            client.set_header("origin", "https://example.com")
            client.send_and_consume("websocket.connect")


@channel_session_user_from_http
def name_from_http(message: Any) -> str:
    return str(message.user.username)


@channel_session_user
def name(message: Any) -> str:
    return str(message.user.username)


@http_session_user
def name_by_http_session(message: Any) -> str:
    return str(message.user.username)


class TestUsers(ChannelTestCase):
    """Item 213: logging in."""

    def setUp(self) -> None:
        self.user = get_user_model().objects.create_user("ann", password="secret")

    def names(self, client: WSClient) -> list[str]:
        routes = [route("websocket.connect", name_from_http), route("websocket.receive", name)]
        with apply_routes(routes):
            return [
                client.send_and_consume("websocket.connect"),
                client.send_and_consume("websocket.receive"),
                client.send_and_consume("websocket.receive"),
            ]

    def test_login(self) -> None:
        client = WSClient()
        assert client.login(username="ann", password="secret") is True
        assert self.names(client) == ["ann", "ann", "ann"]

    def test_wrong_credentials_and_inactive_users(self) -> None:
        client = WSClient()
        assert client.login(username="ann", password="wrong") is False
        self.user.is_active = False
        self.user.save()
        assert client.login(username="ann", password="secret") is False
        assert self.names(client) == ["", "", ""]

    @override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.AllowAllUsersModelBackend"])
    def test_inactive_users_whatever_the_backend_says(self) -> None:
        self.user.is_active = False
        self.user.save()
        assert WSClient().login(username="ann", password="secret") is False

    def test_a_login_later_is_saved(self) -> None:
        client = WSClient()
        client.send("websocket.connect")
        client.force_login(self.user)
        assert type(client.session)(client.session.session_key)["_auth_user_id"] == str(self.user.pk)

    def test_force_login(self) -> None:
        client = WSClient()
        client.force_login(self.user)
        assert self.user.backend == settings.AUTHENTICATION_BACKENDS[0]
        assert self.names(client) == ["ann", "ann", "ann"]
        client.force_login(self.user, backend="some.backend")
        assert self.user.backend == "some.backend"

    def test_two_clients_are_two_people(self) -> None:
        bob = get_user_model().objects.create_user("bob")
        clients = [WSClient(), WSClient(), WSClient()]
        clients[0].force_login(self.user)
        clients[1].force_login(bob)
        assert [self.names(client)[2] for client in clients] == ["ann", "bob", ""]

    def test_other_consumers_of_the_cookie(self) -> None:
        client = WSClient()
        client.force_login(self.user)
        with apply_routes(route("websocket.connect", name_by_http_session)):
            assert client.send_and_consume("websocket.connect") == "ann"

    @override_settings(
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        CHANNEL_SESSION_ENGINE="django.contrib.sessions.backends.db",
    )
    def test_sessions_in_cookies(self) -> None:
        client = WSClient()
        client.force_login(self.user)
        assert self.names(client) == ["ann", "ann", "ann"]

    @override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")
    def test_sessions_in_the_cache(self) -> None:
        client = WSClient()
        assert client.login(username="ann", password="secret")
        assert self.names(client) == ["ann", "ann", "ann"]

    @modify_settings(INSTALLED_APPS={"remove": ["django.contrib.sessions"]})
    def test_without_the_app(self) -> None:
        client = WSClient()
        with pytest.raises(EnvironmentError, match=r"django\.contrib\.sessions"):
            client.session  # noqa: B018
        assert client.get_cookies() == {}
        assert client.login(username="ann", password="secret") is False


class TestSessions(ChannelTestCase):
    """Item 213: the client's session is what consumers see of it."""

    def test_channel_session(self) -> None:
        @channel_session
        def consumer(message: Any) -> Any:
            message.channel_session["count"] = message.channel_session.get("count", 0) + 1
            return message.channel_session["count"]

        client = WSClient()
        with apply_routes(route("websocket.receive", consumer)):
            assert [client.send_and_consume("websocket.receive") for _ in range(2)] == [1, 2]
            assert WSClient().send_and_consume("websocket.receive") == 1
        assert client.session["count"] == 2

    def test_http_session(self) -> None:
        @http_session
        def consumer(message: Any) -> Any:
            return message.http_session.get("basket")

        client = WSClient()
        client.session["basket"] = ["book"]
        with apply_routes(route("websocket.connect", consumer)):
            assert client.send_and_consume("websocket.connect", check_accept=False) == ["book"]
            assert WSClient().send_and_consume("websocket.connect", check_accept=False) is None

    def test_http_session_changed_between_messages(self) -> None:
        """The example of the 1.x documentation."""

        class Rooms(JsonWebsocketConsumer):
            http_user_and_session = True
            groups = ["rooms_watchers"]

            def receive(self, content: Any, **kwargs: Any) -> None:
                self.send({"rooms": self.message.http_session.get("rooms", [])})
                Channel("rooms_receive").send({"user": self.message.user.id, "message": content["message"]})

        client, user = WSClient(), get_user_model().objects.create_user("ann", password="secret")
        client.login(username="ann", password="secret")
        with apply_routes([Rooms.as_route(path="^/rooms/$")]):
            client.send_and_consume("websocket.connect", path="/rooms/")
            assert client.receive() is None
            Group("rooms_watchers").send({"text": "ok"}, immediately=True)
            assert client.receive(json=False) == "ok"
            client.session["rooms"] = ["test", "1"]
            client.session.save()
            client.send_and_consume("websocket.receive", text={"message": "hey"}, path="/rooms/")
        assert client.receive() == {"rooms": ["test", "1"]}
        assert self.get_next_message("rooms_receive", require=True).content == {"user": user.pk, "message": "hey"}
        assert client.receive() is None

    def test_http_session_of_a_user(self) -> None:
        @http_session
        def consumer(message: Any) -> Any:
            message.http_session["seen"] = True
            return message.http_session["basket"]

        client = WSClient()
        client.force_login(get_user_model().objects.create_user("ann"))
        client.session["basket"] = ["book"]
        client.session.save()
        with apply_routes(route("websocket.connect", consumer)):
            assert client.send_and_consume("websocket.connect") == ["book"]
        assert type(client.session)(client.session.session_key)["seen"] is True


def test_http_client_is_deprecated() -> None:
    """Item 209."""
    with pytest.warns(DeprecationWarning, match="WSClient"):
        client = HttpClient(ordered=True)
    assert isinstance(client, WSClient)
