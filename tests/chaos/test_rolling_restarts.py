"""Workers that are replaced one after the other, as at every deploy."""

from collections.abc import Callable

import pytest

from tests.chaos.system import QUICK, READY, System
from tests.scale import scaled

pytestmark = pytest.mark.chaos

RESTARTS = scaled(2, 20)
#: Sent a second; each sends another, so that twice as many run.
PER_SECOND = scaled(50, 250)
#: Of a worker: each run takes 20 ms and its sends, so that with 4 a worker alone could not run as many as are sent. A
#: pair of runs took 4 to 6 ms of a processor in workers, and 1 ms in the sender: without two free ones, and what the
#: broker and the starts of workers take, the machine decides.
CONCURRENCY = scaled(4, 8)
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
    workers = [system.run_worker(CONCURRENCY, pool), system.run_worker(CONCURRENCY, pool)]
    for worker in workers:
        worker.wait_for_output(READY, timeout=60)
    sender = system.sender(10**6, PER_SECOND)
    for _ in range(RESTARTS):
        seen = len(system.effects.ended("work"))
        system.wait(lambda effects, seen=seen: len(effects.ended("work")) > seen + 20, "messages to end")
        ended = workers.pop(0)
        ended.terminate()
        workers.append(system.run_worker(CONCURRENCY, pool))
        # Celery's prefork waits for 30 s now and then
        assert ended.wait(60) == 0, ended.output()[-3000:]
        workers[-1].wait_for_output(READY, timeout=60)
    sender.terminate()
    sender.wait()
    # how far behind the sender they are
    left = len(system.effects.sent()) - len(system.effects.ended("work"))
    toll = system.finish(quiet=45)
    sent = [effect.at for effect in system.effects.sent()]
    seconds, all_seconds = sent[-1] - sent[0], system.effects.all[-1].at - sent[0]
    print(
        f"{pool}: {toll}; {toll.sent / seconds:.0f} sent a second of {PER_SECOND} asked for, as many sent on; "
        f"{toll.starts / all_seconds:.0f} run a second, {left} of {toll.sent} behind at the end"
    )
    assert toll.lost == [], toll
    assert toll.refused == 0, toll
    assert toll.extra == 0, toll
    assert toll.twice == 0, toll
    assert toll.dead == 0, toll
