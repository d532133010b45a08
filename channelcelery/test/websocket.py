"""`WSClient`: a client with cookies, headers, a session and a user (items 213 to 215)."""

import json as json_module
import warnings
from copy import deepcopy
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.http.cookie import SimpleCookie

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.sessions import session_for_reply_channel
from channelcelery.test.base import Client, addressed

__all__ = ["HttpClient", "WSClient"]

_NOTHING: dict[str, Any] = {}
_ACCEPT = {"accept": True}


class WSClient(Client):
    """A browser with one socket, or one request.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
        ordered: number the messages, as the interface does with those of a socket.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER, *, ordered: bool = False) -> None:
        super().__init__(alias)
        self.order = 0
        self._ordered = ordered
        self._session: SessionBase | None = None
        self._browser: SessionBase | None = None
        self._session_cookie = True
        self._headers: dict[str, Any] = {}
        self._cookies: dict[str, str] = {}

    # what a browser sends along

    def set_cookie(self, key: str, value: str) -> None:
        """Send a cookie from now on."""
        self._cookies[key] = value

    def set_header(self, key: str, value: str | bytes) -> None:
        """Send a header from now on.

        Raises:
            ValueError: it is that of cookies.
        """
        if key.lower() == "cookie":
            raise ValueError("Use set_cookie method for cookie header")
        self._headers[key] = value

    def get_cookies(self) -> dict[str, str]:
        """Return the cookies; that of the session is among them until the first message was sent."""
        cookies = dict(self._cookies)
        if self._session_cookie and apps.is_installed("django.contrib.sessions"):
            browser = self._browser_session()
            browser.save()
            cookies[settings.SESSION_COOKIE_NAME] = browser.session_key or ""
        return cookies

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, cookies included as bytes."""
        encoded = SimpleCookie(self.get_cookies()).output(header="", sep=";").strip().encode("ascii")
        return {**self._headers, "cookie": encoded}

    @property
    def session(self) -> SessionBase:
        """The browser's session, which `http_session` sees and a login is in.

        As in Channels 1.x it is the connection's instead, which `channel_session` sees, if this is first asked for when
        a consumer has kept something there and nobody has logged in.

        Raises:
            EnvironmentError: django.contrib.sessions is not installed.
        """
        if not apps.is_installed("django.contrib.sessions"):
            raise OSError("Add django.contrib.sessions to the INSTALLED_APPS to use session")
        if self._session is None:
            kept = session_for_reply_channel(self.reply_channel)
            self._session = kept if kept.keys() else self._browser_session()
        return self._session

    def _browser_session(self) -> SessionBase:
        if self._browser is None:
            self._browser = import_module(settings.SESSION_ENGINE).SessionStore()
        return self._browser

    # users

    def login(self, **credentials: Any) -> bool:
        """Log in as a user would, and tell whether it worked.

        Args:
            credentials: those that the authentication backends take, such as username and password.
        """
        from django.contrib.auth import authenticate

        user = authenticate(**credentials)
        if user is None or not user.is_active or not apps.is_installed("django.contrib.sessions"):
            return False
        self._login(user)
        return True

    def force_login(self, user: Any, backend: str | None = None) -> None:
        """Log a user in without credentials.

        Args:
            user: the user.
            backend: dotted path of the authentication backend; the first of the settings by default.
        """
        user.backend = backend or settings.AUTHENTICATION_BACKENDS[0]
        self._login(user)

    def _login(self, user: Any) -> None:
        from django.contrib.auth import login

        self._session = self._browser_session()
        request: Any = SimpleNamespace(session=self._session, META={})  # all that Django's login asks of one
        login(request, user)
        self._session.save()

    # messages

    def receive(self, json: bool = True) -> Any:
        """Return the text of the next message for this client, or the whole message if it has none, or None.

        Args:
            json: decode the text.
        """
        content = super().receive()
        if not content:
            return None
        text = content.get("text", content)
        return json_module.loads(text) if json and isinstance(text, str) else text

    def send(self, to: str, content: dict[str, Any] = _NOTHING, text: Any = None, path: str = "/") -> None:
        """Send a message as the interface does for a browser.

        Args:
            to: the channel.
            content: the message; its keys win over all others.
            text: the message's text, encoded as JSON if it is none.
            path: the path; a query in it goes with `websocket.connect` only.

        Raises:
            ValueError: the client is ordered, and `content` has an order.
        """
        if to != "websocket.connect":
            path = path.partition("?")[0]
        self.channel_layer.send(to, _as_bytes(addressed(to, self._get_content(content, text, path))))
        self._session_cookie = False

    def _get_content(self, content: dict[str, Any] = _NOTHING, text: Any = None, path: str = "/") -> dict[str, Any]:
        """Return the message to send as a test writes it: text and dicts, as in Channels 1.x."""
        path, _, query = path.partition("?")
        content = {"reply_channel": self.reply_channel, "path": path} | deepcopy(content)
        if query:
            content.setdefault("query_string", query)
        content.setdefault("headers", self.headers)
        if self._ordered:
            if "order" in content:
                raise ValueError('Do not use "order" manually with "ordered=True"')
            content["order"] = self.order
            self.order += 1
        said = text or content.get("text")
        if said is not None:
            content["text"] = said if isinstance(said, str) else json_module.dumps(said)
        return content

    def consume(self, channel: str, fail_on_none: bool = True, check_accept: bool = True) -> Any:
        """Run the consumer of a channel's next message, and return what it returned; see `Client.consume`.

        Args:
            channel: the channel.
            fail_on_none: raise if there is no message or no consumer.
            check_accept: raise unless `websocket.connect` was accepted, which also a consumer does that answers
                nothing, unless CONFIG["implicit_accept"] is off.

        Raises:
            AssertionError: there is none, or the socket was not accepted.
        """
        before = self.ran
        result = super().consume(channel, fail_on_none=fail_on_none)
        if channel == "websocket.connect" and check_accept:
            received = self.receive(json=False)
            if received is None and self.ran > before and self.channel_layer.config.implicit_accept:
                received = _ACCEPT
            if received != _ACCEPT:
                raise AssertionError(f"Connection rejected: {received} != '{_ACCEPT}'")
        return result

    def send_and_consume(  # type: ignore[override]  # as in Channels 1.x
        self,
        channel: str,
        content: dict[str, Any] = _NOTHING,
        text: Any = None,
        path: str = "/",
        fail_on_none: bool = True,
        check_accept: bool = True,
    ) -> Any:
        """Send a message and run its consumer; see `send` and `consume`."""
        self.send(channel, content, text, path)
        return self.consume(channel, fail_on_none=fail_on_none, check_accept=check_accept)


class HttpClient(WSClient):
    """The deprecated name of `WSClient`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn("HttpClient is deprecated, use WSClient", DeprecationWarning, stacklevel=2)
        super().__init__(*args, **kwargs)


def _as_bytes(content: dict[str, Any]) -> dict[str, Any]:
    """Return a message as it comes from the interface, where queries and headers are bytes (items 90 and 114)."""
    if isinstance(query := content.get("query_string"), str):
        content["query_string"] = query.encode()
    headers = content.get("headers")
    if isinstance(headers, dict):
        headers = list(headers.items())
    if headers is not None:
        content["headers"] = [[_header(name).lower(), _header(value)] for name, value in headers]
    return content


def _header(value: Any) -> Any:
    return value.encode("latin-1") if isinstance(value, str) else value
