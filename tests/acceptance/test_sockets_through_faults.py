"""Many sockets through faults, with real processes: a broker gone, an interface frozen, no end of clients."""

import asyncio
import contextlib
import itertools
import json
import re
import selectors
import shutil
import signal
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
import redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from channelcelery.conf import layer_config
from channelcelery.core.envelope import decode_batch
from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers.redis import RedisChannelLayer
from tests.acceptance.sites import open_socket
from tests.acceptance.test_faults import interface, keys, nodes
from tests.integration.interfaces import RawClient
from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, wait_until
from tests.scale import scaled
from tests.servers import RabbitServer, RedisServer, redis_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.soak


@pytest.fixture
def quick(redis_url: str, new_redis: Callable[..., RedisServer], tmp_path: Path) -> tuple[WorkerSetup, RedisServer]:
    """The test project on a broker of its own, where an interface process counts as dead after three seconds."""
    broker = new_redis()
    config = json.dumps({"http": "off", "heartbeat": 0.5, "node_expiry": 3.0, "connect_timeout": 30})
    return WorkerSetup(broker=broker.url, layer=redis_url, directory=tmp_path, config=config), broker


#: What a thousand clients at one address need.
MANY = {"address_connections": 10_000, "connect_rate": 10_000, "address_connect_rate": 10_000}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkerSetup, Process, Process, int]]:
    """A worker, an interface and its port, for tests that leave them running."""
    limits = {"http": "off", "connect_timeout": 30, "ping_interval": 3_600, "send_timeout": scaled(2, 10)}
    with redis_server() as server:
        directory = tmp_path_factory.mktemp("standing")
        setup = WorkerSetup(server.database(1), server.url, directory, json.dumps(limits | MANY))
        with setup.worker(concurrency=2) as worker, interface(setup) as (process, port):
            yield setup, worker, process, port


def url(port: int, path: str) -> str:
    return f"ws://{LOOPBACK}:{port}{path}"


async def open_all(port: int, names: list[str]) -> list[ClientConnection]:
    """Open sockets, each in a group of its own, few at a time, as workers answer them."""
    few = asyncio.Semaphore(20)

    async def one(name: str) -> ClientConnection:
        async with few:
            return await connect(url(port, f"/group/{name}/"), proxy=None, open_timeout=60, ping_interval=None)

    return await asyncio.gather(*(one(name) for name in names))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", scaled(["redis"], ["redis", "amqp"]))
def test_given_a_broker_gone_under_sending_sockets_expect_none_closed(
    quick: tuple[WorkerSetup, RedisServer], new_rabbit: Callable[[], RabbitServer], kind: str
) -> None:
    """Expect what they send meanwhile to wait, and to come when the broker is back."""
    setup, broker = quick[0], new_rabbit() if kind == "amqp" else quick[1]
    setup.broker = broker.url
    # RabbitMQ itself takes some seconds to start
    sockets, meanwhile = scaled((40, 4), (500, 10 if kind == "redis" else 3))
    sent = [0] * sockets
    heard: list[set[str]] = [set() for _ in range(sockets)]

    async def send(client: ClientConnection, index: int) -> None:
        while True:
            await client.send(str(sent[index]))
            sent[index] += 1
            await asyncio.sleep(0.5)  # a pace

    async def hear(client: ClientConnection, into: set[str]) -> None:
        async for text in client:
            into.add(str(text))

    async def run(port: int) -> None:
        clients = await open_all(port, [f"b{number}" for number in range(sockets)])
        tasks = [asyncio.create_task(send(client, index)) for index, client in enumerate(clients)]
        tasks += [asyncio.create_task(hear(client, into)) for client, into in zip(clients, heard, strict=True)]
        await until(lambda: all(len(texts) >= 2 for texts in heard))
        await asyncio.to_thread(broker.kill)
        gone, before = time.monotonic(), sent.copy()
        await until(lambda: all(now - then >= meanwhile for now, then in zip(sent, before, strict=True)))
        await asyncio.to_thread(broker.start)
        away, after = time.monotonic() - gone, sent.copy()
        # the very first ones may have been written to a broker that was about to end
        waited = [set(map(str, range(first + 1, last))) for first, last in zip(before, after, strict=True)]
        async with asyncio.timeout(60):
            while not all(mine <= texts for mine, texts in zip(waited, heard, strict=True)):
                assert not [client.close_code for client in clients if client.close_code is not None]
                await asyncio.sleep(0.1)
        print(f"{kind}: away for {away:.1f} s under {sockets} sockets, {sum(map(len, waited))} messages waited")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))

    with setup.worker(concurrency=2), interface(setup) as (_, port):
        asyncio.run(run(port))


