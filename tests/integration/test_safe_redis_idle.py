"""Consumers of the safe transport that wait: how they are woken, and that a wait takes nothing away from others."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer

from tests.contract.brokers import in_child, wait_for_child
from tests.integration.safe_brokers import Worker, bodies, new_queue, under_way
from tests.processes import wait_until
from tests.servers import RedisServer

#: Seconds that a consumer waits at its bells where it is to wait for longer than any test.
LONG = 60


@pytest.fixture
def client(redis_url: str) -> "Iterator[redis.Redis[bytes]]":
    """A plain client of the test's database."""
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture(params=[False, True], ids=["patient", "eager"])
def eager(request: pytest.FixtureRequest) -> bool:
    """Whether a pop waits behind the bell, or is sent once it has rung."""
    return bool(request.param)


@pytest.fixture
def worker(redis_url: str, eager: bool) -> Iterator[Callable[..., Worker]]:
    """Makes workers, safe ones unless told otherwise, that end with the test."""
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        made.append(Worker(redis_url, **options))
        made[-1].channel.eager = eager
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def wait(worker: Callable[..., Worker], client: Any) -> Callable[..., Worker]:
    """Makes a worker that waits at the bells of queues."""

    def make(*queues: str, no_ack: bool = False) -> Worker:
        made = worker(options={"poll_interval": LONG})
        made.consume(*queues, no_ack=no_ack)
        begin_wait(made, client)
        return made

    return make


def waiting(client: Any) -> int:
    """Return how many clients wait."""
    return int(client.info("clients")["blocked_clients"])


def begin_wait(worker: Worker, client: Any) -> None:
    """Have a worker wait, on an empty queue."""
    before = waiting(client)
    worker.read_for(0)
    wait_until(lambda: worker.read_for(0.01) or waiting(client) > before, what="a wait at the bells")


def wait_at_two(worker: Callable[..., Worker], client: Any, left: str, stays: str) -> tuple[Worker, Consumer]:
    """Make a worker that waits at the bells of two queues, and return it with its consumer of the first."""
    idle = worker(options={"poll_interval": LONG})
    consumer = idle.consume(left)
    idle.consume(stays)
    begin_wait(idle, client)
    return idle, consumer


def _wait_for(idle: Worker, publisher: Worker, queue: str) -> float:
    sent: list[float] = []

    def send() -> None:
        sent.append(time.monotonic())
        publisher.send(queue, "wake up")

    thread = threading.Timer(0.2, send)
    thread.start()
    (message,) = idle.read(len(idle.got) + 1)
    waited = time.monotonic() - sent[0]
    thread.join()
    message.ack()
    return waited


def test_idle_workers_are_woken_at_once(worker: Callable[..., Worker]) -> None:
    """Given an idle worker / If a message is put / Expect it by the bell, not when the worker looks."""
    queue, idle, sender = new_queue(), worker(options={"poll_interval": 10}), worker()
    idle.consume(queue)
    assert max(_wait_for(idle, sender, queue) for _ in range(5)) < 0.5


def test_idle_workers_find_what_others_put(worker: Callable[..., Worker], client: Any) -> None:
    """Given an idle worker / If Kombu's transport puts messages / Expect them within 1 s, at few commands a second."""
    queue, idle, stock = new_queue(), worker(options={"sweep_interval": 1}), worker(kind=Connection)
    idle.consume(queue)
    before = client.info("commandstats")
    idle.read_for(2)
    after = client.info("commandstats")
    scripts, waits = (
        after[f"cmdstat_{name}"]["calls"] - before.get(f"cmdstat_{name}", {"calls": 0})["calls"]
        for name in ("evalsha", "brpop")
    )
    assert 0 < scripts < 80, "20 looks a second for what is due, and few others"
    assert 0 < waits < 40
    assert max(_wait_for(idle, stock, queue) for _ in range(3)) < 1


