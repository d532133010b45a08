"""One line for each request and each turn of a socket's life, as Channels 1.x wrote them, and what no line may hold.

    HTTP GET /p 200 [0.12, 127.0.0.1:50000]
    WebSocket HANDSHAKING|CONNECT|REJECT|DISCONNECT /chat/ [127.0.0.1:50001]

Session keys, and what else is named like a secret, are taken out of every URL (item 139), and what a client wrote is
escaped: it forges no line and moves no cursor.
"""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from logging.handlers import WatchedFileHandler
from typing import Any
from urllib.parse import quote, unquote_plus

from channelcelery.interface.events import Event, Receive, Scope, Send
from channelcelery.interface.wire import own_wire

__all__ = ["AccessLog", "hide_session_keys", "show_requests", "show_requests_as_django", "without_session_key"]

logger = logging.getLogger("django.channels.server")

#: The loggers on which uvicorn writes URLs.
_LOGGERS = ("uvicorn.access", "uvicorn.error")
#: Names of parameters whose values no log shows, as Django's debug pages have them (SafeExceptionReporterFilter).
_SECRET = re.compile(r"session_?(?:key|id)|token|secret|passw|pwd|signature|api_?key|auth|jwt|ticket", re.IGNORECASE)
#: Characters of a URL that a line shows at most.
_MOST = 1000


class AccessLog:
    """An ASGI application that logs what another one serves (item 219).

    Args:
        application: serves the connections.
    """

    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        match scope["type"]:
            case "http":
                await self._serve_request(scope, receive, send)
            case "websocket":
                await self._serve_socket(scope, receive, send)
            case _:
                await self.application(scope, receive, send)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.monotonic(), 0

        def note(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]

        try:
            await self.application(scope, receive, _Watched(send, note).send)
        except Exception:
            status = status or 500  # which the server answers
            raise
        finally:
            logger.info(
                "HTTP %s %s %s [%.2f, %s]",
                _escaped(scope["method"]),
                _url(scope),
                status or "-",  # the client left before it was answered
                time.monotonic() - began,
                _client(scope),
                # by which Django's formatter chooses a colour
                extra={"status_code": status},
            )

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        url, client = _url(scope), _client(scope)
        accepted = rejected = False

        def note(event: Event) -> None:
            nonlocal accepted, rejected
            if event["type"] == "websocket.accept":
                accepted = True
                tell("CONNECT")
            elif not accepted and event["type"] in {"websocket.close", "websocket.http.response.start"}:
                rejected = True
                tell("REJECT")

        def tell(what: str) -> None:
            logger.info("WebSocket %s %s [%s]", what, url, client)

        tell("HANDSHAKING")
        if (wire := own_wire(scope)) is not None:
            wire.watched_by(tell)
            await self.application(scope, receive, send)
            return
        try:
            await self.application(scope, receive, _Watched(send, note).send)
        finally:
            if not rejected:
                tell("DISCONNECT")


class _Watched:
    """A server's `send` that shows each event first; like uvicorn's it belongs to what holds the transport."""

    __slots__ = ("_note", "_send", "transport")

    def __init__(self, send: Send, note: Callable[[Event], None]) -> None:
        self._send = send
        self._note = note
        self.transport: Any = getattr(getattr(send, "__self__", None), "transport", None)

    async def send(self, event: Event) -> None:
        self._note(event)
        await self._send(event)


def _url(scope: Scope) -> str:
    path = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string") or b""
    return without_session_key(_escaped((path + b"?" + query if query else path).decode("latin-1")))[:_MOST]


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return _escaped(f"{client[0]}:{client[1]}") if client else "-"


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def show_requests(file: str | None = None) -> None:
    """Show these lines, at whatever level the project's LOGGING shows others.

    Args:
        file: where they are written, instead of where LOGGING says; opened again after it was moved.

    Raises:
        OSError: the file cannot be written.
    """
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if file is not None:
        handler = WatchedFileHandler(file, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.handlers, logger.propagate = [handler], False


def show_requests_as_django() -> None:
    """Show these lines as Django's runserver shows its own, coloured in a terminal, unless LOGGING says otherwise."""
    show_requests()
    if not logger.handlers and logger.propagate:
        logger.handlers = list(logging.getLogger("django.server").handlers)
        logger.propagate = not logger.handlers


def without_session_key(url: str) -> str:
    """Return a URL, or a path with its query, with `…` for the value of each `session_key` and other secret."""
    path, mark, query = url.partition("?")
    return path + mark + "&".join(map(_hidden, query.split("&")))


def _hidden(part: str) -> str:
    name, equals, _ = part.partition("=")
    # a server decodes names too: session%5Fkey is the same
    return f"{name}=…" if equals and _SECRET.search(unquote_plus(name)) else part


class _Filter(logging.Filter):
    """Takes session keys out of the arguments of a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                without_session_key(value) if isinstance(value, str) and "?" in value else value
                for value in record.args
            )
        return True


_filter = _Filter()


def hide_session_keys() -> None:
    """Take session keys out of what uvicorn logs, in this process; doing so again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)
