"""Workers that are replaced one after the other, as at every deploy."""

import os
from collections.abc import Callable

import pytest

from tests.chaos.system import QUICK, READY, System
from tests.scale import FULL, scaled

pytestmark = pytest.mark.chaos

RESTARTS = scaled(2, 20)
#: Sent a second; each sends another, so that 500 run, or 1,000 where the machine carries that. A pair took of a
#: processor, in all of sender, broker and workers, with the pools prefork and threads: 6.1 and 3.9 ms on Redis, 7.7 and
#: 4.6 ms on RabbitMQ. So two processors carry 260 to 510 a second when no worker starts, and no more than 500 messages
#: with those of prefork.
PER_SECOND = scaled(50, 500 if (os.cpu_count() or 1) >= 8 else 250)
#: One alone waits for a confirm after each message.
SENDERS = scaled(1, 2)
#: Of a worker: each pair takes 20 ms and its sends, so that with these a worker alone can run what is sent.
CONCURRENCY = scaled(4, PER_SECOND * 8 // 250)
POOLS = scaled(
    [("redis", "prefork"), ("amqp", "threads")], [(b, p) for b in ("redis", "amqp") for p in ("prefork", "threads")]
)


@pytest.mark.parametrize(("broker_url", "pool"), POOLS, indirect=["broker_url"])
def test_if_workers_are_restarted_expect_each_message_once(
    new_system: Callable[..., System], broker_url: str, redis_url: str, pool: str
) -> None:
    """Given two workers and a stream of messages / If each is ended by SIGTERM in turn / Expect none lost, none twice.

    A backlog may grow while one starts, so that the workers are never idle.
    """
    system = new_system(broker_url, redis_url, celery=QUICK, config='{"capacity": 1000000}')
    workers = [system.run_worker(CONCURRENCY, pool), system.run_worker(CONCURRENCY, pool)]
    for worker in workers:
        worker.wait_for_output(READY, timeout=60)
    senders = [system.sender(10**6, PER_SECOND / SENDERS, first=number * 10**6) for number in range(SENDERS)]
    for _ in range(RESTARTS):
        seen = len(system.effects.ended("work"))
        system.wait(lambda effects, seen=seen: len(effects.ended("work")) > seen + 20, "messages to end")
        ended = workers.pop(0)
        ended.terminate()
        workers.append(system.run_worker(CONCURRENCY, pool))
        # Celery's prefork waits for 30 s now and then
        assert ended.wait(60) == 0, ended.output()[-3000:]
        workers[-1].wait_for_output(READY, timeout=60)
    for sender in senders:
        sender.terminate()
        sender.wait()
    load = os.getloadavg()[0]
    toll = system.finish(quiet=45)
    effects = system.effects
    times = [effect.at for effect in effects.sent()]
    begun, ended_at = min(times), max(times)
    rate = toll.sent / (ended_at - begun)
    meanwhile = sum(effect.what == "end" and effect.at <= ended_at for effect in effects.all) / (ended_at - begun)
    overall = toll.starts / (effects.all[-1].at - begun)
    print(
        f"{pool}: {toll}; {rate:.0f} sent a second of {PER_SECOND} asked for, as many sent on; {meanwhile:.0f} run a"
        f" second under {RESTARTS} restarts in {ended_at - begun:.0f} s, {overall:.0f} up to the last; load {load:.1f}"
    )
    assert toll.lost == [], toll
    assert toll.refused == 0, toll
    assert toll.extra == 0, toll
    assert toll.twice == 0, toll
    assert toll.dead == 0, toll
    assert not FULL or rate > 0.9 * PER_SECOND, "the machine is too busy, or too small"
