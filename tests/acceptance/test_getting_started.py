"""The examples of the getting-started text of Channels 1.x, in one process, on Redis, and on RabbitMQ.

They are in `getting_started/`, one a module, as somebody who follows that text writes them; where 1.1 and 0.17 differ,
the examples are those of 1.1, but for slight order, which only 0.17 has.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.acceptance.started import Browser, StartedSite, prepare
from tests.servers import redis_server, wait_until


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with users, to be copied."""
    return prepare(tmp_path_factory.mktemp("prepared"), "ann", "art", "bob")


@pytest.fixture(scope="module", params=["memory", "redis", "amqp"])
def site(
    request: pytest.FixtureRequest, prepared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartedSite]:
    """All examples, running; started once for all tests, which leave nothing behind but what was said."""
    site = StartedSite(tmp_path_factory.mktemp(f"started-{request.param}"))
    shutil.copy(prepared, site.database)
    with ExitStack() as stack:
        if request.param != "memory":
            redis = stack.enter_context(redis_server())
            site.layer, site.broker = redis.database(0), redis.database(1)
        if request.param == "amqp":
            site.broker = request.getfixturevalue("rabbit_shared").new_vhost()
        stack.enter_context(site.running())
        yield site


@pytest.fixture
def visitor(site: StartedSite) -> Browser:
    """Somebody who is not logged in."""
    return Browser(site)


def logged_in(site: StartedSite, *names: str) -> list[Browser]:
    browsers = [Browser(site) for _ in names]
    for browser, name in zip(browsers, names, strict=True):
        browser.log_in(name)
    return browsers


def hear(*sockets: ClientConnection) -> list[Any]:
    """Return what each hears next."""
    return [socket.recv(timeout=20) for socket in sockets]


def refused(browser: Browser, path: str, origin: str | None = "") -> int:
    """Open a socket that must not open, and return the status of the answer."""
    with pytest.raises(InvalidStatus) as error, browser.socket(path, origin):
        pass
    return int(error.value.response.status_code)


def test_echo_over_http(visitor: Browser) -> None:
    """Items 65, 92, 96 and 106: a consumer answers, found by its dotted path."""
    assert visitor.ask("/hello/world/?and=more") == "Hello world! You asked for /hello/world/"
    assert visitor.ask("/hello/", "a form") == "Hello world! You asked for /hello/"


def test_echo_over_websocket(visitor: Browser) -> None:
    """Items 75, 115, 118 and 130: with no connect consumer sockets are taken, and no path is asked for."""
    with visitor.socket("/echo/chat/") as first, visitor.socket("/echo/any/other") as second:
        for number in range(10):
            first.send(f"hello {number}")
            second.send("hello world")
            assert hear(first, second) == [f"hello {number}", "hello world"]


def test_chat_by_group(visitor: Browser) -> None:
    """Items 29, 31, 32 and 119: everybody hears everybody, until they leave."""
    with visitor.socket("/groups/") as first:
        with visitor.socket("/groups/") as second:
            first.send("hello")
            assert hear(first, second) == ["[user] hello"] * 2
            second.send("hello to you")
            assert hear(first, second) == ["[user] hello to you"] * 2
        first.send("still there?")
        assert hear(first) == ["[user] still there?"]


def test_chat_with_channel_session(visitor: Browser) -> None:
    """Items 67, 114, 119 and 131: the name of the handshake's query string is known with every frame."""
    with (
        visitor.socket("/rooms/lobby/?username=ann") as ann,
        visitor.socket("/rooms/lobby/?username=bob%20b") as bob,
        visitor.socket("/rooms/kitchen/?username=cyd") as cyd,
    ):
        for socket, name in ((ann, "ann"), (bob, "bob b")):
            socket.send("hello")
            heard = [json.loads(text) for text in hear(ann, bob)]
            assert heard == [{"text": "hello", "username": name}] * 2
        cyd.send("alone")
        assert json.loads(*hear(cyd)) == {"text": "alone", "username": "cyd"}


def test_chat_with_channel_session_closes_on_who_has_no_name(visitor: Browser) -> None:
    """Item 120: taken first and closed then, as two replies."""
    with visitor.socket("/rooms/lobby/") as socket:
        wait_until(lambda: _is_closed(socket), what="the socket to be closed")
        assert socket.close_code == 1000


def _is_closed(socket: ClientConnection) -> bool:
    return socket.close_code is not None


