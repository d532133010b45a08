"""Many sockets through faults, with real processes: a broker gone, an interface frozen, no end of clients."""

import asyncio
import contextlib
import itertools
import json
import signal
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from channelcelery.core.envelope import decode_batch
from tests.acceptance.sites import open_socket
from tests.acceptance.test_faults import interface, keys, nodes
from tests.integration.workers import WorkerSetup
from tests.processes import LOOPBACK, Process, wait_until
from tests.scale import scaled
from tests.servers import RedisServer

pytestmark = pytest.mark.soak


@pytest.fixture
def quick(redis_url: str, new_redis: Callable[..., RedisServer], tmp_path: Path) -> tuple[WorkerSetup, RedisServer]:
    """The test project on a broker of its own, where an interface process counts as dead after three seconds."""
    broker = new_redis()
    config = json.dumps({"http": "off", "heartbeat": 0.5, "node_expiry": 3.0, "connect_timeout": 30})
    return WorkerSetup(broker=broker.url, layer=redis_url, directory=tmp_path, config=config), broker


def url(port: int, path: str) -> str:
    return f"ws://{LOOPBACK}:{port}{path}"


async def open_all(port: int, names: list[str]) -> list[ClientConnection]:
    """Open sockets, each in a group of its own, few at a time, as workers answer them."""
    few = asyncio.Semaphore(20)

    async def one(name: str) -> ClientConnection:
        async with few:
            return await connect(url(port, f"/group/{name}/"), proxy=None, open_timeout=60, ping_interval=None)

    return await asyncio.gather(*(one(name) for name in names))


def test_given_a_broker_gone_under_sending_sockets_expect_none_closed(quick: tuple[WorkerSetup, RedisServer]) -> None:
    """Expect what they send meanwhile to wait, and to come when the broker is back."""
    setup, broker = quick
    sockets, gone = scaled((40, 2.0), (500, 5.0))
    heard: list[set[str]] = [set() for _ in range(sockets)]

    async def send(client: ClientConnection) -> None:
        for number in itertools.count():
            await client.send(str(number))
            await asyncio.sleep(0.5)

    async def hear(client: ClientConnection, into: set[str]) -> None:
        async for text in client:
            into.add(str(text))

    async def run(port: int) -> None:
        clients = await open_all(port, [f"b{number}" for number in range(sockets)])
        tasks = [asyncio.create_task(send(client)) for client in clients]
        tasks += [asyncio.create_task(hear(client, into)) for client, into in zip(clients, heard, strict=True)]
        await asyncio.sleep(1)
        broker.kill()
        await asyncio.sleep(gone)
        await asyncio.to_thread(broker.start)
        later = [max(map(int, texts), default=0) + 2 for texts in heard]
        async with asyncio.timeout(60):
            while not all(str(number) in texts for number, texts in zip(later, heard, strict=True)):
                assert not [client.close_code for client in clients if client.close_code is not None]
                await asyncio.sleep(0.1)
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
    many = {"connect_rate": 10_000, "address_connect_rate": 10_000}
    capacities = {"websocket.receive": capacity, "http.request": requests // 4}
    config = {"http": "worker", "channel_capacity": capacities, "publish_wait": 1, **many}
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


def test_given_one_of_two_interfaces_frozen_expect_the_other_to_go_on_and_each_socket_to_be_told_of_once(
    quick: tuple[WorkerSetup, RedisServer],
) -> None:
    """Expect them to end within two periods, with 1012 when it goes on, and no key of it to stay."""
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
            time.sleep(3)  # what is compared is a rate
            frozen.signal(signal.SIGSTOP)
            frozen_at = time.monotonic()
            setup.wait_for_lines(len(names), timeout=30)
            told = time.monotonic()
            frozen.signal(signal.SIGCONT)
            assert runner.run(codes(clients)) == Counter({1012: len(names)})
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
    assert during >= scaled(0.3, 0.8) * before


async def codes(clients: list[ClientConnection]) -> Counter[int | None]:
    """Wait for the end of sockets and return the codes."""

    async def one(client: ClientConnection) -> int | None:
        with contextlib.suppress(ConnectionClosed):
            async for _ in client:
                pass
        return client.close_code

    return Counter(await asyncio.gather(*(one(client) for client in clients)))


def resident(process: Process) -> int:
    """Return the bytes of memory that a process and its children hold."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in [str(process.pid), *children])


def test_given_no_end_of_clients_half_of_them_abrupt_expect_nothing_to_grow_and_no_key_to_stay(
    quick: tuple[WorkerSetup, RedisServer],
) -> None:
    """Given sockets that join a group, and go, in order or not: item 116."""
    setup, _ = quick
    total, at_once = scaled((300, 20), (100_000, 50))
    numbers = itertools.count()
    memory: list[tuple[int, int, int]] = []

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

    with setup.worker(concurrency=2) as worker, interface(setup) as (process, port):
        asyncio.run(run())
        setup.wait_for_lines(total, timeout=60)
        (node,) = nodes(setup.layer)
        for pattern in ("cc:group:*", f"cc:node:{node}:channels", "cc:order*", "cc:parked:*"):
            wait_until(lambda pattern=pattern: not keys(setup.layer, pattern), timeout=20, what=f"{pattern} to go")
    assert len(setup.lines()) == total
    assert Counter(line.split()[2] for line in setup.lines()) == {"1000": total // 2, "1006": total // 2}
    # from the second on: by then all is imported, and every pool has its size
    for former, latter in zip(memory[1], memory[-1], strict=True):
        assert latter - former < 8 * 1024 * 1024
