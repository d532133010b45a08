"""User decorators (Channels 1.x, items 147 to 154; defect 16)."""

from typing import Any

import pytest
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client

import channelcelery.auth
import channelcelery.sessions
from channelcelery.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    http_session_user,
    transfer_user,
)
from channelcelery.sessions import channel_session, session_for_reply_channel
from tests.unit.sockets import REPLY, connect_message, receive_message, run_async

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann", password="secret")


def cookie_of(user: User) -> str:
    """Log a user in, as a view does, and return the session's key."""
    client = Client()
    client.force_login(user)
    return str(client.session.session_key)


def whoami(message: Any) -> Any:
    return message.user


def connect_as(user: User) -> str:
    cookie = cookie_of(user)
    assert channel_session_user_from_http(whoami)(connect_message(cookie=cookie)) == user
    return cookie


def test_expect_the_decorators_of_sessions_too() -> None:
    """Items 131, 139 and 144: projects for Channels 1.x import them from here as well."""
    for name in ("channel_session", "http_session", "channel_and_http_session"):
        assert getattr(channelcelery.auth, name) is getattr(channelcelery.sessions, name)
        assert name in channelcelery.auth.__all__


class TestHttpSessionUser:
    def test_given_a_login_expect_its_user(self, user: User) -> None:
        """Item 147."""
        message: Any = connect_message(cookie=cookie_of(user))
        assert http_session_user(whoami)(message) == user
        assert message.http_session["_auth_user_id"] == str(user.pk)

    def test_given_no_session_expect_nobody(self) -> None:
        """Item 147, and item 6: AnonymousUser rather than None."""
        assert http_session_user(whoami)(connect_message()) == AnonymousUser()
        assert http_session_user(whoami)(connect_message(cookie="z" * 32)) == AnonymousUser()
        assert Session.objects.count() == 0

    def test_given_a_session_signed_with_a_former_secret_key_expect_its_browser_to_stay_logged_in(
        self, user: User, settings: Any
    ) -> None:
        """Django gives such a session a new key; nothing could tell the browser."""
        cookie = cookie_of(user)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "new"
        before = dict(SessionStore(cookie).items())
        assert http_session_user(whoami)(connect_message(cookie=cookie)) == user
        assert dict(SessionStore(cookie).items()) == before
        assert Session.objects.count() == 1


class TestChannelSessionUser:
    def test_given_a_user_of_the_connection_expect_it(self, user: User) -> None:
        """Item 148."""
        connect_as(user)
        assert channel_session_user(whoami)(receive_message()) == user

    def test_given_none_expect_nobody(self) -> None:
        """Item 148."""
        assert channel_session_user(whoami)(connect_message()) == AnonymousUser()

    def test_given_a_changed_password_expect_nobody_and_other_data_gone(self, user: User) -> None:
        """Item 152: loaded for each message, and checked."""
        connect_as(user)
        user.set_password("other")
        user.save()
        assert channel_session_user(whoami)(receive_message()) == AnonymousUser()
        assert dict(session_for_reply_channel(REPLY).items()) == {}

    def test_given_a_deleted_user_expect_nobody(self, user: User) -> None:
        """Item 152."""
        connect_as(user)
        user.delete()
        assert channel_session_user(whoami)(receive_message()) == AnonymousUser()

    def test_given_a_logout_on_the_site_expect_the_connection_to_keep_its_user(self, user: User) -> None:
        """Item 152."""
        cookie = connect_as(user)
        SessionStore(cookie).flush()
        assert channel_session_user(whoami)(receive_message()) == user


