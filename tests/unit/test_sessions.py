"""Session decorators (Channels 1.x, items 131 to 146; defects 14 and 15)."""

import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.file import SessionStore as FileStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpRequest
from django.test.utils import CaptureQueriesContext

from channelcelery import sessions
from channelcelery.exceptions import ConsumeLater
from channelcelery.message import Message
from channelcelery.sessions import (
    channel_and_http_session,
    channel_session,
    channel_session_key,
    http_session,
    session_for_reply_channel,
)
from tests.fakes import make_message
from tests.unit.sockets import REPLY, connect_message, disconnect_message, receive_message, run_async

pytestmark = pytest.mark.django_db

KEY = channel_session_key(REPLY)


@pytest.fixture
def session_files(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own for the file engine, which remembers the first that it was given."""
    monkeypatch.setattr(FileStore, "_storage_path", str(tmp_path), raising=False)
    return tmp_path


def stored() -> dict[str, Any]:
    """Return what the connection's session holds for the next message."""
    return dict(session_for_reply_channel(REPLY).items())


def browser_session(**data: Any) -> SessionStore:
    session = SessionStore()
    session.update(data)
    session.create() if not data else session.save()
    return session


@channel_session
def put(message: Any, **data: Any) -> None:
    message.channel_session.update(data)


class TestChannelSessionKey:
    def test_it_is_bound_to_the_secret_key(self, settings: Any) -> None:
        """Item 132, better: 32 characters that do not follow from the reply channel's name."""
        assert KEY.startswith("chn")
        assert len(KEY) == 32
        assert channel_session_key(REPLY + "x") != KEY
        for name in ("sha1", "sha256", "md5"):
            assert KEY[3:] not in hashlib.new(name, REPLY.encode()).hexdigest()
        settings.SECRET_KEY = "another"
        assert channel_session_key(REPLY) != KEY


class TestChannelSession:
    def test_given_two_messages_of_a_socket_expect_the_same_data(self) -> None:
        """Item 131."""
        put(connect_message(), room="a")
        seen: list[Any] = []

        @channel_session
        def consumer(message: Any, *, extra: int) -> str:
            seen.append((message.channel_session["room"], extra))
            return "returned"

        assert consumer(receive_message(), extra=5) == "returned"
        assert seen == [("a", 5)]
        other = make_message("websocket.receive", reply_channel="websocket.send!node.other")
        with pytest.raises(KeyError):
            consumer(other, extra=5)

    def test_given_methods_and_async_functions_expect_them_to_work(self) -> None:
        """Item 131."""

        class Consumers:
            @channel_session
            def method(self, message: Any) -> None:
                message.channel_session["method"] = True

            @channel_session
            async def async_method(self, message: Any) -> None:
                message.channel_session["async_method"] = True

        @channel_session
        async def function(message: Any) -> None:
            message.channel_session["function"] = await message.channel_session.aget("method")

        Consumers().method(connect_message())
        run_async(Consumers().async_method, receive_message())
        run_async(function, receive_message())
        assert stored() == {"method": True, "async_method": True, "function": True}

    def test_given_no_message_expect_a_value_error(self) -> None:
        """Item 133."""
        with pytest.raises(ValueError, match="channel_session called without Message instance"):
            put({"reply_channel": REPLY})

    def test_given_no_reply_channel_expect_a_value_error(self) -> None:
        """Item 133."""
        with pytest.raises(ValueError, match="No reply_channel"):
            put(make_message("chat"))

    def test_given_signed_cookies_expect_a_value_error(self, settings: Any) -> None:
        """Item 133."""
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        with pytest.raises(ValueError, match="CHANNEL_SESSION_ENGINE"):
            put(connect_message())
        settings.CHANNEL_SESSION_ENGINE = "django.contrib.sessions.backends.db"
        put(connect_message(), a=1)
        assert stored() == {"a": 1}

    def test_given_a_first_message_expect_a_session_even_if_nothing_is_written(self) -> None:
        """Item 134."""
        put(connect_message())
        assert Session.objects.get().session_key == KEY

    def test_given_another_consumer_creating_it_expect_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Item 134: it comes between the look and the write."""
        put(connect_message())
        monkeypatch.setattr(SessionStore, "exists", lambda self, key: False)
        ran: list[int] = []
        with pytest.raises(ConsumeLater):
            channel_session(lambda message: ran.append(1))(receive_message())
        assert ran == []
        assert Session.objects.count() == 1

    def test_if_the_consumer_raises_expect_it_saved(self) -> None:
        """Item 135."""

        @channel_session
        def consumer(message: Any) -> None:
            message.channel_session["seen"] = True
            raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError):
            consumer(connect_message())
        assert stored() == {"seen": True}

    def test_if_nothing_changed_expect_no_write(self) -> None:
        """Item 135; and one query to load it."""
        put(connect_message(), a=1)
        read_only = channel_session(lambda message: message.channel_session["a"])
        with CaptureQueriesContext(connection) as queries:
            assert read_only(receive_message()) == 1
        assert [query["sql"].split()[0] for query in queries] == ["SELECT"]

    def test_if_the_session_was_flushed_expect_it_gone(self) -> None:
        """Item 135: logout works."""
        put(connect_message(), a=1)
        channel_session(lambda message: message.channel_session.flush())(receive_message())
        assert Session.objects.count() == 0
        put(receive_message())
        assert stored() == {}

    def test_if_it_gets_another_key_expect_its_data_under_its_own(self) -> None:
        """What Django's login() does; in 1.1.8 the data was lost, and a session that nobody deletes stayed."""
        put(connect_message(), a=1)
        user = User.objects.create_user("ann")

        @channel_session
        def consumer(message: Any) -> None:
            request = HttpRequest()
            request.session = message.channel_session
            login(request, user, "django.contrib.auth.backends.ModelBackend")

        consumer(receive_message())
        assert Session.objects.get().session_key == KEY
        assert stored()["a"] == 1
        assert stored()["_auth_user_id"] == str(user.pk)

        @channel_session
        def flush_and_write(message: Any) -> None:
            message.channel_session.flush()
            message.channel_session["b"] = 2

        flush_and_write(receive_message())
        assert Session.objects.get().session_key == KEY
        assert stored() == {"b": 2}

    def test_given_nested_decorators_expect_one_session_and_one_write(self) -> None:
        """Item 136."""
        objects: list[SessionBase] = []

        @channel_session
        def inner(message: Any) -> None:
            objects.append(message.channel_session)
            message.channel_session["n"] += 1

        @channel_session
        def outer(message: Any) -> None:
            objects.append(message.channel_session)
            message.channel_session["n"] = 1
            inner(message)

        put(connect_message(), n=0)
        with CaptureQueriesContext(connection) as queries:
            channel_session(outer)(receive_message())
        assert objects[0] is objects[1]
        assert stored() == {"n": 2}
        assert sum(query["sql"].startswith("UPDATE") for query in queries) == 1

    def test_given_concurrent_messages_expect_the_last_to_win(self) -> None:
        """Item 137."""

        @channel_session
        def slow(message: Any) -> None:
            message.channel_session["slow"] = True
            put(receive_message(), quick=True)

        put(connect_message(), a=1)
        slow(receive_message())
        assert stored() == {"a": 1, "slow": True}

    @pytest.mark.parametrize("engine", ["db", "cached_db", "cache", "file"])
    def test_given_any_engine_expect_it_to_work(self, engine: str, settings: Any, session_files: Path) -> None:
        """Items 47 and 146: CHANNEL_SESSION_ENGINE counts rather than SESSION_ENGINE."""
        settings.CHANNEL_SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
        reply = f"websocket.send!node.{engine}"
        for n in (1, 2):
            put(receive_message(reply_channel=reply), **{str(n): n})
        assert dict(session_for_reply_channel(reply).items()) == {"1": 1, "2": 2}
        put(make_message("websocket.disconnect", reply_channel=reply))
        assert not session_for_reply_channel(reply).exists(channel_session_key(reply))

    def test_given_a_name_expect_its_session(self) -> None:
        """Item 145."""
        put(connect_message(), a=1)
        assert session_for_reply_channel(REPLY)["a"] == 1
        assert session_for_reply_channel(REPLY).session_key == KEY
        assert dict(session_for_reply_channel("websocket.send!node.none").items()) == {}
        assert Session.objects.count() == 1

    def test_if_the_session_expired_expect_a_fresh_one(self) -> None:
        put(connect_message(), a=1)
        session = session_for_reply_channel(REPLY)
        session.set_expiry(-1)
        session.save()
        put(receive_message(), b=2)
        put(receive_message(), c=3)
        assert stored() == {"b": 2, "c": 3}

    def test_if_a_file_expired_expect_no_other_one_in_its_place(self, settings: Any, session_files: Path) -> None:
        settings.CHANNEL_SESSION_ENGINE = "django.contrib.sessions.backends.file"
        put(connect_message(), a=1)
        (file,) = session_files.iterdir()
        os.utime(file, (1, 1))
        put(receive_message(), b=2)
        assert stored() == {"b": 2}
        assert list(session_files.iterdir()) == [file]


class TestTheEndOfAConnection:
    def test_given_a_decorated_disconnect_expect_the_session_deleted(self) -> None:
        """Defect 15; where nothing is decorated it expires (item 138)."""
        put(connect_message(), room="a")
        seen: list[Any] = []

        @channel_session
        @channel_session
        def leave(message: Any) -> None:
            seen.append(message.channel_session["room"])
            message.channel_session["left"] = True

        leave(disconnect_message())
        assert seen == ["a"]
        assert Session.objects.count() == 0

    def test_given_a_request_that_ends_expect_its_session_deleted_too(self) -> None:
        put(make_message("http.request", reply_channel=REPLY, path="/"), room="a")
        assert stored() == {"room": "a"}
        put(make_message("http.disconnect", reply_channel=REPLY, path="/"), left=True)
        assert Session.objects.count() == 0

    def test_if_the_disconnect_consumer_raises_expect_it_deleted_too(self) -> None:
        put(connect_message(), room="a")

        @channel_session
        def leave(message: Any) -> None:
            raise RuntimeError("on purpose")

        with pytest.raises(RuntimeError):
            leave(disconnect_message())
        assert Session.objects.count() == 0

    def test_if_the_disconnect_is_to_run_later_expect_it_kept(self) -> None:
        put(connect_message(), room="a")

        @channel_session
        def leave(message: Any) -> None:
            raise ConsumeLater

        with pytest.raises(ConsumeLater):
            leave(disconnect_message())
        assert stored() == {"room": "a"}

    def test_given_a_disconnect_without_a_session_expect_none_created(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            put(disconnect_message(), a=1)
        assert not any(query["sql"].startswith("INSERT") for query in queries)
        assert Session.objects.count() == 0

    def test_if_it_ends_while_a_consumer_runs_expect_no_session_left(self, caplog: pytest.LogCaptureFixture) -> None:
        @channel_session
        def slow(message: Any) -> None:
            put(disconnect_message())
            message.channel_session["slow"] = True

        put(connect_message(), a=1)
        with caplog.at_level(logging.INFO):
            slow(receive_message())
        assert Session.objects.count() == 0
        assert "a session was not saved" in caplog.text
        assert KEY not in caplog.text

    def test_if_saving_fails_for_another_reason_expect_the_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: SessionBase, must_create: bool = False) -> None:
            raise UpdateError

        put(connect_message(), a=1)
        monkeypatch.setattr(SessionStore, "save", fail)
        with pytest.raises(UpdateError):
            put(receive_message(), b=2)


@http_session
def read(message: Any) -> Any:
    return None if message.http_session is None else dict(message.http_session.items())


class TestHttpSession:
    def test_given_a_cookie_expect_its_session(self) -> None:
        """Item 139."""
        assert read(connect_message(cookie=browser_session(a=1).session_key)) == {"a": 1}

    def test_given_a_key_in_the_query_expect_it_to_win(self) -> None:
        """Items 128 and 139."""
        first, second = browser_session(n=1), browser_session(n=2)
        query = f"x=1&session_key={second.session_key}".encode()
        assert read(connect_message(cookie=first.session_key, query=query)) == {"n": 2}
        assert read(connect_message(query=query)) == {"n": 2}

    def test_given_the_setting_expect_the_query_ignored(self, settings: Any) -> None:
        """Item 139: a setting turns it off."""
        first, second = browser_session(n=1), browser_session(n=2)
        query = f"session_key={second.session_key}".encode()
        settings.CHANNELS_SESSION_KEY_IN_QUERY = False
        assert read(connect_message(cookie=first.session_key, query=query)) == {"n": 1}
        assert read(connect_message(query=query)) is None

    def test_given_neither_expect_none(self) -> None:
        """Items 139 and 142."""
        assert read(connect_message()) is None
        assert read(connect_message(query=b"session_key=")) is None
        assert read(receive_message()) is None

    def test_given_a_key_that_does_not_exist_expect_an_empty_session_and_no_write(self) -> None:
        """Item 139: never creates one, and does not look."""

        @http_session
        def write(message: Any) -> None:
            message.http_session["a"] = 1

        with CaptureQueriesContext(connection) as queries:
            http_session(lambda message: None)(connect_message(cookie="z" * 32))
        assert len(queries) == 0
        write(connect_message(cookie="z" * 32))
        assert Session.objects.count() == 0

    def test_if_modified_expect_it_saved_but_not_if_the_consumer_raised(self) -> None:
        """Item 140."""
        session = browser_session(a=1)

        @http_session
        def write(message: Any, value: int, fail: bool = False) -> None:
            message.http_session["a"] = value
            if fail:
                raise RuntimeError("on purpose")

        write(connect_message(cookie=session.session_key), 2)
        assert SessionStore(session.session_key)["a"] == 2
        with pytest.raises(RuntimeError):
            http_session(write)(connect_message(cookie=session.session_key), 3, fail=True)
        assert SessionStore(session.session_key)["a"] == 2

    def test_if_the_user_logs_out_meanwhile_expect_no_resurrection(self) -> None:
        session = browser_session(a=1)

        @http_session
        def write(message: Any) -> None:
            message.http_session["a"] = 2
            SessionStore(session.session_key).delete()

        write(connect_message(cookie=session.session_key))
        assert Session.objects.count() == 0

    @pytest.mark.parametrize(
        "content",
        [
            {},
            {"path": 5},
            {"path": "/", "headers": 5},
            {"path": "/", "headers": [[b"cookie"]]},
            {"path": "/", "query_string": 5},
            {"path": "/", "query_string": b"a=1&" * 5000},
        ],
    )
    def test_given_no_http_message_expect_a_value_error(self, content: dict[str, Any]) -> None:
        """Item 141."""
        with pytest.raises(ValueError, match="Cannot parse HTTP message"):
            read(make_message("chat", **content))

    def test_given_an_error_expect_no_key_in_it(self) -> None:
        query = b"session_key=" + b"q" * 32 + b"&a=1" * 5000
        with pytest.raises(ValueError) as caught:
            read(connect_message(query=query))
        assert "qqq" not in f"{caught.value!r}{caught.value.__cause__!r}"

    def test_given_no_method_expect_none_written_into_the_content(self) -> None:
        """Item 141 and defect 14."""
        message = connect_message(cookie=browser_session(a=1).session_key)
        before = dict(message.content)
        read(message)
        assert message.content == before

    def test_given_signed_cookies_expect_the_cookie_only(self, settings: Any) -> None:
        """Item 143."""
        from django.contrib.sessions.backends import signed_cookies

        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        session = signed_cookies.SessionStore()
        session["a"] = 1
        session.save()
        assert read(connect_message(cookie=session.session_key)) == {"a": 1}
        assert read(connect_message(query=f"session_key={session.session_key}".encode())) is None

    @pytest.mark.parametrize("shape", [KEY, KEY.upper(), f"{KEY}%20"])
    def test_given_the_key_of_a_connection_expect_it_refused(
        self, shape: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Item 132: what a client sends opens no channel session, even if it knew a key."""
        put(connect_message(), secret=True)
        with caplog.at_level(logging.DEBUG):
            assert read(connect_message(query=f"session_key={shape}".encode())) is None
            assert read(connect_message(cookie=KEY)) is None
        assert "refused" in caplog.text
        assert KEY not in caplog.text.lower()

    def test_given_a_sites_own_key_that_begins_alike_expect_it_taken(self) -> None:
        session = SessionStore("chn" + "z" * 29)
        session["a"] = 1
        session.save(must_create=True)
        assert read(connect_message(cookie=session.session_key)) == {"a": 1}

    def test_given_methods_and_async_functions_expect_them_to_work(self) -> None:
        session = browser_session(a=1)

        class Consumers:
            @http_session
            def method(self, message: Any) -> Any:
                return message.http_session["a"]

        @http_session
        async def function(message: Any) -> None:
            await message.http_session.aset("a", await message.http_session.aget("a") + 1)

        assert Consumers().method(connect_message(cookie=session.session_key)) == 1
        run_async(function, connect_message(cookie=session.session_key))
        assert SessionStore(session.session_key)["a"] == 2

    def test_given_nested_decorators_expect_one_session(self) -> None:
        @http_session
        def outer(message: Any) -> bool:
            first = message.http_session
            return bool(http_session(lambda message: message.http_session is first)(message))

        assert outer(connect_message(cookie=browser_session(a=1).session_key))


class TestBoth:
    def test_given_a_cookie_on_connect_expect_its_session_later(self) -> None:
        """Item 144."""
        session = browser_session(a=1)

        @channel_and_http_session
        def consumer(message: Any) -> None:
            message.http_session["a"] += 1
            message.channel_session["n"] = message.channel_session.get("n", 0) + 1

        consumer(connect_message(cookie=session.session_key))
        consumer(receive_message())
        assert SessionStore(session.session_key)["a"] == 3
        assert stored() == {"sessionid": session.session_key, "n": 2}

    def test_given_a_key_that_is_kept_expect_it_to_stay_whatever_session_comes_later(self) -> None:
        """Item 144: it is that of connect."""

        @channel_and_http_session
        def consumer(message: Any) -> Any:
            return message.http_session["a"]

        first, second = browser_session(a=1), browser_session(a=2)
        assert consumer(connect_message(cookie=first.session_key)) == 1
        assert consumer(connect_message(cookie=second.session_key)) == 2
        assert stored() == {"sessionid": first.session_key}

    def test_given_none_expect_none(self) -> None:
        @channel_and_http_session
        def consumer(message: Any) -> Any:
            return message.http_session

        assert consumer(connect_message()) is None
        assert consumer(receive_message()) is None
        consumer(connect_message(cookie="short"))
        assert stored() == {}


def test_enforce_ordering_has_its_home_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 155: `from channelcelery.sessions import enforce_ordering`, bare or called."""
    ordering: Any = type("ordering", (), {"enforce_ordering": staticmethod(lambda func, slight: (func, slight))})
    monkeypatch.setattr(sessions, "import_module", {"channelcelery.ordering": ordering}.__getitem__)
    assert sessions.enforce_ordering(put) == (put, False)  # type: ignore[comparison-overlap]
    assert sessions.enforce_ordering(slight=True) == (None, True)  # type: ignore[comparison-overlap]


def test_a_message_keeps_its_attributes() -> None:
    """Item 35."""
    message: Any = connect_message()
    assert isinstance(message, Message)
    put(message, a=1)
    assert message.channel_session["a"] == 1
