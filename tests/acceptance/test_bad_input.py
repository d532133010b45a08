"""Whatever comes in, no process ends, no other connection notices, and the log or a close code says what was wrong."""

import contextlib
import json
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis
from kombu import Connection, Exchange, Queue
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.acceptance.chat import status_of
from tests.acceptance.sites import open_socket
from tests.integration.interfaces import RawClient
from tests.integration.workers import ROOT, WorkerSetup
from tests.servers import Process, free_port, redis_server, wait_until

MIB = 1024 * 1024
TEXT, BYTES, CLOSE, PING = 1, 2, 8, 9
UNREADABLE = r"a message in the queue 'cc:websocket\.receive' cannot be read and is dropped"


@dataclass
class Running:
    """The test project as interface and worker, and somebody who must not notice anything.

    Args:
        setup: where the processes find each other.
        port: of the interface.
        interface: the process that holds sockets.
        worker: the process that runs consumers.
        bystander: a socket of somebody else.
    """

    setup: WorkerSetup
    port: int
    interface: Process
    worker: Process
    bystander: ClientConnection

    def expect_log(self, process: Process, pattern: str, act: Callable[[], object]) -> None:
        """Do something and wait until a process logged a line."""
        start = len(process.output())
        act()
        process.wait_for_output(pattern, start=start)


