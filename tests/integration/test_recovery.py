"""A worker under servers that go away and come back: it lives on, and so do the sockets."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import redis
from websockets.sync.client import ClientConnection, connect

from tests.integration.test_interface_process import interface
from tests.integration.workers import WorkerSetup
from tests.processes import Process, wait_until
from tests.scale import scaled
from tests.servers import RabbitServer, RedisServer

#: Seconds that a server stays away once it was missed.
AWAY = scaled(0.0, 10.0)
#: Seconds for all to go on once it is back; in short with patience with a busy machine.
SOON = scaled(30.0, 15.0)
_numbers = itertools.count()


@contextmanager
def site(setup: WorkerSetup) -> Iterator[tuple[ClientConnection, Process, Process]]:
    """Run worker and interface with one open socket that is in a group; none of them may end."""
    with setup.worker(concurrency=2) as worker, interface(setup) as it:
        url = f"ws://127.0.0.1:{it.port}/group/g/"
        with connect(url, compression=None, proxy=None, open_timeout=20, close_timeout=1) as client:
            expect_to_be_heard(client)
            yield client, worker, it.process
            expect_to_be_heard(client)
        assert (worker.returncode, it.process.returncode) == (None, None)


def expect_to_be_heard(client: ClientConnection) -> None:
    """Say something to the group until it comes back."""
    said: set[str] = set()

    def is_heard() -> bool:
        said.add(text := f"heard? {next(_numbers)}")
        client.send(text)
        try:
            return client.recv(timeout=0.5) in said
        except TimeoutError:
            return False

    wait_until(is_heard, timeout=SOON, what="a group send after the fault")


@pytest.mark.soak
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_redis_away_emptied_and_away_as_the_broker_expect_all_to_go_on(
    setup: WorkerSetup, new_redis: Callable[..., RedisServer]
) -> None:
    """Item 62. Given a Redis for the layer and one as the broker, stopped one after the other."""
    layer, broker = new_redis(), new_redis()
    with site(replace(setup, layer=layer.url, broker=broker.url)) as (client, worker, holder):
        layer.kill()
        holder.wait_for_output("Sockets stay open")
        time.sleep(AWAY)
        layer.start()
        expect_to_be_heard(client)
        with redis.Redis.from_url(layer.url) as store:
            store.flushall()
        expect_to_be_heard(client)
        broker.kill()
        worker.wait_for_output("Connection to broker lost")
        time.sleep(AWAY)
        broker.start()


@pytest.mark.soak
@pytest.mark.skipif(AWAY < 10, reason="in full only: make soak")
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_rabbitmq_away_expect_all_to_go_on(setup: WorkerSetup, new_rabbit: Callable[[], RabbitServer]) -> None:
    broker = new_rabbit()
    with site(replace(setup, broker=broker.url)) as (_, worker, _):
        broker.kill()
        worker.wait_for_output("Connection to broker lost")
        time.sleep(AWAY)
        broker.start()
