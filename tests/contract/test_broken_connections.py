"""What becomes of messages on Redis when one of a worker's connections breaks, and Celery drops them all."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Consumer, Queue

from tests.contract.brokers import in_child, wait_for_child
from tests.integration.safe_brokers import Worker, bodies, new_queue, under_way
from tests.processes import wait_until

#: Longer than a test takes, so that whatever comes back was put back.
LEASE = 30.0


@pytest.fixture
def worker(redis_url: str) -> Iterator[Worker]:
    """A worker that takes one message at a time."""
    made = Worker(redis_url, options={"lease": LEASE}, prefetch=1)
    yield made
    made.close()


@pytest.fixture
def other(redis_url: str) -> Iterator[Worker]:
    """Another worker on the same Redis."""
    made = Worker(redis_url, options={"lease": LEASE})
    yield made
    made.close()


def break_pop(worker: Worker, client: Any) -> None:
    """Have a worker wait at its queues' bells, break the connections over which it does, and let it go on."""
    worker.read_for(0.1)
    database = worker.url.rpartition("/")[2]
    for one in client.client_list():
        if (one["db"], one["cmd"]) == (database, "brpop"):
            client.client_kill_filter(_id=one["id"])
    worker.read_for(0.1)


def begin_pop(worker: Worker, client: Any, queue: str) -> None:
    """Have a worker take one message of a queue, and ask for another of a second, whose answer it does not read yet."""
    second = new_queue()
    worker.channel.basic_qos(0, 10, False)
    worker.send(queue, "runs")
    worker.consume(queue)
    worker.read(1)
    worker.send(second, "on its way")
    worker.consume(second)
    worker.channel.connection.cycle.on_poll_start()
    assert worker.channel.popping
    wait_until(lambda: client.hlen("unacked") == 2, what="the pop to be carried out")


def drop(worker: Worker) -> None:
    """Have Celery drop a connection, as after an error of any channel's, and close it."""
    worker.connection.collect(socket_timeout=0.2)
    worker.connection.close()


def test_given_a_message_that_runs_expect_it_not_put_back_for_another_channel_s_connection(
    worker: Worker, other: Worker, redis_url: str
) -> None:
    """Given a message that one channel took / If the connection of a second breaks / Expect it still under way."""
    queue = new_queue()
    worker.send(queue, "runs")
    worker.consume(queue)
    worker.read(1)
    Consumer(worker.connection.channel(), [Queue(new_queue())]).consume()  # which alone has room for messages
    with redis.Redis.from_url(redis_url) as client:
        with pytest.raises(worker.connection.connection_errors):
            wait_until(lambda: break_pop(worker, client), what="an error that Celery hears of")
        drop(worker)
        other.send(queue, "later")
        other.consume(queue)
        assert bodies(other.read(1)) == ["later"]
        assert under_way(client) == (2, 2, 2)


def test_given_a_pop_on_its_way_expect_its_answer_not_to_make_up_for_the_break(
    worker: Worker, other: Worker, redis_url: str
) -> None:
    """Given a message that runs, and a pop that is not answered yet / Expect neither's message put back."""
    queue = new_queue()
    with redis.Redis.from_url(redis_url) as client:
        begin_pop(worker, client, queue)
        drop(worker)
        assert bodies(worker.got) == ["runs", "on its way"]
        other.consume(queue)
        other.send(queue, "later")
        assert bodies(other.read(1)) == ["later"]
        assert under_way(client) == (3, 3, 3)


def test_given_a_fork_that_drops_what_it_inherited_expect_the_answer_left_to_the_parent(
    worker: Worker, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        begin_pop(worker, client, new_queue())
        wait_for_child(in_child(worker.connection.collect))
        worker.close()  # normally, so that both go back
        assert bodies(worker.got) == ["runs", "on its way"]
        assert under_way(client) == (0, 0, 0)


def test_given_a_normal_end_expect_what_has_not_begun_back_at_once(worker: Worker, other: Worker) -> None:
    """Given messages that a worker took / If it closes its connection, which did not break / Expect another's run."""
    queue = new_queue()
    worker.send(queue, "waits")
    worker.consume(queue)
    worker.read(1)
    worker.close()
    other.consume(queue)
    (message,) = other.read(1, timeout=LEASE / 3)
    assert message.payload == "waits"


def test_if_an_answer_on_its_way_is_an_error_expect_all_channels_to_hear_of_the_end(
    worker: Worker, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a server that has become a replica: what runs is not to be put back for that."""
    queue = new_queue()
    with redis.Redis.from_url(redis_url) as client:
        begin_pop(worker, client, queue)
        first, second = worker.channel, worker.connection.channel()

        def fail(*arguments: Any, **options: Any) -> Any:
            raise redis.ResponseError("READONLY You can't write against a read only replica.")

        monkeypatch.setattr(first, "_answer", fail)
        worker.connection.collect(socket_timeout=0.2)
        assert (first.broken, second.broken) == (True, True)