def waiting(broker: RedisServer, channel: str) -> int:
    """Return how many channel messages wait in a queue on Redis, and leave them there."""
    with redis.Redis.from_url(broker.url) as client:
        bodies = [b64decode(json.loads(message)["body"]) for message in client.lrange(f"cc:{channel}", 0, -1)]
    return sum(len(decode_batch(body).items) for body in bodies)


async def ask(port: int) -> tuple[int, bytes]:
    """Ask for the page, and return the status and the head of the answer."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        return int(head.split()[1]), head.lower()
    finally:
        writer.close()


def test_given_no_worker_under_a_flood_expect_a_bounded_queue_and_all_well_when_one_is_back(
    quick: tuple[WorkerSetup, RedisServer],
) -> None:
    """Item 60: expect in the queue no more than its capacity and 50 ms of traffic.

    Who sends over a socket gets 1013, who asks over HTTP 503 with Retry-After, or an answer once a worker is back.
    """
    setup, broker = quick
    capacity, sockets, requests = scaled((200, 20, 100), (10_000, 200, 800))
    capacities = {"websocket.receive": capacity, "http.request": requests // 4}
    config = {"http": "worker", "channel_capacity": capacities, "publish_wait": 1, **MANY}
    setup.config = json.dumps(json.loads(setup.config) | config)

    async def flood(client: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.send("x")
                await asyncio.sleep(0)

    async def run(port: int) -> Counter[int | None]:
        clients = await open_all(port, [f"n{number}" for number in range(sockets)])
        await asyncio.gather(*(flood(client) for client in clients))
        return Counter(client.close_code for client in clients)

    async def ask_all(port: int) -> list[asyncio.Task[tuple[int, bytes]]]:
        """Ask often at once, then now and then, and return those that wait."""
        tasks = [asyncio.create_task(ask(port)) for _ in range(requests)]
        async with asyncio.timeout(30):
            while await asyncio.to_thread(waiting, broker, "http.request") < requests // 4:
                await asyncio.sleep(0.1)
            refused = [await ask(port) for _ in range(20)]
        refused += [task.result() for task in tasks if task.done()]
        assert {status for status, _ in refused} == {503}
        assert all(b"\r\nretry-after: 2" in head for _, head in refused)
        return [task for task in tasks if not task.done()]

    async def answers(port: int, tasks: list[asyncio.Task[tuple[int, bytes]]]) -> Counter[int]:
        """Return the statuses of those that waited, and of one that asks now."""
        return Counter([(await task)[0] for task in [*tasks, asyncio.create_task(ask(port))]])

    def echo(port: int) -> bool:
        """Tell whether a new socket hears what it says."""
        with contextlib.suppress(ConnectionClosed, TimeoutError), open_socket(port, "/group/back/") as client:
            client.send("x")
            return client.recv(timeout=5) == "x"
        return False

    excluded = ["--exclude-channels", "websocket.receive", "--exclude-channels", "http.request"]
    with interface(setup) as (_, port), asyncio.Runner() as runner:
        with setup.worker("prefork", 1, excluded):
            assert runner.run(run(port)) == Counter({1013: sockets})
            tasks = runner.run(ask_all(port))
        # it publishes less than 10,000 messages a second
        assert capacity <= waiting(broker, "websocket.receive") < capacity + 500
        assert requests // 4 <= waiting(broker, "http.request") < requests // 4 + 500
        with setup.worker(concurrency=1):
            back = time.monotonic()
            wait_until(lambda: echo(port), timeout=scaled(30, 10), what="sockets to be served")
            assert runner.run(answers(port, tasks)) == Counter({200: len(tasks) + 1})
            assert time.monotonic() - back < scaled(30, 10)


@contextmanager
def echoing(port: int) -> Iterator[list[float]]:
    """Say something and hear it again, all the time, from a thread; gives when it was heard."""
    times: list[float] = []
    stopped = threading.Event()

    def run() -> None:
        with open_socket(port, "/group/echo/") as client:
            while not stopped.is_set():
                client.send("x")
                client.recv(timeout=30)
                times.append(time.monotonic())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield times
    finally:
        stopped.set()
        thread.join(30)


@pytest.mark.parametrize("fault", scaled([signal.SIGSTOP], [signal.SIGSTOP, signal.SIGKILL]))
def test_given_one_of_two_interfaces_frozen_or_killed_expect_the_other_to_go_on_and_each_socket_to_be_told_of_once(
    quick: tuple[WorkerSetup, RedisServer], fault: signal.Signals
) -> None:
    """Expect them to end within two periods, with 1012 when a frozen one goes on, and no key of it to stay."""
    setup, _ = quick
    names = [f"f{number}" for number in range(scaled(20, 500))]
    with ExitStack() as stack:
        stack.enter_context(setup.worker(concurrency=1))
        frozen, port = stack.enter_context(interface(setup))
        (node,) = nodes(setup.layer)
        _, other = stack.enter_context(interface(setup))
        with echoing(other) as times, asyncio.Runner() as runner:
            clients = runner.run(open_all(port, names))
            with redis.Redis.from_url(setup.layer) as client:
                wait_until(lambda: client.hlen(f"cc:node:{node}:channels") == len(names), what="all to be recorded")
            begun = time.monotonic()
            time.sleep(scaled(1, 3))  # what is compared is a rate
            frozen.signal(fault)
            frozen_at = time.monotonic()
            setup.wait_for_lines(len(names), timeout=30)
            told = time.monotonic()
            if fault == signal.SIGSTOP:
                frozen.signal(signal.SIGCONT)
            assert runner.run(codes(clients)) == Counter({1012 if fault == signal.SIGSTOP else 1006: len(names)})
        # a second one of any of them would run before that of this one
        with open_socket(other, "/group/last/") as last:
            last.send("x")
            assert last.recv(timeout=30) == "x"
        wait_until(lambda: "left last 1000 order 2" in setup.lines(), timeout=30, what="the last to be told of")
        lines = Counter(line for line in setup.lines() if line.startswith("left f"))
        assert lines == Counter(f"left {name} 1006 order None" for name in names)
        wait_until(lambda: keys(setup.layer, f"*{node}*") <= {f"cc:tomb:{node}"}, what="its keys to go")
    assert told - frozen_at < 2 * 3.0 + scaled(6, 0.5)
    before = sum(begun <= at < frozen_at for at in times) / (frozen_at - begun)
    during = sum(frozen_at <= at < told for at in times) / (told - frozen_at)
    print(
        f"{fault.name}: {len(names)} told of after {told - frozen_at:.1f} s; echoes/s {before:.0f}, then {during:.0f}"
    )
    assert during >= scaled(0.3, 0.8) * before


async def codes(clients: list[ClientConnection]) -> Counter[int | None]:
    """Wait for the end of sockets and return the codes."""

    async def one(client: ClientConnection) -> int | None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in client:
                pass
        return client.close_code

    return Counter(await asyncio.gather(*(one(client) for client in clients)))


def layer_at(url: str) -> RedisChannelLayer:
    """Return the layer of the test project's processes, for sending without a worker."""
    entry = {"BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": {"hosts": [url]}}
    return RedisChannelLayer(layer_config("default", entry))


