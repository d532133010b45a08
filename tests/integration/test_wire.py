"""What clients see of sockets, and what consumers see of clients: real interface, real worker, both brokers."""

import ast
import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from channelcelery.conf import layer_config
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.layers.redis_store import RedisReplyStore
from tests.integration.interfaces import RawClient
from tests.integration.wire import Wire
from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until
from tests.servers import redis_server

Steps = list[dict[str, Any]]
ACCEPT: Steps = [{"reply": {"accept": True}}]
#: As daphne and Channels 1.x have it: nothing is accepted but by a consumer.
CONFIG = {
    "http": "off",
    "implicit_accept": False,
    "connect_timeout": 1.5,
    "heartbeat": 0.1,
    "ping_interval": 0.5,
    "ping_timeout": 0.5,
    "group_expiry": 6,
    "connection_lifetime": 600,
    "inbox_capacity": 20,
    "channel_capacity": {"unread": 10},
}
TEXT, CLOSE = 1, 8


@dataclass
class Running:
    """Interface and worker of the project that does what it is asked for.

    Args:
        setup: where they find each other.
        port: of the interface.
        interface: the process that holds sockets.
        worker: the process that runs consumers; started later by some tests.
    """

    setup: WorkerSetup
    port: int
    interface: Process
    worker: Process | None = None

    def url(self, path: str = "/", steps: Steps | None = None) -> str:
        """Return the URL of a socket whose connect consumer takes these steps; by default it accepts."""
        return f"ws://{LOOPBACK}:{self.port}{path}?steps={quote(json.dumps(ACCEPT if steps is None else steps))}"

    def open(self, path: str = "/", steps: Steps | None = None, **options: Any) -> ClientConnection:
        """Open a socket, as a context manager."""
        return connect(self.url(path, steps), proxy=None, compression=None, close_timeout=1, **options)

    def raw(self, path: str, steps: Steps | None = None) -> RawClient:
        """Begin a handshake without waiting for its answer."""
        return RawClient(self.port, self.url(path, steps).partition(str(self.port))[2])

    def status(self, path: str, steps: Steps) -> int:
        """Try a handshake and return the HTTP status of its answer."""
        try:
            with self.open(path, steps):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    def page(self) -> int | None:
        """Ask for a page and return the status of its answer, or None if none comes soon."""
        with Wire(self.port) as client:
            client.request("GET", "/view/")
            client.socket.settimeout(0.5)
            try:
                return client.response()[0]
            except TimeoutError:
                return None

    def notes(self, kind: str, path: str) -> list[dict[str, Any]]:
        """Return the messages of one kind and path that consumers wrote down, in order."""
        noted = map(ast.literal_eval, self.setup.lines())
        return [content for noted_kind, content in noted if noted_kind == kind and content["path"] == path]

    def note(self, kind: str, path: str, number: int = 0) -> dict[str, Any]:
        """Wait for a message and return it."""
        noted = wait_until(
            lambda: found if len(found := self.notes(kind, path)) > number else None, what=f"a {kind} of {path}"
        )
        return noted[number]

    def members(self, group: str) -> list[str]:
        """Return the channels in a group."""
        return self.store.group_channels(group)

    @property
    def store(self) -> RedisReplyStore:
        """The layer's replies and groups, as another process sees them."""
        settings = {"BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": {"hosts": [self.setup.layer]}}
        return RedisReplyStore(layer_config("default", settings))


@contextlib.contextmanager
def interface(setup: WorkerSetup) -> Iterator[Running]:
    """Run the project's interface."""
    setup.environment["DJANGO_SETTINGS_MODULE"] = "tests.project_1x.settings_wire"
    port = free_port()
    command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
    with Process(command, env=setup.env(), cwd=ROOT, name="interface") as process:
        process.wait_for_output("sockets are taken", timeout=40)
        wait_until(lambda: is_listening(port), what="the interface to listen")
        yield Running(setup, port, process)


