"""The suite itself: with each safeguard taken away, its scenarios count losses or repetitions."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.chaos.system import QUICK, System, Toll
from tests.chaos.test_worker_kills import kill_workers
from tests.scale import scaled
from tests.servers import RabbitServer

pytestmark = pytest.mark.chaos

MESSAGES = scaled(100, 1000)
#: "" for the whole of it.
EARLY, STOCK, LEASE, CONFIRM = "early ack", "stock transport", "no lease", "no confirm"


@pytest.mark.parametrize(
    ("broker_url", "weakness"),
    [("redis", EARLY), ("redis", STOCK), *scaled([], [("amqp", EARLY), ("redis", "")])],
    indirect=["broker_url"],
)
def test_if_workers_are_killed_expect_the_suite_to_notice_a_loss(
    new_system: Callable[..., System], broker_url: str, redis_url: str, weakness: str
) -> None:
    """Given a worker that acknowledges early, or Kombu's own transport / If it is killed / Expect messages missing.

    With Kombu's transport they are back after an hour, which is far too late.
    """
    # its own settings have none of ours
    celery = {} if weakness == STOCK else QUICK
    system = new_system(broker_url, redis_url, celery=celery, weakness=weakness)
    toll = kill_workers(system, 4, messages=MESSAGES, kills=scaled(1, 3), children=0, quiet=scaled(6, 45))
    print(weakness or "nothing taken away", toll)
    assert bool(toll.lost) == bool(weakness), toll
    assert len(toll.lost) <= toll.kills * 2 * 4, "only what the killed worker had"


@pytest.mark.parametrize("weakness", [LEASE])
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_if_leases_are_not_renewed_expect_the_suite_to_notice_repetitions(
    new_system: Callable[..., System], broker_url: str, redis_url: str, weakness: str
) -> None:
    celery = {"broker_transport_options": {"lease": 1, "sweep_interval": 0.2}}
    system = new_system(broker_url, redis_url, celery=celery, weakness=weakness)
    system.send_all(1, seconds=4)
    for _ in range(2):
        system.run_worker(2)
    toll = system.finish(quiet=6)
    print(weakness, toll)
    assert toll.extra > 0, toll


@pytest.mark.parametrize("weakness", [CONFIRM, *scaled([], [""])])
def test_if_nothing_is_confirmed_expect_the_suite_to_notice_a_loss(
    new_system: Callable[..., System], new_rabbit: Callable[[], RabbitServer], redis_url: str, weakness: str
) -> None:
    """Given a sender / If RabbitMQ stands still and is then killed / Expect that to be lost which no one confirmed."""
    server = new_rabbit()
    system = new_system(server.url, redis_url, weakness=weakness)
    toll = _freeze_and_kill(system, server)
    print(weakness or "nothing taken away", toll)
    assert bool(toll.lost) == bool(weakness), toll
    assert len(toll.lost) < toll.sent, "only what was sent while it stood still"


def _freeze_and_kill(system: System, server: RabbitServer) -> Toll:
    sender = system.sender(10**6, 100)
    # RabbitMQ 3.10 can forget a queue, or hang at it, that it was told of only seconds before it is killed
    system.wait(lambda effects: effects.count["sent", "work"] > 600, "messages to be sent", 60)
    assert server.process is not None
    server.process.signal_group(signal.SIGSTOP)
    time.sleep(0.5)
    server.kill()
    sender.kill()
    server.start()
    system.run_worker(4)
    return system.finish(quiet=scaled(6, 20))