def memberships(url: str) -> dict[str, set[str]]:
    """Return the members of every group, as Redis has them: nodes by group, and sockets by group and node."""
    with redis.Redis.from_url(url, decode_responses=True) as store:
        names = list(store.scan_iter("cc:group:*", count=1_000))
        pipeline = store.pipeline(transaction=False)
        for name in names:
            pipeline.smembers(name)
        return dict(zip(names, pipeline.execute(), strict=True))


def empty(server: RedisServer, node: str, token: str) -> None:
    with redis.Redis.from_url(server.url) as store:
        store.flushall()


def replace_by_one_of_an_earlier_clock(server: RedisServer, node: str, token: str) -> None:
    """Let an hour pass for the inbox, and then begin again now."""
    with redis.Redis.from_url(server.url) as store:
        later = f"{int(time.time() * 1000) + 3_600_000}-0"
        store.xadd(f"cc:inbox:{node}", {"j": "s0-1", "k": token}, id=later)
        wait_until(lambda: not store.xlen(f"cc:inbox:{node}"), what="the interface to be in that hour")
    server.kill()
    shutil.rmtree(server.directory / "appendonlydir")
    server.start()


def kill_and_start_again(server: RedisServer, node: str, token: str) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("lose", [empty, replace_by_one_of_an_earlier_clock, kill_and_start_again])
def test_given_a_redis_that_loses_data_expect_every_group_whole_again_and_joins_meanwhile_kept(
    big: tuple[RedisServer, asyncio.Runner, list[ClientConnection]],
    lose: Callable[[RedisServer, str, str], None],
) -> None:
    """Item 62. Given sockets in four groups each / Expect that within 5 s, no socket closed, and each reached."""
    server, runner, clients = big
    layer = layer_at(server.url)
    (node,) = nodes(server.url)
    with redis.Redis.from_url(server.url, decode_responses=True) as store:
        wait_until(lambda: store.hlen(f"cc:node:{node}:channels") == len(clients), what="all to be recorded")
        tokens = {path.split("/")[2]: token for token, path in store.hgetall(f"cc:node:{node}:channels").items()}
    channels = [ReplyAddress(node, tokens[f"s{number}-0"]).channel() for number in range(len(clients))]
    for number, channel in enumerate(channels):
        for group in range(1, 4):
            layer.group_add(f"s{number}-{group}", channel)

    def join(channel: str) -> bool:
        with contextlib.suppress(LayerUnavailable):  # a consumer's run would fail
            layer.group_add(f"late-{lose.__name__}", channel)
            return True
        return False

    async def hear() -> list[str]:
        async with asyncio.timeout(scaled(10, 60)):
            return [str(await client.recv()) for client in clients]

    before = memberships(server.url)
    lose(server, node, tokens["s0-0"])
    back = time.monotonic()
    # the first before the interface knows, the last when all is well again
    for channel in channels[:75]:
        wait_until(lambda channel=channel: join(channel), what="a join")
        time.sleep(0.02)
    late = f"cc:group:late-{lose.__name__}"
    joined = {channel.rpartition(".")[2] for channel in channels[:75]}
    expected = before | {late: {f"!{node}"}, f"{late}:{node}": joined}
    wait_until(lambda: memberships(server.url) == expected, timeout=back + 5 - time.monotonic(), what="the groups")
    for number in range(len(clients)):
        layer.send_group(f"s{number}-{number % 4}", {"text": f"{lose.__name__} {number}"})
    assert runner.run(hear()) == [f"{lose.__name__} {number}" for number in range(len(clients))]
    layer.send_group(f"late-{lose.__name__}", {"text": "late"})
    assert (
        runner.run(asyncio.wait_for(asyncio.gather(*(client.recv() for client in clients[:75])), 10)) == ["late"] * 75
    )
    assert {client.close_code for client in clients} == {None}
    layer.close()


