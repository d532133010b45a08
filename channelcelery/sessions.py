"""Sessions for consumers: the connection's own, and the browser's (Channels 1.x, items 131 to 146).

Each decorator is a context manager (`with_…`) put around the consumer; sessions are thus saved before anything that
the consumer sent leaves. On one message every decorator sees the same session object.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends import signed_cookies
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.http import QueryDict
from django.http.cookie import parse_cookie
from django.utils.crypto import salted_hmac

from channelcelery.around import around
from channelcelery.core.headers import header_values
from channelcelery.exceptions import ConsumeLater
from channelcelery.message import Message

__all__ = [
    "channel_and_http_session",
    "channel_session",
    "channel_session_key",
    "enforce_ordering",
    "http_session",
    "session_for_reply_channel",
    "with_channel_and_http_session",
    "with_channel_session",
    "with_http_session",
]

logger = logging.getLogger("django.channels.worker")

_PREFIX = "chn"
_LENGTH = 32
#: What `channel_session_key` makes, in any case and padding, since some databases compare without either. A site's own
#: random key matches this once in 10**15 keys, while "chn" alone begins every 50,000th.
_CHANNEL_KEY = re.compile(rf"\s*{_PREFIX}[0-9a-f]{{{_LENGTH - len(_PREFIX)}}}\s*", re.IGNORECASE)
#: After a message of these channels a connection has no more to say, and its session goes.
_LAST = frozenset({"websocket.disconnect", "http.disconnect"})


def channel_session_key(reply_channel: str) -> str:
    """Return the key of a connection's session: "chn" and 29 hexadecimal digits (item 132).

    It depends on SECRET_KEY, so that nobody can work it out who learns a reply channel's name.
    """
    digest = salted_hmac("channelcelery.sessions.channel_session", reply_channel, algorithm="sha256").hexdigest()
    return (_PREFIX + digest)[:_LENGTH]


def session_for_reply_channel(reply_channel: str) -> SessionBase:
    """Return the session of a connection, loaded, and empty if there is none (items 145 and 146).

    Args:
        reply_channel: the reply channel's name.

    Raises:
        ValueError: sessions are kept in signed cookies, which a socket cannot set (item 133).
    """
    store = _session_store(getattr(settings, "CHANNEL_SESSION_ENGINE", None) or settings.SESSION_ENGINE)
    if issubclass(store, signed_cookies.SessionStore):
        raise ValueError(
            "channel sessions cannot be kept in signed cookies: set CHANNEL_SESSION_ENGINE to another session engine"
        )
    key = channel_session_key(reply_channel)
    session = store(session_key=key)
    session.keys()
    if session.session_key not in (None, key):
        session.delete(session.session_key)  # the file engine puts a new session in an expired one's place
    _set_key(session, key)
    return session


@contextmanager
def with_channel_session(message: Any) -> Iterator[None]:
    """Give a message its `channel_session`, and save it; see `channel_session`."""
    outermost = not hasattr(message, "channel_session")
    if outermost:
        message.channel_session = _open_channel_session(message)
    over = outermost and message.channel.name in _LAST
    try:
        yield
    except ConsumeLater:
        over = False
        raise
    finally:
        key = channel_session_key(message.reply_channel.name)
        if over:
            message.channel_session.delete(key)
        else:
            _save_channel_session(message.channel_session, key)


@contextmanager
def with_http_session(message: Any) -> Iterator[None]:
    """Give a message its `http_session`, and save it; see `http_session`."""
    if not hasattr(message, "http_session"):
        message.http_session = _http_session(_http_session_key(message))
    yield
    session = message.http_session
    # a session without a key does not exist, and no answer could give the browser the key of a new one
    if session is not None and session.modified and session.session_key is not None:
        _save(session)


@contextmanager
def with_channel_and_http_session(message: Any) -> Iterator[None]:
    """Give a message both sessions, and save them; see `channel_and_http_session`."""
    with with_http_session(message), with_channel_session(message):
        kept = message.channel_session.get(settings.SESSION_COOKIE_NAME)
        if message.http_session is None:
            message.http_session = _http_session(kept)
        elif kept is None and message.http_session.session_key is not None:
            message.channel_session[settings.SESSION_COOKIE_NAME] = message.http_session.session_key
        yield


#: Decorator: `message.channel_session` is the connection's session, the same for all its messages on any worker.
#: It is created when first used, saved if it was modified even if the consumer raised, and deleted with the connection
#: if `websocket.disconnect` has the decorator too (items 131 to 138). Raises ValueError where there is no reply
#: channel, and ConsumeLater while another consumer creates it.
channel_session = around("channel_session", with_channel_session)

#: Decorator: `message.http_session` is the browser's session, by `?session_key=` or cookie, or None; it is saved if it
#: was modified and the consumer did not raise, and never created (items 139 to 143). Raises ValueError where the
#: message is none of HTTP or a socket.
http_session = around("http_session", with_http_session)

#: Decorator: both; the browser's session is remembered on connect for the messages that follow (item 144).
channel_and_http_session = around("channel_and_http_session", with_channel_and_http_session)


def enforce_ordering(func: Callable[..., Any] | None = None, slight: bool = False) -> Callable[..., Any]:
    """Decorator: the messages of a connection are handled one after another; see `channelcelery.ordering` (item 155).

    Args:
        func: the consumer, if the decorator is used bare.
        slight: only connect is handled before all others (item 172).
    """
    # looked up when used: ordering is built on channel_session, and this name has its 1.x home here
    decorate: Callable[..., Any] = import_module("channelcelery.ordering").enforce_ordering
    return decorate(func, slight=slight)  # type: ignore[no-any-return]


def _session_store(engine: str) -> type[SessionBase]:
    store: type[SessionBase] = import_module(engine).SessionStore
    return store


def _set_key(session: Any, key: str) -> None:
    session._session_key = key  # the only way to choose a key


def _open_channel_session(message: Message) -> SessionBase:
    if message.reply_channel is None:
        raise ValueError(
            "No reply_channel sent to consumer: @channel_session can only be used on messages containing it"
        )
    session = session_for_reply_channel(message.reply_channel.name)
    if session.keys() or message.channel.name in _LAST:
        return session
    if not session.exists(session.session_key or ""):
        try:
            session.save(must_create=True)
        except CreateError:
            raise ConsumeLater from None  # another consumer is creating it at this moment
    return session


def _save_channel_session(session: SessionBase, key: str) -> None:
    if not session.modified or session.is_empty():
        return
    if session.session_key == key:
        _save(session)
        return
    # login() and logout() of Django gave it another key or none, and deleted what was there
    if session.session_key is not None:
        session.delete(session.session_key)
    _set_key(session, key)
    try:
        session.save(must_create=True)
        session.modified = False
    except CreateError:
        _save(session)


def _save(session: SessionBase) -> None:
    try:
        session.save()
    except UpdateError:
        if session.exists(session.session_key or ""):
            raise  # it is there, so that the reason is another one
        logger.info("a session was not saved: its user logged out, or its connection ended, while a consumer ran")
    session.modified = False


def _http_session(key: str | None) -> SessionBase | None:
    if not key:
        return None
    if _CHANNEL_KEY.fullmatch(key):
        logger.info("a client gave the key of a channel session as that of its own: refused")
        return None
    return _session_store(settings.SESSION_ENGINE)(session_key=key)


def _http_session_key(message: Message) -> str | None:
    """Return the key in the query or the cookie of a message (items 139, 141 and 143)."""
    try:
        path, headers = message["path"], message.get("headers") or []
        query = QueryDict(message.get("query_string") or b"")
        cookies = b"; ".join(header_values(headers, b"cookie")).decode("latin-1")
    except Exception as error:  # whatever a message may hold in their place; never its values, which may be secret
        raise ValueError(
            f"Cannot parse HTTP message - are you sure this is a HTTP consumer? {type(error).__name__}"
        ) from None
    if not isinstance(path, str):
        raise ValueError("Cannot parse HTTP message - are you sure this is a HTTP consumer? The path is no text")
    key = query.get("session_key") if _query_counts() else None
    return parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME) if key is None else key


def _query_counts() -> bool:
    in_cookies = issubclass(_session_store(settings.SESSION_ENGINE), signed_cookies.SessionStore)
    return not in_cookies and getattr(settings, "CHANNELS_SESSION_KEY_IN_QUERY", True) is not False
