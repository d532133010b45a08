"""Brokers that are killed and come back, with workers, senders and messages that wait."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.system import READY, System, Toll
from tests.scale import scaled
from tests.servers import RabbitServer, RedisServer

pytestmark = pytest.mark.chaos

RESTARTS = scaled(1, 10)
PER_SECOND = 100
#: Effects before the broker is killed: RabbitMQ 3.10 can forget a queue that it was told of only just before.
BETWEEN = scaled(6, 3) * PER_SECOND
#: What a consumer of one message in ten asks for, in seconds: it waits while the broker is away.
LATER = scaled(2, 10)
#: Seconds in which workers have to consume again.
BACK = 10


def restart_broker(system: System, server: RedisServer | RabbitServer, *, restarts: int, freeze: float = 0) -> Toll:
    """Send at a steady rate, and kill the broker again and again.

    Args:
        system: whose broker it is, with no worker yet.
        server: the broker.
        restarts: how many.
        freeze: seconds for which it stands still before it is killed.
    """
    worker = system.run_worker(4)
    worker.wait_for_output(READY, timeout=60)
    sender = system.sender(10**6, PER_SECOND, every=10, after=LATER)
    for _ in range(restarts):
        seen = len(system.effects.all)
        system.wait(lambda effects, seen=seen: len(effects.all) > seen + BETWEEN, "messages to run", 120)
        assert server.process is not None
        if freeze:
            server.process.signal_group(signal.SIGSTOP)
            time.sleep(freeze)
        server.kill()
        time.sleep(0.5)
        server.start()
        _wait_until_back(system)
    assert worker.returncode is None, worker.output()[-3000:]
    sender.terminate()
    sender.wait(30)
    return system.finish(quiet=45)


def _wait_until_back(system: System) -> None:
    """Wait until a message ends that was not under way when the broker came back."""
    before, since = {effect.identity for effect in system.effects.running()}, len(system.effects.all)
    began = time.monotonic()

    def is_back(effects: Any) -> bool:
        return any(effect.what == "start" and effect.identity not in before for effect in effects.all[since:])

    system.wait(is_back, "workers to consume again", 90)
    system.absences.append(time.monotonic() - began)


def _check(system: System, toll: Toll) -> None:
    absences = ", ".join(f"{seconds:.1f}" for seconds in system.absences)
    print(toll, f"; consuming again after {absences} s")
    assert toll.lost == [], toll
    assert toll.dead == 0, toll
    assert max(system.absences) < BACK, absences


def test_if_rabbitmq_is_killed_expect_nothing_lost(
    new_system: Callable[..., System], new_rabbit: Callable[[], RabbitServer], redis_url: str
) -> None:
    server = new_rabbit()
    system = new_system(server.url, redis_url)
    _check(system, restart_broker(system, server, restarts=RESTARTS, freeze=0.5))


@pytest.mark.parametrize("appendfsync", scaled(["always"], ["always", "everysec"]))
def test_if_redis_is_killed_expect_nothing_lost(
    new_system: Callable[..., System], new_redis: Callable[..., RedisServer], appendfsync: str
) -> None:
    """Given one Redis for everything / If it is killed / Expect nothing lost that it had written to disk.

    A process that is killed leaves what it wrote to the system, so that "everysec" loses nothing either; a machine
    that loses power would take its last second with it.
    """
    server = new_redis(appendonly=True, appendfsync=appendfsync)
    system = new_system(server.url, server.database(1))
    _check(system, restart_broker(system, server, restarts=RESTARTS, freeze=0.5))