@pytest.fixture(scope="module")
def big(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RedisServer, asyncio.Runner, list[ClientConnection]]]:
    """Many open sockets, each in a group of its own, whose layer is a Redis that a test may end."""
    # no pings: while the tests send, nobody reads the sockets, and so nobody answers
    config = json.dumps({"http": "off", "connect_timeout": 30, "ping_interval": 3_600, **MANY})
    with redis_server() as broker, redis_server(appendonly=True) as server, ExitStack() as stack:
        setup = WorkerSetup(broker.url, server.url, tmp_path_factory.mktemp("big"), config)
        stack.enter_context(setup.worker(concurrency=2))
        _, port = stack.enter_context(interface(setup))
        runner = stack.enter_context(asyncio.Runner())
        clients = runner.run(open_all(port, [f"s{number}-0" for number in range(scaled(200, 5_000))]))
        yield server, runner, clients
        runner.run(close_all(clients))


async def close_all(clients: list[ClientConnection]) -> None:
    await asyncio.gather(*(client.close() for client in clients))


class Readers:
    """Sockets that compare what comes with what is to come, as cheaply as possible.

    Args:
        port: of the interface.
        number: how many.
    """

    def __init__(self, port: int, number: int) -> None:
        self.clients = [RawClient(port, "/group/busy/") for _ in range(number)]
        self._selector = selectors.DefaultSelector()
        for client in self.clients:
            assert client.status() == 101
            self._selector.register(client.socket, selectors.EVENT_READ)

    def read(self, expected: bytes, within: float) -> None:
        """Read until each socket had exactly what was expected."""
        seen = dict.fromkeys((client.socket for client in self.clients), 0)
        late = len(seen)
        until = time.monotonic() + within
        while late:
            assert time.monotonic() < until, f"{late} of {len(seen)} did not get everything"
            for key, _ in self._selector.select(1):
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                begun = seen[key.fileobj]  # type: ignore[index]
                assert data
                assert data == expected[begun : begun + len(data)]
                seen[key.fileobj] += len(data)  # type: ignore[index]
                late -= begun + len(data) == len(expected)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._selector.close()
        for client in self.clients:
            client.socket.close()


