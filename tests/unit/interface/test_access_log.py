"""The lines of requests and sockets, and what a server's log may hold of a URL."""

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channelcelery.interface.access_log import (
    AccessLog,
    hide_session_keys,
    show_requests,
    show_requests_as_django,
    without_session_key,
)
from channelcelery.interface.outlet import Outlet
from tests.unit.interface.fakes import FakeServer, FakeTransport, run


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/", "/"),
        ("/?", "/?"),
        ("/a?b=1&c", "/a?b=1&c"),
        ("/a?session_key=secret", "/a?session_key=…"),
        ("/a?b=1&session_key=secret&c=2&session_key=secret", "/a?b=1&session_key=…&c=2&session_key=…"),
        ("/a?session%5Fkey=secret", "/a?session%5Fkey=…"),
        ("/a?session_key=se?cret", "/a?session_key=…"),
        ("/a?session_key", "/a?session_key"),
        ("/a?session=1&page=2", "/a?session=1&page=2"),
        ("/a?token=secret&csrfmiddlewaretoken=secret", "/a?token=…&csrfmiddlewaretoken=…"),
        ("/a?Access%5FToken=secret&api_key=secret&sig=1", "/a?Access%5FToken=…&api_key=…&sig=1"),
        ("/a?password=secret&my_session_key=secret&ticket=secret", "/a?password=…&my_session_key=…&ticket=…"),
    ],
)
def test_given_a_url_expect_no_session_key(url: str, shown: str) -> None:
    """Item 139: logs never show it."""
    assert without_session_key(url) == shown


@pytest.mark.parametrize("name", ["uvicorn.access", "uvicorn.error"])
def test_given_a_line_of_the_server_expect_it_without(name: str, caplog: pytest.LogCaptureFixture) -> None:
    hide_session_keys()
    hide_session_keys()
    logger = logging.getLogger(name)
    with caplog.at_level(logging.INFO, logger=name):
        logger.info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/a?session_key=secret", "1.1", 200)
        logger.info("no arguments? none")
    assert caplog.messages == ['1.2.3.4:5 - "GET /a?session_key=… HTTP/1.1" 200', "no arguments? none"]
    assert len([each for each in logger.filters if type(each).__module__.endswith("access_log")]) == 1


def scope(kind: str = "http", **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "method": "GET",
        "path": "/p",
        "raw_path": b"/p",
        "query_string": b"",
        "client": ("192.0.2.1", 4711),
        **more,
    }


def lines(caplog: pytest.LogCaptureFixture, described: dict[str, Any], *events: Any) -> list[str]:
    """Serve a connection whose application sends these events, or raises them, and return what was logged."""

    sent = [{"type": event} if isinstance(event, str) else event for event in events]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for event in sent:
            if isinstance(event, Exception):
                raise event
            await send(event)

    async def main() -> None:
        server = FakeServer()
        with contextlib.suppress(RuntimeError):
            await AccessLog(application)(described, server.receive, server.send)
        assert server.sent == [event for event in sent if not isinstance(event, Exception)]

    with caplog.at_level(logging.INFO, logger="django.channels.server"):
        run(main)
    return caplog.messages


START = {"type": "http.response.start", "status": 404, "headers": []}


class TestRequests:
    """Item 219: "HTTP GET /p 200 [0.12, client]"."""

    def test_given_a_response_expect_its_status_its_time_and_the_client(self, caplog: pytest.LogCaptureFixture) -> None:
        (line,) = lines(caplog, scope(), START, "http.response.body")
        assert re.fullmatch(r"HTTP GET /p 404 \[0\.\d\d, 192\.0\.2\.1:4711\]", line)
        # what Django's formatter colours by
        assert caplog.records[0].status_code == 404  # type: ignore[attr-defined]

    @pytest.mark.parametrize(("events", "status"), [((RuntimeError("on purpose"),), "500"), ((), "-")])
    def test_given_no_response_expect_that_of_the_server_or_none(
        self, caplog: pytest.LogCaptureFixture, events: Any, status: str
    ) -> None:
        assert f" {status} [" in lines(caplog, scope(), *events)[0]

    @pytest.mark.parametrize(
        ("described", "shown"),
        [
            ({"raw_path": b"/%1B[31m", "path": "/\x1b[31m"}, "/%1B[31m"),
            ({"raw_path": b"/\x1b[31m\xe4\\"}, r"/\x1b[31m\xe4\\"),
            ({"raw_path": None, "path": "/ä\n"}, "/%C3%A4%0A"),
            ({"query_string": b"a=1&session_key=secret\r"}, "/p?a=1&session_key=…"),
            ({"raw_path": b"/" + b"x" * 2000}, "/" + "x" * 999),
            ({"client": None}, "/p"),
            ({"client": ("\x1b[31m", 0)}, "/p"),
        ],
    )
    def test_given_any_url_expect_no_control_character_and_no_session_key(
        self, caplog: pytest.LogCaptureFixture, described: dict[str, Any], shown: str
    ) -> None:
        (line,) = lines(caplog, scope(**described), START)
        assert line.startswith(f"HTTP GET {shown} 404 [")
        assert line.isprintable()