def test_chat_with_users(site: StartedSite) -> None:
    """Items 101, 105, 148, 149 and 154: a log-in by form and cookies, then sockets that know who opened them."""
    ann, art, bob = logged_in(site, "ann", "art", "bob")
    with ann.socket("/users/") as first, art.socket("/users/") as second, bob.socket("/users/") as other:
        first.send("hello")
        assert hear(first, second) == ["hello"] * 2
        second.send("hello to you")
        assert hear(first, second) == ["hello to you"] * 2
        other.send("only b")
        assert hear(other) == ["only b"]


def test_chat_with_users_by_the_key_of_a_session_in_the_url(site: StartedSite, visitor: Browser) -> None:
    """Items 128 and 139: from a page of another domain, which has no cookie of this one."""
    ann = Browser(site)
    key = ann.log_in("ann")
    with ann.socket("/users/") as first, visitor.socket(f"/users/?session_key={key}") as second:
        second.send("hello")
        assert hear(first, second) == ["hello"] * 2


def test_chat_with_users_for_pages_of_this_site_only(site: StartedSite) -> None:
    """Items 81, 121, 173 and 175."""
    (ann,) = logged_in(site, "ann")
    with ann.socket("/origins/") as first, ann.socket("/users/") as second:
        first.send("hello")
        assert hear(first, second) == ["hello"] * 2
    assert refused(Browser(site), "/origins/", origin=None) == 403
    assert refused(ann, "/origins/", origin="http://evil.example") == 403


def test_routing_with_include(site: StartedSite) -> None:
    """Items 65 to 70: rooms out of paths, methods of requests, and Django's views for what no route matches."""
    ann, visitor = logged_in(site, "ann")[0], Browser(site)
    with ann.socket("/routing/chat/lobby/") as first, visitor.socket("/routing/chat/lobby/") as second:
        with visitor.socket("/routing/chat/kitchen/") as other:
            other.send("kitchen")
            assert hear(other) == ["kitchen"]
        first.send("hello")
        assert hear(first, second) == ["hello"] * 2
    assert visitor.ask("/routing/poll/", "a vote") == "polled a vote"
    assert visitor.ask("/routing/poll/") == "a view, asked by GET"


def said(browser: Browser, room: str) -> list[str]:
    found: list[str] = json.loads(browser.ask(f"/said/{room}/"))["said"]
    return found


def test_chat_with_models(visitor: Browser) -> None:
    """Items 9, 34 and 131: sockets, and a view that a worker runs, send to one channel, and all is kept."""
    visitor.ask("/login/")  # for the cookie that forms want
    with visitor.socket("/lobby/") as first, visitor.socket("/lobby/") as second:
        first.send("hello")
        assert hear(first, second) == ["hello"] * 2
        visitor.post("/said/lobby/", message="the server says")
        assert hear(first, second) == ["the server says"] * 2
    assert said(visitor, "lobby") == ["hello", "the server says"]


@pytest.mark.parametrize("site", ["redis", "amqp"], indirect=True)
def test_chat_with_models_from_a_command(site: StartedSite, visitor: Browser) -> None:
    """Items 9 and 37: another process sends to the channel too, at once."""
    with visitor.socket("/cellar/") as first:
        site.run(site.manage("say", "cellar", "tick"))
        assert hear(first) == ["tick"]
    assert said(visitor, "cellar") == ["tick"]


def test_strict_order(visitor: Browser) -> None:
    """Items 155, 157, 158, 165 and 169, and defect 5: frames sent as fast as can be, to several processes or threads.

    The connect consumer is not decorated, in the text either, where no frame after it was ever handled.
    """
    with visitor.socket("/strict/") as socket:
        for number in range(100):
            socket.send(f"message {number}")
        heard = [socket.recv(timeout=20) for _ in range(100)]
    assert heard == [f"{number + 1}: message {number}" for number in range(100)]


def test_slight_order(site: StartedSite) -> None:
    """Items 1, 2, 155 and 172: the user of connect is known to all frames; nobody said that the socket is taken."""
    ann, art = logged_in(site, "ann", "art")
    with ann.socket("/slight/") as first, art.socket("/slight/") as second:
        sent = {f"message {number}" for number in range(20)}
        for text in sent:
            first.send(text)
        for socket in (first, second):
            assert {socket.recv(timeout=20) for _ in sent} == sent
    # who raises takes no socket
    assert refused(Browser(site), "/slight/") == 403


def test_slight_order_of_frames_that_come_while_connect_runs(site: StartedSite) -> None:
    """Items 155 and 172: they wait for it, and find its user then."""
    (bob,) = logged_in(site, "bob")
    with bob.socket("/slight/early/") as socket:
        for number in range(10):
            socket.send(f"message {number}")
        assert {socket.recv(timeout=20) for _ in range(10)} == {f"message {number}" for number in range(10)}