def test_every_idle_worker_is_woken_while_there_is_work(worker: Callable[..., Worker]) -> None:
    """Given two idle workers with room for one each / If two come and a bell rings once / Expect each to get one."""
    queue = new_queue()
    options = {"poll_interval": 30}
    one, two = worker(prefetch=1, options=options), worker(prefetch=1, options=options)
    sender, stock = worker(), worker(kind=Connection)
    for idle in (one, two):
        idle.consume(queue)
        idle.read_for(0.2)
    stock.send(queue, 1)  # which rings no bell
    sender.send(queue, 2)
    one.read_for(0.5)
    two.read_for(0.5)
    assert sorted(bodies(one.got + two.got)) == [1, 2]


@pytest.mark.parametrize("eager", [True], indirect=True)
def test_a_bell_brings_the_message_itself(wait: Callable[..., Worker], worker: Callable[..., Worker]) -> None:
    """Given a worker that waits / If a message is put / Expect it with no more words from the worker."""
    queue = new_queue()
    idle = wait(queue)
    told: list[Any] = []
    idle.channel.client.connection.send_packed_command = told.append  # what comes is read, and nothing is asked for
    worker().send(queue, "all at once")
    wait_until(lambda: idle.read_for(0.01), what="the message")
    assert bodies(idle.got) == ["all at once"]


@pytest.mark.parametrize("no_ack", [False, True])
def test_if_a_waiting_worker_ends_expect_nothing_taken(
    wait: Callable[..., Worker], worker: Callable[..., Worker], client: Any, no_ack: bool
) -> None:
    """Given a worker that waits, for a minute / If it closes / Expect that at once, and what comes then to stay."""
    queue = new_queue()
    idle = wait(queue, no_ack=no_ack)
    since = time.monotonic()
    idle.close()
    assert time.monotonic() - since < 5
    wait_until(lambda: waiting(client) == 0, what="Redis to let go of it")
    worker().send(queue, "for another")
    assert (client.llen(queue), under_way(client)) == (1, (0, 0, 0))


def test_if_a_bell_rings_while_a_worker_ends_expect_the_message_back(
    wait: Callable[..., Worker], worker: Callable[..., Worker], client: Any, eager: bool
) -> None:
    """Given an answer that a worker has not read / If it closes / Expect the message in the queue, or in its hands."""
    kept, taken = new_queue(), new_queue()
    one, other, sender = wait(kept), wait(taken, no_ack=True), worker()
    sender.send(kept, "goes back")
    sender.send(taken, "is its own")
    wait_until(lambda: waiting(client) == 0, what="both bells")
    one.close()
    other.close()
    assert (client.llen(kept), under_way(client)) == (1, (0, 0, 0))
    assert bodies(other.got) == (["is its own"] if eager else [])
    assert client.llen(taken) == 1 - len(other.got)


@pytest.mark.parametrize("eager", [True], indirect=True)
def test_given_an_answer_that_fills_the_connection_expect_all_of_it_read_at_the_end(
    wait: Callable[..., Worker], worker: Callable[..., Worker], client: Any
) -> None:
    """Given a message of which Redis still holds a part / If its worker closes / Expect the whole of it."""
    queue, size = new_queue(), 30_000_000
    idle = wait(queue, no_ack=True)
    worker().send(queue, "x" * size)
    wait_until(lambda: waiting(client) == 0, what="the bell")
    idle.close()
    assert [len(body) for body in bodies(idle.got)] == [size]


def test_if_one_of_its_consumers_is_cancelled_expect_a_waiting_worker_to_hear_of_the_others_queues(
    worker: Callable[..., Worker], client: Any
) -> None:
    """Given a worker that waits at two bells / If one consumer ends / Expect messages of the other, and no error."""
    left, stays, sender = new_queue(), new_queue(), worker()
    idle, consumer = wait_at_two(worker, client, left, stays)
    consumer.cancel()
    assert not idle.channel.broken
    sender.send(left, "for another")
    sender.send(stays, "for this one")
    assert bodies(idle.read(1)) == ["for this one"]
    assert client.llen(left) == 1


def test_if_a_consumer_is_added_expect_a_waiting_worker_to_look_for_its_messages(
    worker: Callable[..., Worker], client: Any
) -> None:
    """Given a worker that waits / If it consumes a queue with a message of Kombu's / Expect it after the wait."""
    first, second = new_queue(), new_queue()
    idle = worker(options={"poll_interval": 0.1})
    worker(kind=Connection).send(second, "rings no bell")
    idle.consume(first)
    begin_wait(idle, client)
    idle.channel.poll_interval = LONG
    idle.consume(second)
    assert bodies(idle.read(1)) == ["rings no bell"]


