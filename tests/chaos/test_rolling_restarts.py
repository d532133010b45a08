"""Workers that are replaced one after the other, as at every deploy."""

from collections.abc import Callable

import pytest

from tests.chaos.system import QUICK, READY, System
from tests.scale import scaled

pytestmark = pytest.mark.chaos

RESTARTS = scaled(2, 20)
#: Sent a second; each sends another, so that twice as many run.
PER_SECOND = scaled(50, 250)
POOLS = scaled(
    [("redis", "prefork"), ("amqp", "threads")], [(b, p) for b in ("redis", "amqp") for p in ("prefork", "threads")]
)


@pytest.mark.parametrize(("broker_url", "pool"), POOLS, indirect=["broker_url"])
def test_if_workers_are_restarted_expect_each_message_once(
    new_system: Callable[..., System], broker_url: str, redis_url: str, pool: str
) -> None:
    """Given two workers and a stream of messages / If each is ended by SIGTERM in turn / Expect none lost, none twice.

    A backlog may grow while one is away, so that the workers are never idle.
    """
    system = new_system(broker_url, redis_url, celery=QUICK, config='{"capacity": 1000000}')
    workers = [system.run_worker(4, pool), system.run_worker(4, pool)]
    sender = system.sender(10**6, PER_SECOND)
    for _ in range(RESTARTS):
        seen = len(system.effects.ended("work"))
        system.wait(lambda effects, seen=seen: len(effects.ended("work")) > seen + 20, "messages to end")
        ended = workers.pop(0)
        ended.terminate()
        workers.append(system.run_worker(4, pool))
        # Celery's prefork waits for 30 s now and then
        assert ended.wait(60) == 0, ended.output()[-3000:]
        workers[-1].wait_for_output(READY, timeout=60)
    sender.terminate()
    sender.wait()
    toll = system.finish(quiet=45)
    seconds = system.effects.all[-1].at - system.effects.all[0].at
    print(toll, f"in {seconds:.0f} s, {toll.starts / seconds:.0f} a second")
    assert toll.lost == [], toll
    assert toll.refused == 0, toll
    assert toll.extra == 0, toll
    assert toll.twice == 0, toll
    assert toll.dead == 0, toll