#: A page that says something each 50 ms while it is connected, and keeps what it hears and how often it was connected.
PAGE = """(name) => {
    globalThis.heard = [];
    globalThis.codes = [];
    globalThis.opened = 0;
    globalThis.bridge = new channels.WebSocketBridge();
    bridge.connect(`/group/${name}/`, undefined, { minReconnectionDelay: 50, maxReconnectionDelay: 200 });
    bridge.socket.addEventListener("open", () => { opened += 1; });
    bridge.socket.addEventListener("close", (event) => codes.push(event.code));
    bridge.socket.addEventListener("message", (event) => heard.push(Number(event.data)));
    let number = 0;
    setInterval(() => { if (bridge.socket.readyState === 1) bridge.socket.send(String(++number)); }, 50);
}"""


class Balancer:
    """Hands connections to the first interface that takes them, as a balancer does that looks whether they are ready.

    Args:
        ports: of the interfaces.
    """

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self.port = free_port()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        for port in self._ports:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                other, to_other = await asyncio.open_connection(LOOPBACK, port)
                self._writers.append(to_other)
                to_other.write(head)
                answer = await other.readuntil(b"\r\n\r\n")
                if not answer.startswith(b"HTTP/1.1 503 "):
                    writer.write(answer)
                    await asyncio.gather(self._copy(reader, to_other), self._copy(other, writer))
                    return
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    def __enter__(self) -> Self:
        self._thread.start()
        started = asyncio.start_server(self._serve, LOOPBACK, self.port)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result(10)
        return self

    async def _end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await asyncio.sleep(0.05)  # what copies ends

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.mark.browser
def test_given_an_interface_that_ends_beside_another_expect_pages_to_go_on_there(
    quick: tuple[WorkerSetup, RedisServer], browser: "Browser"
) -> None:
    """Given pages with the browser client, whose sockets are closed within `drain_seconds`.

    Expect 1012 at each, one more connection, what they say to be heard again, and no key of the node to stay.
    """
    setup, _ = quick
    setup.config = json.dumps(json.loads(setup.config) | {"drain_seconds": 1})
    script = (ROOT / "channelcelery/static/channels/js/websocketbridge.js").read_text()
    with ExitStack() as stack:
        stack.enter_context(setup.worker(concurrency=1))
        ending, first = stack.enter_context(interface(setup))
        (node,) = nodes(setup.layer)
        _, second = stack.enter_context(interface(setup))
        balancer = stack.enter_context(Balancer([first, second]))
        context = stack.enter_context(browser.new_context())
        pages = [context.new_page() for _ in range(scaled(3, 10))]
        for number, page in enumerate(pages):
            page.goto(f"http://{LOOPBACK}:{balancer.port}/")  # any page of that origin
            page.add_script_tag(content=script)
            page.evaluate(PAGE, f"page{number}")
        for page in pages:
            page.wait_for_function("heard.length > 5")
        # closed after those of the pages, which come back meanwhile
        others = stack.enter_context(Readers(first, 100)).clients
        ending.terminate()
        for page in pages:
            page.wait_for_function("opened === 2", timeout=20_000)
            last = page.evaluate("Math.max(...heard)")
            page.wait_for_function("(last) => Math.max(...heard) > last + 10", arg=last, timeout=20_000)
            assert page.evaluate("[codes, opened]") == [[1012], 2]
        assert ending.wait(15) == 0
        # at once: later the other would clear up after it
        assert keys(setup.layer, f"*{node}*") <= {f"cc:tomb:{node}"}
        lines = Counter(line.partition(" order")[0] for line in setup.wait_for_lines(len(pages) + len(others)))
        told = {f"left page{number} 1012": 1 for number in range(len(pages))}
        assert lines == told | {"left busy 1012": len(others)}


