"""Workers that a test kills, and what their tasks wrote."""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Connection

from channelcelery.broker.safe_app import make_safe
from tests.processes import Process, wait_until

SAFE = {"lease": 2, "sweep_interval": 0.5}


@dataclass
class Workers:
    """Celery workers on one broker.

    Args:
        url: the broker.
        folder: where files are written.
        options: transport options.
        arguments: of `celery worker`.
        multiplier: messages that a worker holds for each of its processes.
    """

    url: str
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("-c", "4")
    multiplier: int = 1
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.options = SAFE | self.options
        self.file = self.folder / "effects"
        self.file.touch()
        self._app = Celery("sender", broker=self.url)
        self._app.conf.update(broker_transport_options=self.options, task_ignore_result=True)
        make_safe(self._app)

    @property
    def environment(self) -> dict[str, str | None]:
        """Variables of the workers."""
        return {
            "KILLS_BROKER": self.url,
            "KILLS_FILE": str(self.file),
            "KILLS_OPTIONS": json.dumps(self.options),
            "KILLS_MULTIPLIER": str(self.multiplier),
            "CELERY_BROKER_URL": None,
        }

    def start(self) -> Process:
        """Start a worker."""
        command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "tests.acceptance.kills_app", "worker"]
        command += ["--without-gossip", "--without-mingle", "-l", "INFO", "-n", f"w{len(self.processes)}@%h"]
        log = self.folder / f"worker{len(self.processes)}.log"
        process = Process([*command, *self.arguments], env=self.environment, log=log, name="worker")
        self.processes.append(process)
        return process

    def send(self, name: str, *args: object) -> None:
        """Send a task."""
        self._app.send_task(name, args, queue="kills")

    def close(self) -> None:
        """End what runs."""
        for process in self.processes:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                wait_until(lambda process=process: process.returncode is not None)  # type: ignore[misc]
        self._app.close()

    # what happened

    def lines(self) -> list[list[str]]:
        """Return what the tasks wrote."""
        return [line.split() for line in self.file.read_text().splitlines()]

    def starts(self) -> Counter[int]:
        """Return how often each task started."""
        return Counter(int(line[1]) for line in self.lines() if line[0] == "start")

    def ends(self) -> Counter[int]:
        """Return how often each task ended."""
        return Counter(int(line[1]) for line in self.lines() if line[0] == "end")

    def running(self) -> set[tuple[int, str]]:
        """Return the tasks that have started and not ended, with their processes."""
        open_: set[tuple[int, str]] = set()
        for what, number, pid, _ in self.lines():
            (open_.add if what == "start" else open_.discard)((int(number), pid))
        return open_


@dataclass
class Toll:
    """What killing cost."""

    sent: int
    kills: int
    lost: list[int]
    extra_starts: int
    ended_twice: int
    slowest: float

    def __str__(self) -> str:
        return (
            f"{self.sent} sent, {self.kills} kills, {len(self.lost)} lost, {self.extra_starts} extra starts, "
            f"{self.ended_twice} ended twice, the slowest started again {self.slowest:.1f} s after its kill"
        )


def kill_while_working(workers: Workers, *, messages: int, kills: int, seconds: float = 0.02, seed: int = 1) -> Toll:
    """Send messages and kill the worker again and again; a kill counts if a message had started and not ended.

    Args:
        workers: none of them runs yet.
        messages: how many are sent, all of them before the first kill.
        kills: how many kills shall count.
        seconds: that a message takes.
        seed: of the moments.
    """
    chance = random.Random(seed)
    for number in range(messages):
        workers.send("work", number, seconds)
    counted, killed_at, over = 0, list[float](), set[tuple[int, str]]()
    while counted < kills and len(workers.ends()) < messages:
        process, before = workers.start(), len(workers.lines())
        wait_until(lambda before=before: len(workers.lines()) > before, timeout=60, what="the worker to run something")  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda process=process: process.returncode is not None)  # type: ignore[misc]
        killed_at.append(time.time())
        counted += bool(workers.running() - over)
        over = workers.running()
    workers.start()
    _wait_for_the_rest(workers, messages)
    starts, ends = workers.starts(), workers.ends()
    return Toll(
        sent=messages,
        kills=counted,
        lost=[number for number in range(messages) if not ends[number]],
        extra_starts=sum(starts.values()) - len(starts),
        ended_twice=sum(count > 1 for count in ends.values()),
        slowest=_slowest(workers.lines(), killed_at),
    )


def _slowest(lines: list[list[str]], killed_at: list[float]) -> float:
    """Return the seconds between a kill and the new start of a message that it interrupted, at most."""
    started: dict[str, float] = {}
    slowest = 0.0
    for what, number, _, moment in lines:
        if what == "start":
            if number in started:
                kills = [kill for kill in killed_at if kill > started[number]]
                slowest = max(slowest, float(moment) - kills[0])
            started[number] = float(moment)
    return slowest


def _wait_for_the_rest(workers: Workers, messages: int, *, quiet: float = 15) -> None:
    """Wait until all have ended, or nothing has happened for a while."""
    last, since = 0, time.monotonic()
    while len(workers.ends()) < messages:
        if (now := len(workers.lines())) != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > quiet:
            return
        time.sleep(0.1)


def is_empty(url: str, queue: str = "kills") -> bool:
    """Tell whether a broker's queue, and the record of what is under way, are empty."""
    with Connection(url) as connection:
        client: Any = connection.default_channel.client  # type: ignore[attr-defined]
        return not client.exists(queue) and not client.hlen("unacked")
