"""Users for consumers: from the browser's session, and kept in the connection's (Channels 1.x, items 147 to 154)."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase

from channelcelery.around import around
from channelcelery.sessions import (
    channel_and_http_session,
    channel_session,
    http_session,
    with_channel_and_http_session,
    with_channel_session,
    with_http_session,
)

# the decorators of sessions too: in Channels 1.x they could be imported from here, and projects do
__all__ = [
    "channel_and_http_session",
    "channel_and_http_session_user_from_http",
    "channel_session",
    "channel_session_user",
    "channel_session_user_from_http",
    "http_session",
    "http_session_user",
    "transfer_user",
]

_KEYS = (auth.BACKEND_SESSION_KEY, auth.SESSION_KEY, auth.HASH_SESSION_KEY)


def transfer_user(from_session: SessionBase, to_session: SessionBase) -> None:
    """Make the user of one session that of another, nobody included (item 151, and defect 16 of 1.1.8).

    Args:
        from_session: usually the browser's.
        to_session: usually the connection's; other data in it stays.
    """
    complete = all(key in from_session for key in _KEYS)
    for key in _KEYS:
        if complete and to_session.get(key) != from_session[key]:
            to_session[key] = from_session[key]
        elif not complete and key in to_session:
            del to_session[key]


@contextmanager
def _http_session_user(message: Any) -> Iterator[None]:
    with with_http_session(message):
        message.user = _http_user(message.http_session)
        yield


@contextmanager
def _channel_session_user(message: Any) -> Iterator[None]:
    with with_channel_session(message):
        message.user = _user(message.channel_session)
        yield


@contextmanager
def _channel_session_user_from_http(message: Any) -> Iterator[None]:
    with with_http_session(message), with_channel_session(message):
        _set_user_from_http(message)
        yield


@contextmanager
def _channel_and_http_session_user_from_http(message: Any) -> Iterator[None]:
    with with_channel_and_http_session(message):
        _set_user_from_http(message)
        yield


#: Decorator: `http_session`, and `message.user` from it, AnonymousUser without one (item 147).
http_session_user = around("http_session_user", _http_session_user)

#: Decorator: `channel_session`, and `message.user` from it, AnonymousUser if it has none (item 148).
channel_session_user = around("channel_session_user", _channel_session_user)

#: Decorator for connect: both sessions; the browser's user becomes the connection's, and `message.user` (item 149).
channel_session_user_from_http = around("channel_session_user_from_http", _channel_session_user_from_http)

#: Decorator: the same, with `http_session` on later messages too (item 150); a log-out on the site then counts there.
channel_and_http_session_user_from_http = around(
    "channel_and_http_session_user_from_http", _channel_and_http_session_user_from_http
)


def _set_user_from_http(message: Any) -> None:
    if message.http_session is None:
        message.user = _user(message.channel_session)
        return
    # the user first: it empties a session whose password has changed since
    message.user = _http_user(message.http_session)
    transfer_user(message.http_session, message.channel_session)


def _http_user(session: SessionBase | None) -> Any:
    return _user(None if session is None else _NotRenewed(session))


def _user(session: Any) -> Any:
    """Return the user of a session, loaded anew (item 152)."""
    if session is None:
        from django.contrib.auth.models import AnonymousUser  # at import the models may not be loaded yet

        return AnonymousUser()
    request: Any = SimpleNamespace(session=session)  # all that get_user asks of a request
    return auth.get_user(request)


class _NotRenewed:
    """A browser's session as `get_user` sees it: to be read and ended, never put under a new key.

    Django gives a session that was signed with one of SECRET_KEY_FALLBACKS a new key. Here nothing could tell the
    browser, which would be logged out.

    Args:
        session: the session.
    """

    def __init__(self, session: SessionBase) -> None:
        self._session = session

    def __getitem__(self, key: str) -> Any:
        return self._session[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Leave the session's hash as it is; the site renews it with the key."""

    def get(self, key: str) -> Any:
        return self._session.get(key)

    def flush(self) -> None:
        self._session.flush()

    def cycle_key(self) -> None:
        """Keep the key."""