def peak(process: Process, *, anew: bool = False) -> int:
    """Return the bytes of memory that a process held at most, or begin to look at that again."""
    if anew:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def test_given_one_that_does_not_read_in_a_busy_group_expect_it_closed_and_the_others_to_get_everything(
    standing: tuple[WorkerSetup, Process, Process, int],
) -> None:
    """Given much, then little for long / Expect that above 1 MiB or after 10 s, and 2 MiB to be enough for it.

    Beside these, memory may be 2 MiB more than it was when as much was sent to the others alone.
    """
    setup, _, process, port = standing
    layer = layer_at(setup.layer)
    text = "\N{SNOWMAN}" * 21_000  # counted in bytes, of which each has three
    frame = b"\x81\x7e" + len(text.encode()).to_bytes(2, "big") + text.encode()

    def send(number: int) -> None:
        for _ in range(number):
            layer.send_group("busy", {"text": text})
            readers.read(frame, within=20)

    @contextmanager
    def one_more(reason: str) -> Iterator[None]:
        with RawClient(port, "/group/busy/", receive_buffer=4096) as slow:
            assert slow.status() == 101
            peak(process, anew=True)
            yield
            process.wait_for_output(rf"does not read what it is sent \({reason}\)", timeout=20)
            print(f"{reason}: {(peak(process) - without) / 2**20:.2f} MiB more")
            assert peak(process) - without < 2 * 1024 * 1024

    with Readers(port, scaled(200, 1_000) - 1) as readers:
        peak(process, anew=True)
        send(60)
        without, enough = peak(process), 0
        with one_more("send_buffer"):
            while "(send_buffer)" not in process.output():
                assert enough < 160, "the kernel takes some megabytes, but not so many"
                send(1)
                enough += 1
        with one_more("send_timeout"):
            send(enough - 8)  # half a MiB waits
        wait_until(lambda: setup.lines().count("left busy 1013 order 1") == 2, timeout=20, what="both to be told of")
        send(3)
    layer.close()


def resident(process: Process) -> int:
    """Return the bytes of memory that a process and its children hold."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in [str(process.pid), *children])


def test_given_no_end_of_clients_half_of_them_abrupt_expect_nothing_to_grow_and_no_key_to_stay(
    standing: tuple[WorkerSetup, Process, Process, int],
) -> None:
    """Given sockets that join a group, and go, in order or not: item 116."""
    setup, worker, process, port = standing
    total, at_once = scaled((300, 20), (100_000, 50))
    numbers = itertools.count()
    memory: list[tuple[int, int, int]] = []

    def told() -> Counter[str]:
        return Counter(line.split()[2] for line in setup.lines() if re.match(r"left c\d+ ", line))

    async def one(number: int) -> None:
        async with connect(url(port, f"/group/c{number % 100}/"), proxy=None, open_timeout=60) as client:
            await client.send("x")
            await client.recv()
            if number % 2:
                client.transport.abort()

    async def some() -> None:
        while (number := next(numbers)) < total:
            await one(number)
            if number % (total // 10) == 0:
                with redis.Redis.from_url(setup.layer) as store:
                    used = int(store.info("memory")["used_memory"])
                memory.append((resident(process), resident(worker), used))

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(some())

    asyncio.run(run())
    (node,) = nodes(setup.layer)
    for pattern in ("cc:group:*", f"cc:node:{node}:channels", "cc:order*", "cc:parked:*"):
        wait_until(lambda pattern=pattern: not keys(setup.layer, pattern), timeout=20, what=f"{pattern} to go")
    wait_until(lambda: sum(told().values()) == total, timeout=60, what="the end of each to be told of")
    assert told() == {"1000": total // 2, "1006": total // 2}
    # from the second on: by then all is imported, and every pool has its size
    for former, latter in zip(memory[1], memory[-1], strict=True):
        assert latter - former < 8 * 1024 * 1024