def test_if_a_bell_rings_while_a_consumer_is_cancelled_expect_the_others_to_go_on(
    worker: Callable[..., Worker], client: Any
) -> None:
    """Given an answer for one consumer that is not read / If another ends / Expect this message, and the next."""
    left, stays, sender = new_queue(), new_queue(), worker()
    idle, consumer = wait_at_two(worker, client, left, stays)
    sender.send(stays, 1)
    wait_until(lambda: waiting(client) == 0, what="the bell")
    consumer.cancel()
    sender.send(stays, 2)
    idle.read(2)
    assert bodies(idle.got) == [1, 2]


def test_if_redis_ends_a_connection_that_rests_expect_it_watched_no_more(
    worker: Callable[..., Worker], client: Any
) -> None:
    """Given a worker that consumes nothing any more / If Redis ends its connection / Expect no loop that spins."""
    queue, safe = new_queue(), worker()
    safe.send(queue, 1)
    consumer = safe.consume(queue)
    safe.read(1)
    consumer.cancel()
    connection = safe.channel.client.connection
    connection.send_command("CLIENT", "ID")
    client.client_kill_filter(_id=connection.read_response())
    wait_until(lambda: safe.read_for(0.02) or connection._sock is None, what="the end of the connection")
    safe.send(queue, 2)
    safe.consume(queue)
    assert bodies(safe.read(2)) == [2]


def test_what_is_acknowledged_before_and_in_a_wait_is_told_at_once(worker: Callable[..., Worker], client: Any) -> None:
    """Given messages that run / If one ends, the worker waits for others, and the other ends / Expect Redis to know."""
    queue = new_queue()
    idle = worker(options={"poll_interval": LONG})
    idle.channel.connection.in_loop = True  # as in a Celery worker, which otherwise tells several together
    idle.send(queue, 1)
    idle.send(queue, 2)
    idle.consume(queue)
    first, second = idle.read(2)
    first.ack()
    begin_wait(idle, client)
    assert under_way(client) == (1, 1, 1)
    second.ack()
    assert under_way(client) == (0, 0, 0)


def test_if_a_fork_drops_what_it_inherited_expect_its_parent_to_wait_on(
    wait: Callable[..., Worker], worker: Callable[..., Worker], client: Any, eager: bool
) -> None:
    """Given a worker that waits / If a child of it closes the connection / Expect the parent to be woken."""
    queue = new_queue()
    idle = wait(queue, no_ack=True)
    consumer = idle.consume(new_queue(), no_ack=True)
    wait_for_child(in_child(consumer.cancel))
    wait_for_child(in_child(idle.connection.collect))
    assert waiting(client) == 1
    worker().send(queue, "for the parent")
    wait_until(lambda: waiting(client) == 0, what="the bell")
    idle.close()  # which reads what was on its way
    assert bodies(idle.got) == (["for the parent"] if eager else [])


def test_if_redis_refuses_the_wait_expect_an_error_and_nothing_lost(
    new_redis: Callable[..., RedisServer], eager: bool
) -> None:
    """Given a user who may wait no more / If a worker does / Expect the error, and each message once."""
    server = new_redis()
    safe, queue = Worker(server.url), new_queue()
    safe.channel.eager = eager
    with redis.Redis.from_url(server.url) as client:
        safe.channel.most = lambda queue: 5  # or it would look for more rather than wait
        safe.consume(queue, no_ack=True)
        safe.send(queue, 0)
        safe.read(1)
        client.execute_command("ACL SETUSER default -brpop")
        safe.send(queue, 1)
        with pytest.raises(redis.exceptions.NoPermissionError):
            wait_until(lambda: len(safe.read_for(0.01)) > 1, what="an error")
        client.execute_command("ACL SETUSER default +brpop")
        safe.send(queue, 2)
        wait_until(lambda: safe.read_for(0.01) and len(safe.got) == 3, what="the others")
        assert bodies(safe.got) == [0, 1, 2]
    safe.close()
