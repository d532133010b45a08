"""Workers that are killed while they run messages."""

import random
import time
from collections.abc import Callable

import pytest
import redis

from channelcelery.broker.ledger import DELIVERY_COUNT
from tests.chaos.effects import Effect
from tests.chaos.system import System, Toll
from tests.processes import wait_until
from tests.scale import scaled

pytestmark = pytest.mark.chaos

#: of each kind: a worker's whole process group, and one process of its pool
KILLS = scaled(1, 20)
MESSAGES = scaled(300, 10_000)
#: Seconds without any effect after which what is missing is lost.
QUIET = scaled(20, 45)
#: On each broker with each concurrency, or with one of them.
SYSTEMS = scaled([("redis", 4), ("amqp", 1)], [(broker, count) for broker in ("redis", "amqp") for count in (1, 4)])

#: Leases that end while the messages of a test still run.
HASTY = {"broker_transport_options": {"lease": 2, "sweep_interval": 0.5}}


def kill_workers(system: System, concurrency: int, *, messages: int, kills: int, children: int, quiet: float) -> Toll:
    """Send messages, then kill the worker's process group and processes of its pool in turn, until all have ended.

    Args:
        system: with no worker yet.
        concurrency: of the worker, which is started again at once.
        messages: to send.
        kills: of the group, that interrupt a message.
        children: kills of one process of the pool, that interrupt a message.
        quiet: as in `finish`.
    """
    chance = random.Random(concurrency)
    plan = ["group"] * kills + ["child"] * children
    chance.shuffle(plan)
    system.send_all(messages)
    worker = system.run_worker(concurrency)
    for number, what in enumerate(plan):
        # spread over the messages, the first early enough for the last
        after = round(messages * 0.9 * (number + chance.random()) / len(plan))
        system.wait(lambda effects, after=after: len(effects.ended("work")) >= after, "messages to end", 300)
        while system.kills == number:
            running = _one_that_runs(system)
            time.sleep(chance.uniform(0, 0.015))
            if what == "child":
                system.kill_child(running)
            else:
                system.kill_group(worker)
                worker = system.run_worker(concurrency)
    return system.finish(quiet=quiet)


def _one_that_runs(system: System) -> Effect:
    def find() -> Effect | None:
        seen = len(system.effects.all)
        new = system.effects.all[seen - 1 :]
        last = new[-1] if new else None
        alive = last is not None and last.what == "start" and last.channel == "work" and last not in system.interrupted
        return last if alive else None

    return wait_until(find, timeout=60, what="a message to start", interval=0.001)


@pytest.mark.parametrize(("broker_url", "concurrency"), SYSTEMS, indirect=["broker_url"])
def test_if_workers_are_killed_expect_nothing_lost(system: System, concurrency: int) -> None:
    """Given messages of 20 ms that send another / If the worker or a process of it is killed / Expect all to end."""
    toll = kill_workers(system, concurrency, messages=MESSAGES, kills=KILLS, children=KILLS, quiet=QUIET)
    print(toll)
    assert toll.sent == MESSAGES, toll
    assert toll.lost == [], toll
    assert toll.kills == 2 * KILLS, toll
    # what ran, and what had been prefetched: as many again
    assert toll.extra <= toll.kills * 2 * concurrency, toll
    assert toll.slowest < 30, toll
    assert toll.dead == 0, toll


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_if_a_worker_is_killed_that_had_taken_it_ahead_expect_a_message_one_more_lease_later(
    new_system: Callable[..., System], broker_url: str, redis_url: str
) -> None:
    """Given a message of a killed worker that waits in a second one / If that is killed, too / Expect it in a third."""
    system = new_system(broker_url, redis_url, celery=HASTY)
    system.send_all(1, first=0, seconds=1)
    worker = system.run_worker(1)
    first = wait_until(lambda: next(iter(system.effects.running()), None), timeout=60, what="the first message")
    system.kill_group(worker)
    system.send_all(1, first=1, seconds=6)
    worker = system.run_worker(1)
    wait_until(lambda: 1 in {one.number for one in system.effects.running()}, timeout=60, what="the second message")
    with redis.Redis.from_url(broker_url) as client:
        wait_until(lambda: _is_taken_again(client, first.identity), what="the first one, taken ahead")
    again = time.time()
    system.kill_group(worker)
    system.run_worker(1)
    system.wait(lambda effects: effects.starts_after(first), "the first message's second start")
    # or the toll would blame the first lease for the second
    assert system.interrupted[first] > again


def _is_taken_again(client: "redis.Redis[bytes]", identity: str) -> bool:
    """Tell whether the record of what workers have taken has a message that was given back before."""
    entries: list[bytes] = client.hvals("unacked")
    return any(identity.encode() in entry and DELIVERY_COUNT.encode() in entry for entry in entries)