@pytest.fixture(scope="module", params=["redis", "amqp"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The test project on either broker, with time for handshakes that nobody answers; once for all tests."""
    rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
    port, config = free_port(), json.dumps({"http": "off", "connect_timeout": 2})
    with redis_server() as server:
        broker = rabbit.new_vhost() if rabbit else server.database(1)
        setup = WorkerSetup(broker, server.url, tmp_path_factory.mktemp("project"), config)
        command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
        with Process(command, env=setup.env(), cwd=ROOT, name="interface") as interface, setup.worker() as worker:
            wait_until(lambda: status_of(port, "/echo/") == 101, timeout=20, what="sockets to be taken")
            with open_socket(port, "/echo/") as bystander:
                yield Running(setup, port, interface, worker, bystander)


@pytest.fixture(autouse=True)
def _nobody_notices(running: Running) -> Iterator[None]:
    yield
    expect_echo(running.bystander)
    assert running.interface.returncode is running.worker.returncode is None
    assert "exited prematurely" not in running.worker.output()  # a process of the pool


def expect_echo(client: ClientConnection) -> None:
    """Send something that is in order, and wait for it; nothing else may come before it."""
    client.send("still here")
    assert client.recv(timeout=10) == "still here"


def expect_closed(client: ClientConnection, code: int) -> None:
    """Wait for the end of a socket."""
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=10)
    assert client.close_code == code


# what a client sends

FRAMES = {
    "invalid UTF-8": (lambda raw: raw.frame(TEXT, b"\xc3\x28"), 1007),
    "half a character": (lambda raw: raw.frame(TEXT, "ü".encode()[:1]), 1007),
    "a frame type that does not exist": (lambda raw: raw.frame(3, b"x"), 1002),
    "a reserved bit": (lambda raw: raw.frame(TEXT, b"x", reserved=4), 1002),
    "no mask": (lambda raw: raw.frame(TEXT, b"x", masked=False), 1002),
    "a continuation of nothing": (lambda raw: raw.frame(0, b"x"), 1002),
    "a fragmented ping": (lambda raw: raw.frame(PING, b"x", final=False), 1002),
    "a ping that is too long": (lambda raw: raw.frame(PING, b"x" * 126), 1002),
    "a close code that must not be sent": (lambda raw: raw.frame(CLOSE, b"\x03\xed"), 1002),
}


@pytest.mark.parametrize("what", FRAMES)
def test_given_a_frame_that_is_wrong_expect_its_close_code(running: Running, what: str) -> None:
    act, code = FRAMES[what]
    with RawClient(running.port, "/echo/") as raw:
        assert raw.status() == 101
        act(raw)
        assert raw.close_code() == code


@pytest.mark.parametrize(
    "message",
    ["x" * (MIB + 1), b"x" * (MIB + 1), "ü" * (MIB // 2 + 1)],
    ids=["text", "bytes", "text of fewer characters"],
)
def test_given_more_than_1_mib_expect_1009(running: Running, message: str | bytes) -> None:
    with open_socket(running.port, "/echo/") as client:
        with contextlib.suppress(ConnectionClosed):
            client.send(message)
        expect_closed(client, 1009)
    assert "a client of '/echo/' sent a frame above CONFIG['frame_size']" in running.interface.output()


def test_given_more_than_the_server_takes_expect_the_end_and_a_line(running: Running) -> None:
    """Expect the code to be in the log, since the server reads no further and the client may see a reset."""
    with open_socket(running.port, "/echo/") as client:
        with contextlib.suppress(ConnectionClosed):
            client.send(b"x" * (3 * MIB))
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)
        assert client.close_code in (1009, 1006)
    running.interface.wait_for_output(r"a socket of '/echo/' ended with 10\d\d: frames against the protocol")


def test_given_exactly_1_mib_expect_it_back(running: Running) -> None:
    with open_socket(running.port, "/echo/") as client:
        for message in ("x" * MIB, b"\xff" * MIB):
            client.send(message)
            assert client.recv(timeout=20) == message


HANDSHAKES = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no request line": b"\r\n\r\n\x00\x00\r\n\r\n",
    "a request without a host": b"GET /echo/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "headers without end": b"GET /echo/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * MIB,
    "an old version": b"GET /echo/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "no key": b"GET /echo/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n",
}


@pytest.mark.parametrize("what", HANDSHAKES)
def test_given_bytes_that_are_no_handshake_expect_an_error_or_the_end(running: Running, what: str) -> None:
    answer = exchange(running.port, HANDSHAKES[what])
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes, end our half, and return what comes back until the other half ends."""
    received = b""
    gone = contextlib.suppress(OSError)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, gone:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            received += part
    return received


def test_given_a_path_without_consumer_expect_a_line_that_cannot_be_forged(running: Running) -> None:
    """Expect the worker to say that it accepts the socket, as Channels 1.x did, and its frames to go nowhere."""
    # items 75 and 130
    path = "/nobody/%0A2000-01-01%20CRITICAL%20forged/"

    def act() -> None:
        with open_socket(running.port, path) as client:
            client.send("hello?")

    running.expect_log(
        running.worker, r"no route for .*websocket\.connect.*'/nobody/\\n2000-01-01 CRITICAL forged/'", act
    )
    assert "\n2000-01-01 CRITICAL" not in running.worker.output()


# what a consumer does


def test_given_a_connect_consumer_that_raises_expect_403_and_its_traceback(running: Running) -> None:
    """Items 1 and 121."""
    running.expect_log(
        running.worker,
        r"raise_in_connect raised on a message of websocket\.connect[^$]*RuntimeError: on purpose",
        lambda: status_of(running.port, "/raise/"),
    )
    assert status_of(running.port, "/raise/") == 403


def test_given_a_consumer_that_raises_expect_its_traceback_and_the_socket_to_go_on(running: Running) -> None:
    """Item 79."""
    with open_socket(running.port, "/echo/") as client:
        pattern = r"echo raised on a message of websocket\.receive[^$]*RuntimeError: on purpose"
        running.expect_log(running.worker, pattern, lambda: client.send("raise"))
        expect_echo(client)


def test_given_a_consumer_that_closes_expect_its_code(running: Running) -> None:
    """Items 83 and 120."""
    with open_socket(running.port, "/echo/") as client:
        client.send("close 4001")
        expect_closed(client, 4001)


def test_given_replies_that_are_wrong_expect_a_line_and_the_socket_to_go_on(running: Running) -> None:
    """Expect one line for a burst of them, which names keys and types but shows no content."""
    # items 3 and 118
    with open_socket(running.port, "/echo/") as client:
        pattern = r"a reply to a socket of '/echo/' was dropped: a reply has the unknown keys 'colour'"
        running.expect_log(running.interface, pattern, lambda: client.send("bad-key"))
        client.send("bad-value")
        expect_echo(client)
        pattern = r"echo raised on a message of websocket\.receive[^$]*(InvalidContent|TypeError)"
        running.expect_log(running.worker, pattern, lambda: client.send("bad-type"))
        expect_echo(client)


# what somebody puts where only we write


def test_given_garbage_in_the_inbox_expect_it_to_be_skipped(running: Running) -> None:
    """Expect a line, and what comes behind it to be delivered."""
    entries = [
        {b"x": b"y"},
        {b"r": b"\xc1"},
        {b"r": b"\x93\xa1a\x80"},
        {b"r": b"\x92\xa1a\xa1b"},
        {b"g": b"\xff", b"b": b"\x80"},
        {b"g": b"g", b"b": b"no map"},
        {b"j": b"g"},
        {b"j": b"\xff", b"k": b"\xff"},
        {b"l": b""},
        {b"r": b"\x00" * MIB},
    ]
    with redis.Redis.from_url(running.setup.layer) as client:
        (node,) = client.zrange("cc:nodes", 0, -1)

        def act() -> None:
            for fields in entries:
                client.xadd(b"cc:inbox:" + node, fields)

        running.expect_log(running.interface, r"an unreadable inbox entry was skipped", act)


GARBAGE = {
    "no bytes": b"",
    "no msgpack": b"\xc1\xff\x00",
    "a number": b"\x05",
    "a map": b"\x81\xa1a\x01",
    "nested deep": b"\x91" * 10_000,
    "an array that claims to be huge": b"\xdd\xff\xff\xff\xff",
    "text": "grüß".encode(),
    "two MiB": b"\x00" * (2 * MIB),
}


def test_given_garbage_in_a_queue_expect_it_to_be_dropped(running: Running) -> None:
    """Expect a line for each, and the messages behind it to run."""
    with Connection(running.setup.broker) as connection, connection.channel() as amqp_channel:
        producer = connection.Producer(amqp_channel)
        for body in GARBAGE.values():
            running.expect_log(
                running.worker,
                UNREADABLE,
                lambda body=body: producer.publish(  # type: ignore[misc]
                    body,
                    exchange="",
                    routing_key="cc:websocket.receive",
                    content_type="application/octet-stream",
                    content_encoding="binary",
                ),
            )
            expect_echo(running.bystander)


def test_given_a_message_of_another_program_in_a_queue_expect_it_to_be_dropped(running: Running) -> None:
    """Expect what Kombu itself must decode first, in ways that it cannot, to harm nothing."""
    with Connection(running.setup.broker) as connection, connection.channel() as amqp_channel:
        producer = connection.Producer(amqp_channel)

        def publish(body: bytes, **properties: object) -> None:
            producer.publish(body, exchange="", routing_key="cc:websocket.receive", **properties)

        for act in (
            lambda: publish(b"{}", content_type="application/json", content_encoding="utf-8"),
            lambda: publish(b"\x80\x04N.", content_type="application/x-python-serialize", content_encoding="binary"),
            lambda: publish(b"?", content_type="application/unheard-of", content_encoding="klingon"),
            lambda: publish(b"no gzip", content_type="x/y", content_encoding="binary", headers={"compression": "gzip"}),
            lambda: publish(b"?", content_type="x/y", content_encoding="binary", headers={"compression": "unheard-of"}),
        ):
            running.expect_log(running.worker, UNREADABLE, act)
            expect_echo(running.bystander)


def test_given_a_message_by_an_exchange_expect_it_to_be_dropped(running: Running) -> None:
    """Expect one that came by another name than its queue's to harm nothing."""
    queue = Queue("cc:websocket.receive", Exchange("theirs", type="direct"), routing_key="theirs", durable=True)
    with Connection(running.setup.broker) as connection, connection.channel() as amqp_channel:
        queue.bind(amqp_channel).declare()
        producer = connection.Producer(amqp_channel)
        running.expect_log(
            running.worker,
            "a message in the queue 'theirs' cannot be read and is dropped",
            lambda: producer.publish(b"?", exchange="theirs", routing_key="theirs"),
        )


@pytest.mark.parametrize(
    "entry", [b"\xff\xfe", b"no JSON", b"5", b"[]", b"{}", b'{"body": 5}', b'{"body": "!", "properties": {}}']
)
@pytest.mark.parametrize("running", ["redis"], indirect=True)
def test_given_a_list_entry_that_kombu_did_not_write_expect_it_to_be_dropped(running: Running, entry: bytes) -> None:
    """On Redis anybody can push anything onto a queue's list."""
    with redis.Redis.from_url(running.setup.broker) as client:
        running.expect_log(
            running.worker,
            "an entry of a queue's list in Redis cannot be read and is dropped",
            lambda: client.lpush("cc:websocket.receive", entry),
        )