@pytest.fixture(scope="module", params=["redis", "amqp"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Interface and worker on either broker, once for all tests."""
    rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
    with redis_server() as server, ExitStack() as stack:
        broker = rabbit.new_vhost() if rabbit else server.database(1)
        setup = WorkerSetup(broker, server.url, tmp_path_factory.mktemp("wire"), json.dumps(CONFIG))
        it = stack.enter_context(interface(setup))
        it.worker = stack.enter_context(setup.worker("prefork", 3))
        yield it


def closed_with(client: ClientConnection) -> int:
    """Wait for the end of a socket and return its code."""
    try:
        while True:
            client.recv(timeout=10)
    except ConnectionClosed as error:
        return error.rcvd.code if error.rcvd else 1006


def expect_left(running: Running, group: str) -> None:
    """Wait until a group is empty, for less time than its memberships last by themselves."""
    wait_until(lambda: running.members(group) == [], timeout=4, what=f"{group} to be empty")


def ask(client: ClientConnection, *steps: dict[str, Any]) -> None:
    """Let the receive consumer take steps."""
    client.send(json.dumps(steps))


# what consumers are told


def test_connect(running: Running) -> None:
    """Items 114 and 128: every key, and in the headers what a browser adds."""
    origin = f"http://{LOOPBACK}:{running.port}"
    with running.open("/caf%C3%A9/", origin=origin, additional_headers=[("X-One", "1"), ("X-One", "2")]) as client:
        message = running.note("connect", "/café/")
        assert message.pop("reply_channel").startswith("websocket.send!")
        headers = message.pop("headers")
        assert message == {
            "scheme": "ws",
            "path": "/café/",
            "query_string": running.url().partition("?")[2].encode(),
            "root_path": "",
            "client": list(client.local_address),
            "server": [LOOPBACK, running.port],
            "subprotocols": [],
            "order": 0,
        }
    assert all(isinstance(part, bytes) for header in headers for part in header)
    assert [b"origin", origin.encode()] in headers
    assert [header for header in headers if header[0] == b"x-one"] == [[b"x-one", b"1"], [b"x-one", b"2"]]


def test_receive_and_disconnect(running: Running) -> None:
    """Items 115, 116 and 117: keys, order, the unused one of text and bytes left out; one disconnect, the last."""
    with running.open("/life/") as client:
        client.send("text \x00 😀")
        client.send(b"\xff\x00")
        client.send("")
        assert running.note("receive", "/life/", 2)
        client.close(4321)
    name = running.note("connect", "/life/")["reply_channel"]
    common = {"reply_channel": name, "path": "/life/"}
    assert running.note("disconnect", "/life/") == {**common, "code": 4321, "order": 4}
    received = sorted(running.notes("receive", "/life/"), key=lambda message: message["order"])
    assert received == [
        {**common, "text": "text \x00 😀", "order": 1},
        {**common, "bytes": b"\xff\x00", "order": 2},
        {**common, "text": "", "order": 3},
    ]


def test_a_client_that_closes_without_a_code(running: Running) -> None:
    """Item 116."""
    with running.raw("/no-code/") as raw:
        assert raw.status() == 101
        raw.frame(CLOSE, b"")
        assert running.note("disconnect", "/no-code/")["code"] == 1005


def test_a_client_that_vanishes(running: Running) -> None:
    """Items 57, 63 and 116: one disconnect, no group keeps it, and a reply to it is dropped without a word."""
    with running.raw("/vanish/", [*ACCEPT, {"add": "vanishing"}]) as raw:
        assert raw.status() == 101
        name = running.note("connect", "/vanish/")["reply_channel"]
        wait_until(lambda: running.members("vanishing") == [name], what="the member")
        raw.reset()
    assert running.note("disconnect", "/vanish/")["code"] == 1006
    expect_left(running, "vanishing")
    before = len(running.interface.output()), len(running.worker.output())  # type: ignore[union-attr]
    running.setup.send("act", [{"steps": [{"to": name, "reply": {"text": "nobody"}}]}])
    with running.open("/vanish/after/") as client:
        ask(client, {"reply": {"text": "somebody"}})
        assert client.recv(timeout=10) == "somebody"
    assert "WARNING" not in running.interface.output()[before[0] :]
    assert "WARNING" not in running.worker.output()[before[1] :]  # type: ignore[union-attr]
    assert "ERROR" not in running.worker.output()[before[1] :]  # type: ignore[union-attr]
    assert len(running.notes("disconnect", "/vanish/")) == 1


@pytest.mark.parametrize("path", ["/", "/a", "/a/b/", "/%00%0a/", "/very/" + "long/" * 100])
def test_any_url_reaches_the_consumer(running: Running, path: str) -> None:
    """Item 130."""
    with running.open(path) as client:
        ask(client, {"reply": {"text": "here"}})
        assert client.recv(timeout=10) == "here"


# what clients are told


@pytest.mark.parametrize(
    ("replies", "frames", "code"),
    [
        ([{"accept": True}], [], None),
        ([{"accept": True, "text": "a"}], ["a"], None),
        ([{"text": "a"}], ["a"], None),
        ([{"bytes": "a"}], [b"a"], None),
        ([{"text": "a", "close": True}], ["a"], 1000),
        ([{"accept": True, "text": "a", "close": 4001}], ["a"], 4001),
        ([{"accept": True}, {"text": "b", "close": 3000}], ["b"], 3000),
    ],
)
def test_replies_that_accept(running: Running, replies: list[Any], frames: list[Any], code: int | None) -> None:
    """Items 119 and 120."""
    with running.open("/accept/", [{"reply": reply} for reply in replies]) as client:
        for frame in frames:
            assert client.recv(timeout=10) == frame
        if code is not None:
            assert closed_with(client) == code


@pytest.mark.parametrize("reply", [{"accept": False}, {"accept": False, "text": "a"}, {"close": True}, {"close": 4001}])
def test_replies_that_refuse(running: Running, reply: dict[str, Any]) -> None:
    """Items 119, 121 and 126: 403, and a disconnect all the same, after which no group has it."""
    path = f"/refuse/{len(json.dumps(reply))}/"
    assert running.status(path, [{"add": "refused"}, {"reply": reply}]) == 403
    assert running.note("disconnect", path)["order"] == 1
    expect_left(running, "refused")
    assert f"answered the handshake of {path!r}" not in running.interface.output(), "it was refused, not given up"


def test_no_answer_in_time(running: Running) -> None:
    """Item 122."""
    begun = time.monotonic()
    assert running.status("/no-answer/", [{"reply": {"close": False}}]) == 403
    assert 1.4 < time.monotonic() - begun < 10
    assert running.note("disconnect", "/no-answer/")


def test_replies_after_acceptance(running: Running) -> None:
    """Items 118 and 120: wrong ones and empty ones do nothing, accept is ignored, data comes before the close."""
    with running.open("/replies/") as client:
        for reply in (
            {"text": "a", "bytes": "b"},
            {"text": "a", "colour": "red"},
            {"text": ""},
            {"accept": True},
            {"accept": False},
            {"close": False},
        ):
            ask(client, {"reply": reply}, {"reply": {"text": "next"}})
            assert client.recv(timeout=10) == "next"
        ask(client, {"reply": {"text": "last", "close": True}}, {"reply": {"text": "too late"}})
        assert client.recv(timeout=10) == "last"
        assert closed_with(client) == 1000
    assert running.note("disconnect", "/replies/")["code"] == 1000


def test_frames_before_the_answer_wait(running: Running) -> None:
    """Item 123: what a client sends too early comes after its connect, and not before that has answered."""
    with running.raw("/early/", [{"sleep": 0.5}, *ACCEPT]) as raw:
        assert running.note("connect", "/early/")
        raw.frame(TEXT, b"too early")
        time.sleep(0.2)
        assert running.notes("receive", "/early/") == []
        assert raw.status() == 101
        assert running.note("receive", "/early/")["order"] == 1


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["x", "chat.v1", "chat.v2"], "chat.v1"), (["chat.v2"], "chat.v2"), (["x"], None)]
)
def test_subprotocol(running: Running, offered: list[Any], chosen: str | None) -> None:
    """Items 47 and 124: the first one asked for that CHANNELS_WS_PROTOCOLS has."""
    with running.open("/subprotocol/", subprotocols=offered) as client:
        assert client.subprotocol == chosen


def test_pings(running: Running) -> None:
    """Item 125: who answers them stays, who does not is gone after ping_interval and ping_timeout."""
    with running.open("/pings/good/") as client, running.raw("/pings/bad/") as raw:
        assert raw.status() == 101
        assert running.note("disconnect", "/pings/bad/")
        ask(client, {"reply": {"text": "still here"}})
        assert client.recv(timeout=10) == "still here"


def test_a_client_that_leaves_during_the_handshake(running: Running) -> None:
    """Item 127: its disconnect comes, and its group is left."""
    with running.raw("/leaves/", [{"add": "left"}, {"sleep": 0.5}, *ACCEPT]) as raw:
        assert running.note("connect", "/leaves/")
        raw.reset()
    assert running.note("disconnect", "/leaves/")["order"] == 1
    expect_left(running, "left")


def test_a_group_s_message_accepts(running: Running) -> None:
    """Item 129: the group is joined at once, so that its message may come before the consumer's answer."""
    steps = [
        {"add": "eager"},
        {"group": "eager", "content": {"text": "first"}, "now": True},
        {"sleep": 0.2},
        {"reply": {"text": "second"}},
    ]
    with running.open("/eager/", steps) as client:
        assert [client.recv(timeout=10), client.recv(timeout=10)] == ["first", "second"]


def test_messages_of_one_socket_run_at_the_same_time(running: Running) -> None:
    """Item 89: on several workers the second may be answered before the first."""
    with running.open("/parallel/") as client:
        ask(client, {"sleep": 1}, {"reply": {"text": "slow"}})
        assert running.note("receive", "/parallel/")
        ask(client, {"reply": {"text": "quick"}})
        assert [client.recv(timeout=10), client.recv(timeout=10)] == ["quick", "slow"]


# capacity, expiry, groups


def test_order(running: Running) -> None:
    """Item 61: a reply channel keeps the order of one sender exactly."""
    with running.open("/order/") as client:
        ask(client, *({"reply": {"text": str(number)}} for number in range(200)))
        assert [client.recv(timeout=10) for _ in range(200)] == [str(number) for number in range(200)]


def test_capacity_of_a_channel(running: Running) -> None:
    """Items 31 and 54: a sender at capacity is told at once, and a group skips such members."""
    running.setup.send("fill", [{"channels": ["unread"]}])
    (taken, seconds), *_ = wait_until(lambda: _filled(running, "unread"), what="the channel to be full")
    # the depth is looked at every 50 ms
    assert 10 <= taken["unread"] < 1_000
    assert seconds < 10


def test_capacity_of_an_interface_s_channels(running: Running) -> None:
    """Item 55: clients of one process share its room; those that nobody reads for do not hold up senders."""
    with running.open("/full/a/") as first, running.open("/full/b/") as second:
        names = [running.note("connect", f"/full/{which}/")["reply_channel"] for which in "ab"]
        running.interface.signal(signal.SIGSTOP)
        try:
            running.setup.send("fill", [{"channels": names}])
            (taken, seconds), *_ = wait_until(lambda: _filled(running, names[0]), what="the inbox to be full")
        finally:
            running.interface.signal(signal.SIGCONT)
        assert seconds < 5
        # what was read counts until it is cut off
        assert 10 <= taken[names[0]] <= 20
        assert taken[names[1]] == 0
        assert [first.recv(timeout=10) for _ in range(taken[names[0]])] == ["x"] * taken[names[0]]
        # and there is room again as soon as what was read is cut off
        assert wait_until(lambda: _answer(second), what="an answer") == "y"


def _answer(client: ClientConnection) -> Any:
    ask(client, {"reply": {"text": "y"}})
    with contextlib.suppress(TimeoutError):
        return client.recv(timeout=0.5)
    return None


def _filled(running: Running, name: str) -> list[Any]:
    noted = map(ast.literal_eval, running.setup.lines())
    return [content for kind, content in noted if kind == "filled" and name in content[0]]


def test_membership_ends_unless_it_is_renewed(running: Running) -> None:
    """Item 58: of two groups one is joined again and again."""
    with running.open("/expiry/", [{"add": "forgotten"}, {"add": "renewed"}, *ACCEPT]) as client:
        name = running.note("connect", "/expiry/")["reply_channel"]

        def only_one_is_left() -> bool:
            ask(client, {"add": "renewed"})
            return running.members("forgotten") == []

        wait_until(only_one_is_left, what="the membership to end", timeout=20, interval=0.2)
        assert running.members("renewed") == [name]
        for group in ("forgotten", "renewed"):
            ask(client, {"group": group, "content": {"text": group}})
        assert client.recv(timeout=10) == "renewed"


def test_expiry_and_lifetime(setup: WorkerSetup) -> None:
    """Items 56 and 59: a handshake that waited for too long runs nowhere; a socket is closed after its time."""
    setup.config = json.dumps(CONFIG | {"expiry": 1, "connect_timeout": 0.5, "connection_lifetime": 2})
    with interface(setup) as it:
        assert it.status("/expired/", ACCEPT) == 403
        time.sleep(1.2)
        with setup.worker("prefork", 2), it.open("/lives/") as client:
            begun = time.monotonic()
            ask(client, {"reply": {"text": "well"}})
            assert client.recv(timeout=10) == "well"
            assert closed_with(client) == 1001
            assert time.monotonic() - begun > 1
            assert it.note("disconnect", "/lives/")["code"] == 1001
            assert it.notes("connect", "/expired/") == []


def test_full_channels(setup: WorkerSetup) -> None:
    """Item 60: 503 where there is no room for a connect or a request, 1013 where there is none for a frame."""
    capacities = {"websocket.connect": 3, "websocket.receive": 5, "http.request": 3}
    more = {"channel_capacity": capacities, "publish_wait": 1, "ping_interval": 20, "http": "worker"}
    setup.config = json.dumps(CONFIG | more)
    with interface(setup) as it:
        publisher = setup.publisher()
        expired = encode_item(encode_content({"path": "/old/"}, 1_000), 1)
        for _ in range(10):
            publisher.publish("websocket.connect", [expired])
            publisher.publish("http.request", [expired])
        publisher.close()
        # its publisher looks at the queue after the first handshake that it was given
        wait_until(lambda: it.status("/full/", ACCEPT) == 503, what="a handshake to be refused", timeout=20)
        wait_until(lambda: it.page() == 503, what="a request to be refused", timeout=20)
        with setup.worker("prefork", 2, ["--exclude-channels", "websocket.receive"]):
            wait_until(lambda: it.status("/room/", ACCEPT) == 101, what="room for a handshake", timeout=20)
            wait_until(lambda: it.page() == 200, what="room for a request", timeout=20)
            with it.open("/receive/") as client, contextlib.suppress(ConnectionClosed):
                for _ in range(1_000):
                    client.send("x")
                    time.sleep(0.01)
            assert closed_with(client) == 1013
            assert it.note("disconnect", "/receive/")["code"] == 1013
            assert it.notes("receive", "/receive/") == []