class TestSockets:
    """Item 219: "WebSocket HANDSHAKING|CONNECT|DISCONNECT|REJECT path [client]"."""

    @pytest.mark.parametrize(
        ("events", "turns"),
        [
            (["websocket.accept", "websocket.send", "websocket.close"], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
            (["websocket.close"], ["HANDSHAKING", "REJECT"]),
            (["websocket.http.response.start", "websocket.http.response.body"], ["HANDSHAKING", "REJECT"]),
            ([], ["HANDSHAKING", "DISCONNECT"]),
            (["websocket.accept", RuntimeError("on purpose")], ["HANDSHAKING", "CONNECT", "DISCONNECT"]),
        ],
    )
    def test_given_a_life_expect_its_turns(
        self, caplog: pytest.LogCaptureFixture, events: list[Any], turns: list[str]
    ) -> None:
        told = lines(caplog, scope("websocket", query_string=b"session_key=secret"), *events)
        assert told == [f"WebSocket {turn} /p?session_key=… [192.0.2.1:4711]" for turn in turns]

    def test_given_a_server_with_a_transport_expect_that_outlets_still_find_it(self) -> None:
        """They abort connections whose clients do not read."""
        transport = FakeTransport(buffered=1)
        stuck = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            outlet = Outlet(send, 1, 1, lambda reason: None)
            stuck.append(outlet.stuck)
            outlet.abort()

        async def main() -> None:
            server = FakeServer(transport=transport)
            await AccessLog(application)(scope("websocket"), server.receive, server.send)

        run(main)
        assert (stuck, transport.aborted) == ([True], 1)


@pytest.fixture
def server_logger() -> Iterator[logging.Logger]:
    """The logger of these lines, as it was before any command."""
    found = logging.getLogger("django.channels.server")
    former = found.level, found.handlers, found.propagate
    found.level, found.handlers, found.propagate = logging.NOTSET, [], True
    yield found
    for handler in set(found.handlers) - set(former[1]) - set(logging.getLogger("django.server").handlers):
        handler.close()
    found.level, found.handlers, found.propagate = former


class TestShowing:
    def test_given_no_settings_expect_the_lines_where_django_s_runserver_has_its_own(
        self, server_logger: logging.Logger
    ) -> None:
        show_requests_as_django()
        assert server_logger.handlers == logging.getLogger("django.server").handlers != []
        assert server_logger.isEnabledFor(logging.INFO)
        assert not server_logger.propagate

    def test_given_a_level_and_a_handler_of_the_project_expect_both_kept(self, server_logger: logging.Logger) -> None:
        own = logging.NullHandler()
        server_logger.setLevel(logging.ERROR)
        server_logger.addHandler(own)
        show_requests_as_django()
        assert (server_logger.level, server_logger.handlers, server_logger.propagate) == (logging.ERROR, [own], True)

    def test_given_a_file_expect_the_lines_in_it(self, server_logger: logging.Logger, tmp_path: Path) -> None:
        show_requests(str(tmp_path / "log"))
        server_logger.info("HTTP %s", "GET")
        assert re.fullmatch(r"[-\d]+ [:,\d]+ HTTP GET\n", (tmp_path / "log").read_text())

    def test_given_a_file_expect_the_lines_nowhere_else_and_shown_whatever_the_level_of_others(
        self, server_logger: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        others = logging.getLogger("django")
        level = others.level
        others.setLevel(logging.ERROR)
        try:
            show_requests(str(tmp_path / "log"))
            server_logger.info("HTTP %s", "GET")
        finally:
            others.setLevel(level)
        assert "HTTP GET" in (tmp_path / "log").read_text()
        assert caplog.messages == []

    def test_if_the_file_was_moved_expect_another_one(self, server_logger: logging.Logger, tmp_path: Path) -> None:
        """As logrotate does it."""
        log = tmp_path / "log"
        show_requests(str(log))
        server_logger.info("first")
        log.rename(tmp_path / "log.1")
        server_logger.info("second")
        assert (tmp_path / "log.1").read_text().endswith("first\n")
        assert log.read_text().endswith("second\n")
