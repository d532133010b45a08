"""Channels at their capacity."""

import time
from collections.abc import Callable

import pytest

from tests.chaos.system import QUICK, READY, System
from tests.scale import scaled

pytestmark = pytest.mark.chaos

CAPACITY = scaled(100, 1000)
SENDERS = 3
#: What a sender sends between two looks at the queue's depth, at most: for as long as one is thought to hold.
OVERSHOOT = 100


@pytest.mark.parametrize("broker_url", scaled(["redis"], ["redis", "amqp"]), indirect=True)
def test_if_a_channel_is_full_expect_errors_and_then_room(
    new_system: Callable[..., System], broker_url: str, redis_url: str
) -> None:
    """Given no worker / If senders flood a channel / Expect ChannelFull, nothing silent, and 10 s later all normal."""
    config = f'{{"channel_capacity": {{"work": {CAPACITY}}}}}'
    system = new_system(broker_url, redis_url, celery=QUICK, config=config)
    tried = 2 * CAPACITY
    flood = [system.sender(tried, 1000, first=number * tried) for number in range(SENDERS)]
    for sender in flood:
        assert sender.wait(120) == 0, sender.output()
    count = system.effects.count
    assert count["sent", "work"] + count["refused", "work"] == SENDERS * tried, "each has an answer"
    assert {effect.identity for effect in system.effects.all if effect.what == "refused"} == {"ChannelFull"}
    assert CAPACITY <= count["sent", "work"] <= CAPACITY + SENDERS * OVERSHOOT
    worker = system.run_worker(4)
    worker.wait_for_output(READY, timeout=60)
    began = time.monotonic()
    later = system.sender(10**6, 20, first=10**6)
    system.wait(lambda effects: any(one.number >= 10**6 for one in effects.sent()), "a message to be taken", 30)
    back = time.monotonic() - began
    later.terminate()
    later.wait()
    toll = system.finish(quiet=20)
    print(toll, f"; room after {back:.1f} s")
    assert back < 10
    assert toll.lost == [], toll
    assert toll.dead == 0, toll
