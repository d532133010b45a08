"""The options of `runinterface` and `runworker` on the smallest site, by real processes on Redis and both brokers."""

import logging
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from kombu import Connection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.shop import Shop, make_shop
from tests.acceptance.sites import program, wait_for_worker
from tests.integration.interfaces import RawClient
from tests.servers import LOOPBACK, wait_until

redis_only = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
FORWARDED = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


@pytest.fixture
def shop(tmp_path: Path, broker_url: str, redis_url: str) -> Shop:
    """The site on servers, not yet started."""
    return make_shop(tmp_path, broker_url, redis_url)


@pytest.fixture
def working(shop: Shop) -> Iterator[Shop]:
    """The same, with a worker."""
    command = shop.manage("runworker", "--threads", "4")
    with shop.start(command, name="runworker") as process:
        wait_for_worker(process)
        yield shop


def open_socket(shop: Shop, path: str, **options: object) -> ClientConnection:
    """Open a socket as a proxy or a browser would."""
    return connect(f"ws://{LOOPBACK}:{shop.port}{path}", proxy=None, open_timeout=20, close_timeout=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "scheme", "client"),
    [
        ([], "ws", LOOPBACK),
        (["--proxy-headers"], "wss", "192.0.2.7"),
        (["--proxy-headers", "--forwarded-allow-ips", "10.0.0.0/8,10.1.1.1"], "ws", LOOPBACK),
    ],
)
@redis_only
def test_a_proxy_is_believed_only_if_it_is_listed(working: Shop, options: list[str], scheme: str, client: str) -> None:
    """Item 225: --proxy-headers; and --root-path is what messages say."""
    with (
        working.interface("--root-path", "/mounted/", *options),
        open_socket(working, "/about/", additional_headers=FORWARDED) as opened,
    ):
        assert opened.recv(timeout=10) == f"/mounted {scheme} {client}"


@redis_only
def test_subprotocols_and_a_log_of_requests_in_a_file(working: Shop) -> None:
    """Items 225 and 124: --ws-protocol in place of CHANNELS_WS_PROTOCOLS, --access-log with a file."""
    working.set("CHANNELS_WS_PROTOCOLS = ['other']")
    log = working.directory / "access.log"
    with working.interface("--ws-protocol", "chat", "news", "--access-log", str(log)):
        with open_socket(working, "/echo/?session_key=secret", subprotocols=["other", "news"]) as client:
            assert client.subprotocol == "news"
        with pytest.raises(InvalidStatus):
            open_socket(working, "/deny/")
        wait_until(lambda: "REJECT /deny/" in log.read_text(), what="the log")
    said = log.read_text()
    for turn in ("HANDSHAKING", "CONNECT", "DISCONNECT"):
        assert f" WebSocket {turn} /echo/?session_key=… [{LOOPBACK}:" in said
    assert "secret" not in said


