"""The system under test: a broker, workers, senders; and what one run of a scenario cost."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from tests.chaos.effects import Effect, Effects
from tests.integration.reliable import ReliableSetup
from tests.integration.workers import ROOT
from tests.processes import Process, wait_until
from tests.scale import FULL

__all__ = ["QUICK", "READY", "System", "Toll"]

#: What a worker logs when it reads reliable channels.
READY = "running .* reliable channels"

#: Settings of Celery that make the short form short; in full they are what a project gets that sets none.
QUICK: dict[str, Any] = (
    {} if FULL else {"broker_transport_options": {"lease": 2, "sweep_interval": 0.5}, "worker_lost_wait": 1}
)


@dataclass(frozen=True)
class Toll:
    """What a scenario cost.

    Args:
        sent: messages that were confirmed.
        refused: messages whose sender got an error.
        lost: numbers of those that were confirmed, and did not end, or whose second message did not.
        kills: those that interrupted a message.
        starts: runs of all messages, the second ones among them.
        extra: runs beyond the first of a message; those that it asked for are none.
        twice: second messages that were sent more than once.
        slowest: seconds from the kill of a worker to the next start of a message that it had, or to the kill of
            another that had taken it ahead, at most.
        dead: dead letters.
    """

    sent: int
    refused: int
    lost: list[int]
    kills: int
    starts: int
    extra: int
    twice: int
    slowest: float
    dead: int

    def __str__(self) -> str:
        return (
            f"{self.sent} confirmed ({self.refused} refused), {len(self.lost)} lost, {self.kills} kills, "
            f"{self.starts} starts, {self.extra} extra, {self.twice} sent on twice, "
            f"last redelivery {self.slowest:.1f} s after its kill, {self.dead} dead"
        )


@dataclass
class System(ReliableSetup):
    """The processes of the project that is killed.

    Args:
        celery: settings of Celery.
        weakness: the safeguard that is taken away, "" for none.
    """

    celery: Mapping[str, Any] = field(default_factory=lambda: QUICK)
    weakness: str = ""
    project = "tests.chaos.project"

    def __post_init__(self) -> None:
        self.workers: list[Process] = []
        self.senders: list[Process] = []
        self.kills = 0
        #: interrupted start -> when the worker was killed that had its message last
        self.interrupted: dict[Effect, float] = {}
        #: seconds from the kill of a worker to that of another, which had taken the same message ahead
        self._between: list[float] = []
        #: tags of what workers had taken that were killed, on Redis
        self._left: set[bytes] = set()
        #: seconds from the broker's return to the next start of a message
        self.absences: list[float] = []

    def env(self) -> dict[str, str | None]:
        """Return the environment of the project's processes."""
        return {
            **super().env(),
            "DJANGO_SETTINGS_MODULE": "tests.chaos.project.settings",
            "CHAOS_CELERY": json.dumps(self.celery),
            "CHAOS_WEAKNESS": self.weakness,
        }

    @cached_property
    def _effects(self) -> Effects:
        return Effects(self.notes)

    @property
    def effects(self) -> Effects:
        """What has happened up to now."""
        return self._effects.look()

    def run_worker(self, concurrency: int = 4, pool: str = "prefork") -> Process:
        """Start a worker; `close` ends it."""
        name = f"w{len(self.workers)}@%h"
        # all that workers would say to each other
        quiet = ("--without-gossip", "--without-heartbeat", "-n", name)
        exclude = () if pool == "prefork" else ("--exclude-channels", "poison")
        self.workers.append(self.start(pool, concurrency, (*quiet, *exclude)))
        return self.workers[-1]

    def sender(
        self, count: int, per_second: float = 1e6, *, channel: str = "work", first: int = 0, **content: Any
    ) -> Process:
        """Start a process that sends so many messages.

        Args:
            count: messages.
            per_second: of them.
            channel: the channel.
            first: the first one's number.
            content: of each; `every=10` gives it to one message in ten only.
        """
        arguments = [channel, str(first), str(count), str(per_second), json.dumps(content)]
        process = Process([sys.executable, "-m", "tests.chaos.sender", *arguments], env=self.env(), cwd=ROOT)
        self.senders.append(process)
        return process

    def send_all(self, count: int, **options: Any) -> None:
        """Send so many messages."""
        process = self.sender(count, **options)
        assert process.wait(30 + count / 20) == 0, process.output()

    def wait(self, condition: Callable[[Effects], Any], what: str, timeout: float = 60) -> None:
        """Wait until the effects fulfil a condition."""
        wait_until(lambda: condition(self.effects), timeout=timeout, what=what, interval=0.002)

    def kill_group(self, worker: Process) -> None:
        """Kill a worker's process group."""
        pids = _family(worker.pid)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        self._count(pids)
        self._count_what_waited()

    def kill_child(self, effect: Effect) -> None:
        """Kill the process of a worker's pool that a message runs in."""
        with suppress(ProcessLookupError):
            os.kill(effect.pid, signal.SIGKILL)
        wait_until(lambda: not _is_alive(effect.pid), what="the end of a killed process")
        self._count({effect.pid})

    def _count(self, pids: set[int]) -> None:
        now = time.time()
        new = [one for one in self.effects.running() if one.pid in pids and one not in self.interrupted]
        self.interrupted |= dict.fromkeys(new, now)
        self.kills += bool(new)

    def _count_what_waited(self) -> None:
        """Note what a killed worker, the only one, had taken ahead: it waits for another lease of Redis's."""
        if not self.broker.startswith("redis:"):
            return
        now = time.time()
        with redis.Redis.from_url(self.broker) as client:
            record: dict[bytes, bytes] = client.hgetall("unacked")
        taken = [entry for tag, entry in record.items() if tag not in self._left]
        self._left = set(record)
        for effect in self.interrupted:
            if any(effect.identity.encode() in entry for entry in taken) and not self.effects.starts_after(effect):
                self._between.append(now - self.interrupted[effect])
                self.interrupted[effect] = now

    def finish(self, *, quiet: float, channels: tuple[str, ...] = ("work", "second")) -> Toll:
        """Wait until all that was confirmed has ended, or nothing happens for a while.

        Args:
            quiet: seconds without any effect after which nothing more is expected.
            channels: where each message is to end.
        """
        self.workers[-1].wait_for_output(READY, timeout=120)
        seen, since = -1, time.monotonic()
        # counted first: to compare tens of thousands again and again would take a worker's share of the machine
        while (self._open(channels) or self._lost(channels)) and time.monotonic() - since < quiet:
            if (now := len(self.effects.all)) != seen:
                seen, since = now, time.monotonic()
            time.sleep(0.1)
        effects = self.effects
        seconds = [effect for effect in effects.all if effect[:2] == ("start", "second")]
        return Toll(
            sent=effects.count["sent", channels[0]],
            refused=effects.count["refused", channels[0]],
            lost=sorted(self._lost(channels)),
            kills=self.kills,
            starts=sum(effects.starts.values()),
            extra=effects.extra_starts(),
            twice=len({one.identity for one in seconds}) - len({one.number for one in seconds}),
            slowest=max(effects.slowest(self.interrupted), *self._between, 0.0),
            dead=len(self.letters("id")),
        )

    def _open(self, channels: tuple[str, ...]) -> bool:
        effects = self.effects
        sent = effects.count["sent", channels[0]]
        return any(len(effects.ended(channel)) < sent for channel in channels)

    def _lost(self, channels: tuple[str, ...]) -> set[int]:
        effects = self.effects
        sent = {effect.number for effect in effects.sent() if effect.channel == channels[0]}
        return {number for number in sent if not all(number in effects.ended(channel) for channel in channels)}

    def close(self) -> None:
        """End what runs."""
        for process in (*self.senders, *self.workers):
            process.kill()
            process.stop()


def _family(pid: int) -> set[int]:
    """Return a process and its children."""
    children = f"/proc/{pid}/task/{pid}/children"
    with suppress(OSError), open(children) as file:
        return {pid, *map(int, file.read().split())}
    return {pid}


def _is_alive(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(") ")[2][:1] not in "ZX"
    return False
