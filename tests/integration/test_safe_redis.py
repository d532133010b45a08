"""The safe transport on a real Redis: what is taken, by whom, and how it comes back."""

import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, Exchange, Queue

from channelcelery.exceptions import ChannelFull
from tests.integration.safe_brokers import Worker, bodies, doomed, kill_when_ready, new_queue, under_way
from tests.processes import wait_until
from tests.servers import RedisServer

LEASE = 1.0


@pytest.fixture
def client(redis_url: str) -> "Iterator[redis.Redis[bytes]]":
    """A plain client of the test's database."""
    with redis.Redis.from_url(redis_url) as made:
        yield made


@pytest.fixture
def worker(redis_url: str) -> Iterator[Callable[..., Worker]]:
    """Makes workers, safe ones unless told otherwise, that end with the test."""
    made: list[Worker] = []

    def make(**options: Any) -> Worker:
        made.append(Worker(redis_url, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_is_taken_is_registered_as_kombu_does_it(worker: Callable[..., Worker], client: Any) -> None:
    """Given messages in a queue / If a worker takes some / Expect Kombu's record of them, and a lease for each."""
    queue, safe = new_queue(), worker(prefetch=2)
    for number in range(3):
        safe.send(queue, number)
    safe.consume(queue)
    assert bodies(safe.read(2)) == [0, 1]
    assert safe.read_for(0.3) == []
    assert under_way(client) == (2, 2, 2)
    message, exchange, routing_key = json.loads(client.hget("unacked", safe.got[0].delivery_tag))
    assert (message["properties"]["delivery_info"]["routing_key"], exchange, routing_key) == (queue, "", queue)
    safe.got[0].ack()
    assert bodies(safe.read(3)) == [2]
    for message in safe.got[1:]:
        message.ack()
    assert under_way(client) == (0, 0, 0)


def test_given_one_connection_is_allowed_expect_senders_to_need_no_other(worker: Callable[..., Worker]) -> None:
    """Given a broker that allows each of many processes one / Expect that sending keeps none for itself."""
    queue, sender = new_queue(), worker(options={"max_connections": 1})
    for number in range(3):
        sender.send(queue, number)
        # by a client of Kombu's, as all but a send is
        assert sender.channel.queue_declare(queue, passive=True).message_count == number + 1


def test_if_a_channel_closes_while_its_leases_are_tended_expect_no_fault_told(
    new_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a call that waits for Redis / If the channel's end takes its connection away / Expect nobody warned."""
    server, queue = new_redis(), new_queue()
    safe = Worker(server.url)
    safe.send(queue, "done")
    safe.consume(queue)
    (message,) = safe.read(1)
    message.ack()
    used, qos, idle = safe.channel.pool._in_use_connections, safe.channel.qos, []
    release_due = qos.ledger.release_due

    def ask() -> int:
        idle.append(len(used))  # the thread has no connection now
        return int(release_due())

    wait_until(lambda: not qos.pending, what="the acknowledgement")
    monkeypatch.setattr(qos.ledger, "release_due", ask)
    wait_until(lambda: idle, what="the thread of leases to come to it")
    server.pause()
    try:
        wait_until(lambda: len(used) > idle[-1], what="the thread of leases to ask")
        safe.channel.close()
    finally:
        server.resume()
    wait_until(lambda: not qos.ending, what="the thread of leases to go on")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    safe.close()


def test_kombus_own_transport_takes_over(worker: Callable[..., Worker], client: Any) -> None:
    """Given a message that a safe worker has / If one with Kombu's transport gives it back / Expect it, marked."""
    queue, safe, stock = new_queue(), worker(), worker(kind=Connection)
    safe.send(queue, "both")
    safe.consume(queue)
    (message,) = safe.read(1)
    stock.channel.qos.restore_by_tag(message.delivery_tag)
    safe.close()
    stock.consume(queue)
    (again,) = stock.read(1)
    assert again.payload == "both"
    assert again.headers["redelivered"]
    again.ack()
    assert client.hlen("unacked") == 0


def test_messages_of_workers_with_kombus_transport_keep_their_patience(
    worker: Callable[..., Worker], redis_url: str
) -> None:
    """Given a dead worker with Kombu's transport / If leases are short / Expect its visibility time-out to count."""
    queue, safe = new_queue(), worker(options={"visibility_timeout": 3})
    safe.send(queue, "stock")
    started = time.monotonic()
    kill_when_ready(doomed(redis_url, queue, kind="Connection"))
    safe.consume(queue)
    (message,) = safe.read(1, timeout=8)
    assert message.payload == "stock"
    assert time.monotonic() - started > 2.5
    message.ack()


@pytest.mark.parametrize("kind", ["SafeConnection", "Connection"])
def test_killed_between_taking_and_running(
    worker: Callable[..., Worker], redis_url: str, client: Any, kind: str
) -> None:
    """Given a worker that is killed when a message has reached it / Expect it back, which Kombu's transport loses."""
    queue, safe = new_queue(), worker(options={"visibility_timeout": 1})
    safe.send(queue, "precious")
    process = doomed(
        redis_url,
        queue,
        kind=kind,
        before="""
            from kombu.transport.virtual import Transport
            Transport._deliver = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
            """,
    )
    wait_until(lambda: process.returncode is not None, what="it to die")
    assert process.returncode == -9, process.output()
    safe.consume(queue)
    if kind == "Connection":
        assert safe.read_for(2) == []
        assert under_way(client) == (0, 0, 0)
    else:
        (message,) = safe.read(1)
        assert message.payload == "precious"
        message.ack()


def test_a_dead_workers_messages_are_back_in_seconds(worker: Callable[..., Worker], redis_url: str) -> None:
    """Given a worker with three messages / If it is killed / Expect them in its lease + 2 s, marked, in order."""
    queue, safe = new_queue(), worker()
    for number in range(3):
        safe.send(queue, number)
    kill_when_ready(doomed(redis_url, queue, count=3, lease=LEASE))
    killed = time.monotonic()
    safe.consume(queue)
    messages = safe.read(3)
    assert time.monotonic() - killed < LEASE + 2
    assert bodies(messages) == [0, 1, 2]
    assert [message.headers["x-delivery-count"] for message in messages] == [1, 1, 1]
    assert all(message.delivery_info["redelivered"] for message in messages)
    for message in messages:
        message.ack()


def test_a_living_worker_keeps_its_messages(worker: Callable[..., Worker]) -> None:
    """Given a worker whose only thread is busy for twice the lease / Expect nobody else to get its messages."""
    queue, busy, other = new_queue(), worker(), worker()
    busy.send(queue, 1)
    busy.send(queue, 2)
    busy.consume(queue)
    busy.read(2)
    other.consume(queue)
    # `other` reads in this thread: that of `busy` does nothing for its channel, as in the pool `solo`
    assert other.read_for(2 * LEASE + 1) == []
    for message in busy.got:
        message.ack()


def test_messages_that_came_together_wait_while_the_first_runs(worker: Callable[..., Worker]) -> None:
    """Given several messages of one pop / If the first runs for longer than a lease / Expect one run each."""
    queue, busy, other = new_queue(), worker(), worker()
    for number in range(3):
        busy.send(queue, number)
    ran: list[Any] = []

    def run(message: Any) -> None:
        ran.append(message.payload)
        if len(ran) == 1:
            assert other.read_for(2 * LEASE) == []
        message.ack()

    busy.consume(queue).on_message = run
    busy.channel.connection._callbacks[queue] = _delivering(busy, run)
    other.consume(queue)
    busy.read_for(1)
    assert ran == [0, 1, 2]
    assert other.read_for(LEASE + 0.5) == []


def _delivering(worker: Worker, run: Callable[[Any], None]) -> Callable[[Any], None]:
    def deliver(raw: Any) -> None:
        message = worker.channel.Message(raw, channel=worker.channel)
        worker.channel.qos.append(message, message.delivery_tag)
        run(message)

    return deliver


def test_redeliveries_are_counted(worker: Callable[..., Worker]) -> None:
    """Given a message / If it is put back again and again / Expect the count in its header to rise, from none."""
    queue, safe = new_queue(), worker()
    safe.send(queue, "poison", headers={"x-delivery-count": 7})
    safe.consume(queue)
    counts = []
    for number in range(1, 5):
        (message,) = safe.read(number)
        counts.append(message.headers.get("x-delivery-count"))
        message.requeue()
    assert counts == [None, 1, 2, 3]


def test_what_is_given_back_goes_first_but_not_for_ever(worker: Callable[..., Worker]) -> None:
    """Given two messages / If the first is given back each time / Expect it thrice before the other, and then after."""
    queue, safe = new_queue(), worker(prefetch=1)
    safe.send(queue, "first")
    safe.send(queue, "second")
    safe.consume(queue)
    found = []
    for number in range(1, 6):
        message = safe.read(number)[-1]
        found.append(message.payload)
        (message.requeue if len(found) < 4 else message.ack)()
    assert found == ["first", "first", "first", "second", "first"]


def test_a_worker_that_ends_gives_back_in_order(worker: Callable[..., Worker], client: Any) -> None:
    """Given messages under way and in the queue / If the worker ends / Expect another to get all, in their order."""
    queue, first, second = new_queue(), worker(prefetch=3), worker()
    for number in range(5):
        first.send(queue, number)
    first.consume(queue)
    first.read(3)
    first.close()
    assert under_way(client) == (0, 0, 0)
    second.consume(queue)
    assert bodies(second.read(5)) == [0, 1, 2, 3, 4]


def test_if_redis_is_slow_at_the_end_expect_the_messages_back_all_the_same(
    worker: Callable[..., Worker], client: Any
) -> None:
    """Given messages under way / If Redis takes its time when the worker ends / Expect them back in their queue."""
    queue, safe = new_queue(), worker()
    for number in range(3):
        safe.send(queue, number)
    safe.consume(queue)
    safe.read(3)
    # longer than the thread of leases rests: it closes the connections of a channel that has ended, and of no other
    client.client_pause(300)
    safe.close()
    assert under_way(client) == (0, 0, 0)
    assert client.llen(queue) == 3


def test_what_was_asked_for_and_then_cancelled_goes_back(worker: Callable[..., Worker], client: Any) -> None:
    """Given a pop that is under way / If its consumer is cancelled / Expect its messages in the queue."""
    queue, safe = new_queue(), worker()
    safe.send(queue, "late")
    consumer = safe.consume(queue)
    safe.connection.transport.cycle.on_poll_start()
    wait_until(lambda: client.hlen("unacked") == 1)
    consumer.cancel()
    assert safe.got == []
    assert under_way(client) == (0, 0, 0)
    assert client.llen(queue) == 1


def test_what_was_asked_for_on_a_connection_that_ended_goes_back(worker: Callable[..., Worker], client: Any) -> None:
    """Given a pop that is under way / If its answer is lost and its worker lives / Expect no lease of it renewed."""
    queue, safe = new_queue(), worker()
    safe.send(queue, "lost")
    safe.consume(queue)
    safe.connection.transport.cycle.on_poll_start()
    wait_until(lambda: client.hlen("unacked") == 1)
    safe.channel.client.connection.disconnect()
    wait_until(lambda: client.llen(queue) == 1, what="the end of the lease")
    assert under_way(client) == (0, 0, 0)


def test_queues_in_turn_and_urgent_messages_first(worker: Callable[..., Worker]) -> None:
    """Given full queues and priorities / If a worker takes several / Expect urgent ones first, then queues in turn."""
    queues, safe = [new_queue() for _ in range(3)], worker(prefetch=7)
    for number in range(4):
        for queue in queues:
            safe.send(queue, [queue, number])
    safe.send(queues[2], "urgent", priority=0)
    for _ in range(4):
        safe.send(queues[0], "slow", priority=9)
    safe.consume(*queues)
    messages = bodies(safe.read(7))
    assert messages.count("slow") == 0
    by_queue = [sum(body[0] == queue for body in messages if body != "urgent") for queue in queues]
    assert sorted(by_queue) in ([2, 2, 2], [1, 2, 3], [2, 2, 3])


def test_two_queues_get_a_message_each_of_their_own(worker: Callable[..., Worker], client: Any) -> None:
    """Given a message in two queues by one exchange / If one is acknowledged / Expect the other to stay under way."""
    exchange = Exchange(new_queue(), "direct")
    names, safe = [new_queue(), new_queue()], worker()
    for name in names:
        Queue(name, exchange, routing_key="both")(safe.channel).declare()
    safe.send("both", "copy", exchange=exchange.name)
    safe.consume(*names)
    first, second = safe.read(2)
    first.ack()
    assert under_way(client) == (1, 1, 1)
    second.requeue()
    assert sum(client.llen(name) for name in names) == 1


def test_a_full_queue_refuses(worker: Callable[..., Worker], client: Any) -> None:
    """Given a queue with a limit / If two senders fill it at once / Expect the limit kept and errors raised."""
    name = new_queue()
    arguments = {"x-max-length": 50, "x-overflow": "reject-publish"}
    senders = [worker(), worker()]
    refused = []

    def fill(sender: Worker) -> None:
        Queue(name, Exchange(""), routing_key=name, queue_arguments=arguments)(sender.channel).queue_declare()
        for number in range(40):
            try:
                sender.send(name, number, priority=number % 10)
            except ChannelFull as error:
                refused.append(error.channels)

    threads = [threading.Thread(target=fill, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == [(name,)] * 30
    assert senders[0].channel._size(name) == 50


def test_entries_that_are_no_messages_are_set_aside(worker: Callable[..., Worker], client: Any) -> None:
    """Given rubbish between messages / If a worker takes them / Expect the messages, and the rubbish in a list."""
    queue, safe = new_queue(), worker()
    safe.send(queue, 1)
    client.lpush(queue, b"\xff rubbish")
    client.lpush(queue, b"[]")
    safe.send(queue, 2)
    safe.consume(queue)
    assert bodies(safe.read(2)) == [1, 2]
    assert under_way(client) == (2, 2, 2)
    assert client.lrange("unacked_unreadable", 0, -1) == [b"[]", b"\xff rubbish"]


def test_consumers_without_acknowledgements_take_one_at_a_time(worker: Callable[..., Worker], client: Any) -> None:
    """Given a queue that is read without acknowledgements / If one message is awaited / Expect the others to stay."""
    queue, safe = new_queue(), worker(prefetch=0)
    for number in range(3):
        safe.send(queue, number)
    safe.consume(queue, no_ack=True)
    safe.read(1)
    assert bodies(safe.got) == [0]
    assert under_way(client) == (0, 0, 0)
    assert client.llen(queue) == 2


def test_a_reader_without_acknowledgements_may_say_how_many_it_takes(
    worker: Callable[..., Worker], client: Any
) -> None:
    """Given two such queues / If five at once may be taken of one, and one of the other / Expect that, in turn."""
    safe, many, few = worker(prefetch=0), new_queue(), new_queue()
    for number in range(5):
        safe.send(many, number)
        safe.send(few, 10 + number)
    safe.channel.most = {many: 5, few: 1}.__getitem__
    safe.consume(many, few, no_ack=True)
    safe.read(5)
    assert sorted(bodies(safe.got)) == [0, 1, 2, 3, 10]
    safe.read(10)
    assert [body for body in bodies(safe.got) if body < 10] == list(range(5))
    assert [body for body in bodies(safe.got) if body >= 10] == list(range(10, 15))
    assert under_way(client) == (0, 0, 0)


def test_single_messages_can_be_asked_for(worker: Callable[..., Worker], client: Any) -> None:
    """Given two messages / If each is asked for, one without acknowledgement / Expect them, one of them registered."""
    queue, safe = new_queue(), worker()
    safe.send(queue, 1)
    safe.send(queue, 2)
    kept, gone = safe.channel.basic_get(queue), safe.channel.basic_get(queue, no_ack=True)
    assert (bodies([kept, gone]), safe.channel.basic_get(queue)) == ([1, 2], None)
    assert under_way(client) == (1, 1, 1)
    kept.ack()
    assert under_way(client) == (0, 0, 0)


def test_keys_have_kombus_global_prefix(worker: Callable[..., Worker], client: Any) -> None:
    """Given a global prefix / If a message goes its way / Expect no key without it."""
    queue, safe = new_queue(), worker(options={"global_keyprefix": "mine:"})
    safe.send(queue, 1)
    safe.consume(queue)
    safe.read(1)
    safe.got[0].requeue()
    safe.read(2)
    keys = client.keys()
    assert keys
    assert all(key.startswith(b"mine:") for key in keys)
    safe.got[1].ack()
    # whether somebody has looked for dead workers meanwhile is chance
    assert set(client.keys("mine:unacked*")) <= {b"mine:unacked_sweep"}


def test_redis_forgets_the_scripts(worker: Callable[..., Worker], client: Any) -> None:
    """Given a worker at work / If Redis has lost its scripts / Expect it to go on."""
    queue, safe = new_queue(), worker(prefetch=1)
    safe.consume(queue)
    for number in range(1, 4):
        safe.send(queue, number)
        (message,) = safe.read(number)
        client.script_flush()
        message.ack()
    assert under_way(client) == (0, 0, 0)


def test_a_publish_without_an_answer_raises(new_redis: Callable[..., RedisServer]) -> None:
    """Given a Redis that hangs / If a message is sent / Expect an error within the time limit."""
    server = new_redis()
    sender = Worker(server.url, options={"socket_timeout": 0.5})
    server.pause()
    started = time.monotonic()
    with pytest.raises(redis.TimeoutError):
        sender.send("q", 1)
    assert time.monotonic() - started < 2
    server.resume()
    sender.close()


def test_a_redis_without_memory_can_be_emptied(new_redis: Callable[..., RedisServer]) -> None:
    """Given a Redis that takes no more / Expect errors for senders, and workers to go on."""
    server = new_redis()
    safe = Worker(server.url)
    safe.send("q", 1)
    safe.send("q", 2)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            safe.send("q", 3)
        safe.consume("q")
        assert bodies(safe.read(2)) == [1, 2]
        safe.got[0].ack()
        safe.got[1].requeue()
        assert bodies(safe.read(3)) == [2]
        safe.got[2].ack()
        assert under_way(client) == (0, 0, 0)
    safe.close()


# the collection finds connections with their sockets, and whichever of both first
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_acknowledgements_outlive_their_connection(
    new_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Given a message under way / If Redis is killed and comes back / Expect its late acknowledgement to count."""
    server = new_redis(appendonly=True)
    safe = Worker(server.url)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
    safe.send("q", 1)
    safe.consume("q")
    (message,) = safe.read(1)
    server.kill()
    message.ack()
    safe.connection.collect()
    del message, safe  # nobody but its thread knows of it any more
    caplog.clear()  # an error in it knows of all that was going on
    gc.collect()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        wait_until(lambda: under_way(client) == (0, 0, 0), what="the acknowledgement")
        assert client.llen("q") == 0


def test_the_living_get_the_time_to_renew(worker: Callable[..., Worker], client: Any) -> None:
    """Given leases that lapsed while Redis was away / If it is back / Expect renewals before searches."""
    queue, safe = new_queue(), worker()
    safe.send(queue, 1)
    safe.consume(queue)
    safe.read(1)
    wait_until(lambda: float(client.hget("unacked_sweep", "searched") or 0), what="searches")
    (tag,) = client.zrange("unacked_leases", 0, -1)
    now, micro = client.time()
    with client.pipeline() as pipe:  # as after a break of 100 s
        pipe.zadd("unacked_leases", {tag: now + micro / 1e6 - 90})
        pipe.hset("unacked_sweep", mapping={"asked": now - 100, "searched": now - 100, "since": now - 1000})
        pipe.execute()
    assert safe.read_for(LEASE + 0.5) == []
    assert client.zscore("unacked_leases", tag) > now
    assert float(client.hget("unacked_sweep", "searched")) > now
    safe.got[0].ack()


def test_workers_need_not_live_for_long_to_give_back_what_dead_ones_had(
    worker: Callable[..., Worker], redis_url: str, client: Any
) -> None:
    """Given a lone worker that is killed again and again / Expect the times that its successors lived to count up."""
    queue, safe = new_queue(), worker(options={"lease": 6})
    safe.send(queue, "precious")
    kill_when_ready(doomed(redis_url, queue))
    (tag,) = client.zrange("unacked_leases", 0, -1)
    now, micro = client.time()
    with client.pipeline() as pipe:  # it renewed 15 s ago, a second one then lived for 3.8 s, and none for 8 s
        pipe.zadd("unacked_leases", {tag: now + micro / 1e6 - 9})
        pipe.hset("unacked_sweep", mapping={"asked": now - 8, "searched": now - 8, "since": now - 11.8})
        pipe.execute()
    safe.consume(queue)
    (message,) = safe.read(1)
    lived = float(client.hget("unacked_sweep", "searched")) - float(client.hget("unacked_sweep", "since"))
    assert 0 < lived < 2, "of the 4 s in which the living renew"
    assert message.payload == "precious"
    message.ack()