def test_pings(working: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Items 125 and 225: how often, and how long an answer may take."""
    frames = logging.getLogger("tests.pings")
    caplog.set_level(logging.DEBUG, frames.name)
    with working.interface("--ping-interval", "0.3", "--ping-timeout", "0.3"):
        with open_socket(working, "/echo/", logger=frames) as client:
            # it answers them by itself
            wait_until(lambda: caplog.text.count("> PONG") >= 4, what="four pings")
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
        with RawClient(working.port, "/echo/", [b"Host: localhost"]) as silent:
            assert silent.status() == 101
            assert silent.close_code() == 1011, "and no other end within the client's own time-out"


def speak(client: ClientConnection, seconds: float) -> None:
    """Keep a socket busy until it closes, for so long at most."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        client.send("hello")
        assert client.recv(timeout=10) == "hello"
        time.sleep(0.1)  # a pace, and nothing to wait for


@redis_only
def test_how_long_a_socket_may_live(working: Shop) -> None:
    """Items 59 and 225: as long as an option says and until the next look, though its client speaks."""
    with working.interface("--websocket_timeout", "1"), open_socket(working, "/echo/") as client:
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as caught:
            speak(client, 60)
        assert time.monotonic() - began > 0.9
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1001


@pytest.mark.parametrize("option", ["--websocket_connect_timeout", "--websocket-connect-timeout"])
def test_sockets_without_a_worker(shop: Shop, option: str) -> None:
    """Item 226: they are refused, after a time that an option says (item 225)."""
    with shop.interface(option, "0.5") as process:
        with pytest.raises(InvalidStatus) as caught:
            open_socket(shop, "/echo/")
        assert caught.value.response.status_code == 403
        process.wait_for_output(r"no consumer answered the handshake of '/echo/' within 0\.5 s")


def test_requests_without_a_worker(shop: Shop) -> None:
    """Items 110 and 226: 503, after a time that an option says (item 225)."""
    with shop.interface("-t", "0.5"):
        began = time.monotonic()
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{shop.url}/late/", timeout=30)  # noqa: S310 - our own address
        with caught.value as answer:
            assert answer.code == 503
        assert time.monotonic() - began >= 0.5


@redis_only
def test_it_listens_on_loopback_unless_told_otherwise(shop: Shop) -> None:
    """Item 225."""
    with shop.start(shop.manage("runinterface", "-p", str(shop.port)), name="interface") as process:
        shop.wait_for_interface(process)
        with socket.socket() as probe:
            # all of 127/8 is this machine: a server that listens everywhere answers there, too
            assert probe.connect_ex(("127.0.0.2", shop.port)) != 0


@pytest.mark.parametrize("command", ["runworker", "celery"])
def test_a_worker_of_some_channels(shop: Shop, command: str) -> None:
    """Items 88 and 222: globs that may be repeated, in both commands."""
    options = ["--only-channels", "websocket.*", "--only-channels", "http.*", "--exclude-channels", "*.connect"]
    options += ["--exclude-channels", "*.disconnect"]
    celery = [program("celery"), "-A", "channelcelery", "worker", "-l", "info", *options]
    line = shop.manage("runworker", *options) if command == "runworker" else celery
    with shop.start(line, name=command) as process:
        wait_for_worker(process)
        assert "channels: http.request, websocket.receive\n" in process.output()


@redis_only
def test_a_worker_says_what_it_runs_and_signals_that_it_is_ready(shop: Shop) -> None:
    """Items 222 and 224: -v 2 logs each message's channel and consumer. Item 85: one signal before the other."""
    with shop.start(shop.manage("runworker", "--threads", "2", "-v", "2"), name="runworker") as worker:
        wait_for_worker(worker)
        with shop.interface(), shop.socket("/echo/") as client:
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
        worker.wait_for_output(r"websocket\.receive -> shop\.consumers\.echo$")
        said = re.findall(r"signal (\w+) of a Worker: (\w+)$", worker.output(), re.MULTILINE)
    assert said == [("worker_process_ready", "True"), ("worker_ready", "True")]


@redis_only
def test_a_worker_that_cannot_start_says_why(shop: Shop) -> None:
    """Item 222."""
    for options, says in {
        ("--only-channels", "nothing.*"): "no channel is left to run",
        ("--threads", "none"): "write a whole number from 1, not 'none'",
        ("--pool", "gevent"): "channels are tested on the pools",
        ("--layer", "other"): "CHANNEL_LAYERS has no 'other'",
    }.items():
        with shop.start(shop.manage("runworker", *options), name="runworker") as process:
            assert process.wait(30) not in (0, None)
            assert says in process.output()
            assert "Traceback" not in process.output(), process.output()


def test_delayed_messages_without_a_worker(shop: Shop) -> None:
    """Item 223: rundelay sends them when they are due."""
    code = "import django; django.setup(); from channelcelery import Channel; Channel('jobs').send({}, delay=300)"
    shop.run([sys.executable, "-c", code])
    with (
        shop.start(shop.manage("rundelay", "--sleep", "0.1"), name="rundelay") as process,
        Connection(shop.broker) as connection,
    ):
        process.wait_for_output(r"Sending delayed messages")
        amqp_channel = connection.default_channel
        amqp_channel.queue_declare(queue="cc:jobs", durable=True, auto_delete=False, exclusive=False)
        wait_until(lambda: amqp_channel.basic_get("cc:jobs", no_ack=True), what="the message to be sent")
