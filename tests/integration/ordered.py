"""The project whose sockets want order, as processes; clients that do not wait; and what must be true of the result."""

import asyncio
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, wait_until


@dataclass(frozen=True)
class Ran:
    """One run of a consumer, as it wrote it down.

    Args:
        name: the socket.
        event: "connect", "receive" or "disconnect".
        order: the message's number, None if it had none.
        begun: seconds of the machine's monotonic clock.
        ended: likewise.
    """

    name: str
    event: str
    order: int | None
    begun: float
    ended: float


@dataclass
class Client:
    """What one client saw.

    Args:
        got: the texts that came.
        times: when they came.
        code: with which code the server closed, or None.
    """

    got: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    code: int | None = None


@dataclass
class OrderedSite:
    """The project as processes.

    Args:
        setup: where they find each other.
        port: of the interface.
        interface: the process that holds the sockets.
        worker: the worker.
    """

    setup: WorkerSetup
    port: int
    interface: Process
    worker: Process

    def url(self, path: str) -> str:
        return f"ws://{LOOPBACK}:{self.port}{path}"

    def open(self, path: str) -> connect:
        """Open a socket, as an async context manager."""
        return connect(self.url(path), proxy=None, close_timeout=5, ping_interval=None)

    def ran(self, name: str | None = None) -> list[Ran]:
        """Return what ran so far, by the time of its beginning; of one socket or of all."""
        found = []
        for line in self.setup.lines():
            socket, event, order, begun, ended = line.split()
            if event != "counted" and name in (None, socket):
                number = None if order == "None" else int(order)
                found.append(Ran(socket, event, number, float(begun), float(ended)))
        return sorted(found, key=lambda ran: ran.begun)

    def counted(self) -> dict[str, str]:
        """Return what each socket's disconnect found in its session."""
        words = (line.split() for line in self.setup.lines())
        return {word[0]: word[2] for word in words if word[1] == "counted"}

    def wait_for(self, name: str, event: str, order: int | None = None, timeout: float = 30) -> list[Ran]:
        """Wait until a message of a socket ran, and return all that ran of it."""

        def there() -> list[Ran] | None:
            ran = self.ran(name)
            return ran if any(r.event == event and order in (None, r.order) for r in ran) else None

        return wait_until(there, timeout=timeout, what=f"the {event} {order or ''} of {name}")

    def children(self) -> list[int]:
        """Return the processes of the worker's pool."""
        text = Path(f"/proc/{self.worker.pid}/task/{self.worker.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def kill_child(self, number: int) -> None:
        """Kill one process of the pool."""
        if children := self.children():
            with suppress(ProcessLookupError):
                os.kill(children[number % len(children)], signal.SIGKILL)


@contextmanager
def ordered_site(
    setup: WorkerSetup, pool: str = "prefork", concurrency: int = 4, arguments: tuple[str, ...] = ()
) -> Iterator[OrderedSite]:
    """Run the project, ready when the block begins."""
    setup.environment["DJANGO_SETTINGS_MODULE"] = "tests.project_ordered.settings"
    port = free_port()
    command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
    with (
        Process(command, env=setup.env(), cwd=ROOT, name="interface") as interface,
        setup.worker(pool, concurrency, arguments) as worker,
    ):
        interface.wait_for_output("sockets are taken", timeout=40)
        yield OrderedSite(setup, port, interface, worker)


async def send_all(socket: ClientConnection, texts: list[str], client: Client, patience: float = 30) -> None:
    """Send without waiting for anything, and read until the last text came back, or nothing for a while.

    Args:
        socket: an open socket.
        texts: what to send.
        client: takes down what comes.
        patience: seconds after which nothing more is expected.
    """

    async def send() -> None:
        for text in texts:
            await socket.send(text)

    sending = asyncio.create_task(send())
    try:
        while not client.got or client.got[-1] != texts[-1]:
            client.got.append(str(await asyncio.wait_for(socket.recv(), patience)))
            client.times.append(time.monotonic())
    except TimeoutError:
        pass
    except ConnectionClosed as error:
        client.code = error.rcvd.code if error.rcvd is not None else 1006
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionClosed):
            await sending


async def many(
    site: OrderedSite,
    path: str,
    sockets: int,
    texts: list[str],
    patience: float = 30,
    when_open: Callable[[], None] = lambda: None,
    before_close: Callable[[], None] = lambda: None,
) -> list[Client]:
    """Let many clients send the same texts at the same time, and close when all are done.

    Args:
        site: where to.
        path: of the sockets; each is named by its number.
        sockets: how many.
        texts: what each sends.
        patience: seconds after which a client expects nothing more.
        when_open: called when all are open.
        before_close: called when all are done.
    """
    clients = [Client() for _ in range(sockets)]
    all_open, all_done = asyncio.Barrier(sockets), asyncio.Barrier(sockets)

    async def one(number: int) -> None:
        async with site.open(f"/{path}/{number}/") as socket:
            if not await all_open.wait():
                when_open()
            await send_all(socket, texts, clients[number], patience)
            if not await all_done.wait():
                before_close()

    async with asyncio.TaskGroup() as group:
        for number in range(sockets):
            group.create_task(one(number))
    return clients


def check_strict(ran: list[Ran]) -> None:
    """Check that the messages of one socket ran by number, none twice, and each after the one before it had ended."""
    numbers = [each.order for each in ran if each.order is not None]
    assert numbers == sorted(set(numbers)), numbers
    for before, after in itertools.pairwise(ran):
        assert before.ended <= after.begun, f"{before} and {after} overlap"


def longest_stall(ran: list[Ran]) -> float:
    """Return the longest time in which nothing of one socket ran although more of it was to run."""
    return max((after.begun - before.ended for before, after in itertools.pairwise(ran)), default=0.0)


class StallWatch:
    """Looks all the time how long sockets do not go on although something of them is parked.

    Args:
        url: of the layer's Redis.
    """

    def __init__(self, url: str) -> None:
        self.longest = 0.0
        self.looks = 0
        self._since: dict[bytes, tuple[object, float]] = {}
        self._client: Any = redis.Redis.from_url(url)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stopped.wait(0.05):
            now = time.monotonic()
            tokens = self._client.zrange("cc:ordering", 0, -1)
            pipeline = self._client.pipeline(transaction=False)
            for token in tokens:
                pipeline.hmget(b"cc:order:" + token, "n", "r")
                pipeline.hlen(b"cc:parked:" + token)
            answers = pipeline.execute()
            states = zip(tokens, answers[::2], answers[1::2], strict=True)
            waiting = {token: state for token, state, parked in states if parked}
            former = self._since
            self._since = {
                token: former[token] if token in former and former[token][0] == state else (state, now)
                for token, state in waiting.items()
            }
            self.longest = max([self.longest, *(now - since for _, since in self._since.values())])
            self.looks += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(10)
        self._client.close()