class TestFromHttp:
    def test_given_a_login_expect_the_user_now_and_later(self, user: User) -> None:
        """Items 149 and 154."""
        message: Any = connect_message(cookie=cookie_of(user))
        assert channel_session_user_from_http(whoami)(message) == user
        assert message.http_session is not None
        assert message.channel_session["_auth_user_id"] == str(user.pk)
        assert channel_session_user(whoami)(receive_message()) == user

    def test_given_no_login_expect_nobody_and_no_http_session(self) -> None:
        """Item 149."""
        message: Any = connect_message()
        assert channel_session_user_from_http(whoami)(message) == AnonymousUser()
        assert message.http_session is None
        assert channel_session_user(whoami)(receive_message()) == AnonymousUser()

    def test_given_a_changed_password_expect_nobody_in_either_session(self, user: User) -> None:
        """Items 152 and 154: the browser's session ends as on the site, before anything of it goes over."""
        cookie = cookie_of(user)
        user.set_password("other")
        user.save()
        message: Any = connect_message(cookie=cookie)
        assert channel_session_user_from_http(whoami)(message) == AnonymousUser()
        assert not SessionStore().exists(cookie)
        assert auth.SESSION_KEY not in message.channel_session

    def test_given_a_later_message_expect_the_user_of_the_connection(self, user: User) -> None:
        connect_as(user)
        assert channel_session_user_from_http(whoami)(receive_message()) == user

    def test_given_nothing_new_expect_no_write(self, user: User) -> None:
        cookie = connect_as(user)
        before = Session.objects.get(session_key=session_for_reply_channel(REPLY).session_key).expire_date
        channel_session_user_from_http(whoami)(connect_message(cookie=cookie))
        assert Session.objects.get(session_key=session_for_reply_channel(REPLY).session_key).expire_date == before


class TestBothFromHttp:
    def test_given_a_login_expect_user_and_http_session_on_every_message(self, user: User) -> None:
        """Item 150."""
        cookie = cookie_of(user)
        for message in (connect_message(cookie=cookie), receive_message()):
            seen: Any = message
            assert channel_and_http_session_user_from_http(whoami)(message) == user
            assert seen.http_session.session_key == cookie
            assert seen.channel_session["_auth_user_id"] == str(user.pk)

    def test_given_a_logout_on_the_site_expect_nobody_from_then_on(self, user: User) -> None:
        cookie = cookie_of(user)
        channel_and_http_session_user_from_http(whoami)(connect_message(cookie=cookie))
        SessionStore(cookie).flush()
        assert channel_and_http_session_user_from_http(whoami)(receive_message()) == AnonymousUser()
        assert channel_session_user(whoami)(receive_message()) == AnonymousUser()
        assert Session.objects.count() == 1, "none came back"


class TestTransferUser:
    def sessions(self, user: User) -> tuple[SessionStore, SessionStore]:
        source, target = SessionStore(cookie_of(user)), SessionStore()
        target["other"] = 1
        return source, target

    def test_given_a_user_expect_the_three_keys_and_no_other(self, user: User) -> None:
        """Item 151."""
        source, target = self.sessions(user)
        source["private"] = 1
        transfer_user(source, target)
        keys = {auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY}
        assert dict(target.items()) == {key: source[key] for key in keys} | {"other": 1}

    @pytest.mark.parametrize("missing", [auth.SESSION_KEY, auth.BACKEND_SESSION_KEY, auth.HASH_SESSION_KEY])
    def test_given_less_than_the_three_expect_nobody(self, user: User, missing: str) -> None:
        """Defect 16: 1.1.8 left the former user in the target."""
        source, target = self.sessions(user)
        transfer_user(source, target)
        del source[missing]
        transfer_user(source, target)
        assert dict(target.items()) == {"other": 1}

    def test_given_nobody_on_either_side_expect_no_change(self) -> None:
        """Item 151."""
        target = SessionStore()
        transfer_user(SessionStore(), target)
        assert not target.modified


DECORATORS = [
    http_session_user,
    channel_session_user,
    channel_session_user_from_http,
    channel_and_http_session_user_from_http,
]


@pytest.mark.parametrize("decorator", DECORATORS)
class TestEachDecorator:
    def test_given_a_method_or_async_function_expect_it_to_work(self, user: User, decorator: Any) -> None:
        """Item 153: on a method 1.1.8 raised ValueError."""
        connect_as(user)

        class Consumers:
            @decorator
            def method(self, message: Any, *, n: int) -> Any:
                return message.user, n

            @decorator
            async def async_method(self, message: Any) -> Any:
                return message.user

        cookie = cookie_of(user)
        assert Consumers().method(connect_message(cookie=cookie), n=1) == (user, 1)
        assert run_async(Consumers().async_method, connect_message(cookie=cookie)) == user

    def test_given_channel_session_around_or_inside_expect_one_object(self, user: User, decorator: Any) -> None:
        """Item 136."""
        cookie = cookie_of(user)
        decorated = channel_session(decorator(channel_session(lambda message: message.channel_session)))
        message: Any = connect_message(cookie=cookie)
        assert decorated(message) is message.channel_session

    def test_given_no_message_expect_a_value_error(self, decorator: Any) -> None:
        with pytest.raises(ValueError, match="without Message instance"):
            decorator(whoami)({})
