"""Deploys under load: workers restarted one after the other, and processes of two versions beside each other."""

import asyncio
import shutil
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_sync

from tests.integration.test_interface_process import interface
from tests.integration.wire import Wire
from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import wait_until
from tests.scale import scaled

enough_brokers = pytest.mark.parametrize("broker_url", scaled(["redis"], ["redis", "amqp"]), indirect=True)


@dataclass
class Load:
    """Sockets that send numbered messages, whose echoes are noted, from a thread.

    Args:
        port: of the interface process.
        sockets: how many.
        rate: messages a second over all of them.
    """

    port: int
    sockets: int
    rate: float
    sent: int = 0
    more: int = 0
    heard: list[int] = field(default_factory=list)
    closed: int = 0
    _enough: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        wait_until(lambda: self.heard, what="the first echo", timeout=20)
        return self

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        self._thread.join(60)

    def flood(self, number: int) -> None:
        """Send so many more at once, and return when they have left."""
        wanted, self.more = self.sent + number, self.more + number
        wait_until(lambda: self.sent >= wanted, what="the flood to leave", interval=0.001)

    async def _run(self) -> None:
        url = f"ws://127.0.0.1:{self.port}/echo/"
        clients = [await connect(url, compression=None, proxy=None) for _ in range(self.sockets)]
        readers = [asyncio.create_task(self._read(client)) for client in clients]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not self._enough.is_set():
            while self.sent < (loop.time() - begun) * self.rate + self.more:
                await clients[self.sent % len(clients)].send(str(self.sent))
                self.sent += 1
            await asyncio.sleep(0.005)
        until = loop.time() + 30
        while len(self.heard) < self.sent and loop.time() < until:
            await asyncio.sleep(0.05)
        open_to_the_end = [reader for reader in readers if not reader.done()]
        self.closed = len(clients) - len(open_to_the_end)
        for client in clients:
            await client.close()

    async def _read(self, client: object) -> None:
        async for text in client:  # type: ignore[attr-defined]
            self.heard.append(int(text))


@pytest.mark.soak
@enough_brokers
def test_given_workers_restarted_one_after_the_other_expect_no_message_lost_and_no_socket_closed(
    setup: WorkerSetup,
) -> None:
    """Given 500 messages a second, 200 in the short form / Expect each to be echoed once, by whichever worker."""
    names = iter(f"w{number}@test" for number in range(100))
    with ExitStack() as stack:
        it = stack.enter_context(interface(setup))
        workers = [stack.enter_context(setup.start(concurrency=1, arguments=["-n", next(names)])) for _ in range(2)]
        for worker in workers:
            worker.wait_for_output(r"running \d+ channels", timeout=30)
        with Load(it.port, 20, scaled(200, 500)) as load:
            for left in reversed(range(scaled(2, 10))):
                worker = workers.pop(0)
                load.flood(scaled(500, 1_000))  # so that it has messages that it has not begun
                worker.terminate()
                assert worker.wait(60) == 0
                if left:  # the last one leaves the others to it
                    again = setup.worker(concurrency=1, arguments=["-n", next(names)])
                    workers.append(stack.enter_context(again))
        assert load.closed == 0
        assert sorted(load.heard) == list(range(load.sent))
        print(f"{load.sent} messages")


#: What the next version may change: a version, and fields that this one does not know, in each part of an envelope.
LATER = {
    "core/envelope.py": [
        ("VERSION = 1\n", "VERSION = 2\n"),
        (r'b"\x82\xa1d"', r'b"\x83\xa5later\x01\xa1d"'),
        ('{"v": VERSION, ', '{"later": 1, "v": VERSION, '),
    ],
    "layers/scripts/deliver.lua": [("inbox.key, '*', ...", "inbox.key, '*', 'later', 1, ...")],
}


def next_version(setup: WorkerSetup, directory: Path) -> WorkerSetup:
    """Return the setup for processes of a package that writes what the next version may."""
    shutil.copytree(ROOT / "channelcelery", directory / "channelcelery", ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in LATER.items():
        file = directory / "channelcelery" / name
        text = file.read_text()
        for old, new in changes:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        file.write_text(text)
    later = replace(setup, cwd=directory, environment={"PYTHONPATH": f"{directory}:{ROOT}"})
    later.python("from channelcelery.core import envelope; assert envelope.VERSION == 2")
    return later


@pytest.mark.soak
@enough_brokers
@pytest.mark.parametrize("first", ["worker", "interface"])
def test_given_an_interface_and_a_worker_of_two_versions_expect_them_to_understand_each_other(
    setup: WorkerSetup, tmp_path: Path, first: str
) -> None:
    """Given a deploy that changes the envelope, half of it done / Expect sockets, groups and pages to work."""
    later = next_version(setup, tmp_path / "next")
    of_worker, of_interface = (later, setup) if first == "worker" else (setup, later)
    with of_worker.worker(concurrency=1) as worker, interface(of_interface, cwd=of_interface.cwd) as it:
        with connect_sync(f"ws://127.0.0.1:{it.port}/group/g/", proxy=None, open_timeout=20) as client:
            for number in range(10):
                client.send(str(number))
                assert client.recv(timeout=10) == str(number)
        with Wire(it.port) as page:
            page.request("GET", "/hello")
            assert page.response()[::2] == (200, b"hello")
        assert setup.wait_for_lines(1) == ["left g 1000 order 11"]
        for process in (worker, it.process):
            assert "ERROR" not in process.output()
