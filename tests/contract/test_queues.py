"""Normal channels: one suite over memory://, Redis and RabbitMQ (items 9, 54, 56; AMQP 0-9-1 for RabbitMQ)."""

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from kombu import Connection

from channelcelery.broker.publisher import KombuPublisher
from channelcelery.core.batches import MAX_BATCH
from channelcelery.core.capacity import SAMPLE_INTERVAL
from channelcelery.core.envelope import decode_item, encode_content, encode_item
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, ChannelFull
from tests.contract.brokers import NEVER, Broker, in_child, item, items, wait_for_child
from tests.processes import wait_until
from tests.servers import RabbitServer, RedisServer

on_every_broker = pytest.mark.parametrize("broker", ["memory", "redis", "amqp"], indirect=True)
on_servers = pytest.mark.parametrize("broker", ["redis", "amqp"], indirect=True)
on_rabbitmq = pytest.mark.parametrize("broker", ["amqp"], indirect=True)


def fill(publisher: KombuPublisher, channel: str, most: int = 100_000, size: int = 1) -> int:
    """Publish until the channel is full; return how many messages it took."""
    for sent in range(0, most, size):
        try:
            publisher.publish(channel, items(range(sent, sent + size)))
        except ChannelFull:
            return sent
    raise AssertionError(f"{channel} took {most} messages and was not full")


@on_every_broker
class TestPublishing:
    def test_given_messages_expect_them_in_order_and_large_ones_cut_into_batches(self, broker: Broker) -> None:
        """Items 9 and 61."""
        publisher = broker.publisher()
        for number in range(20):
            publisher.publish("one-by-one", [item(number)])
        assert broker.numbers("one-by-one", 20) == list(range(20))
        publisher.publish("batch", items(range(1_000)))
        batches = broker.batches("batch", 1_000)
        assert [len(batch.items) for batch in batches] == [MAX_BATCH] * 15 + [40]
        assert [found for batch in batches for found in batch.items] == items(range(1_000))

    def test_given_any_bytes_expect_them_unchanged(self, broker: Broker) -> None:
        """Item 22."""
        content = {"all": bytes(range(256)) * 40, "text": "é😀\x00", "n": -(2**63)}
        packed = encode_item(encode_content(content, 100_000), NEVER - 1)
        broker.publisher().publish("chat", [packed])
        (batch,) = broker.batches("chat", 1)
        assert batch.items == (packed,)
        assert decode_item(packed).content == content

    def test_given_a_large_message_expect_it_alone_in_its_batch(self, broker: Broker) -> None:
        """Item 23."""
        large = encode_item(encode_content({"n": 1, "body": bytes(1024 * 1024)}, 2 * 1024 * 1024), NEVER)
        broker.publisher().publish("chat", [item(0), large, item(2)])
        assert [len(batch.items) for batch in broker.batches("chat", 3)] == [1, 1, 1]

    def test_depth_counts_the_broker_s_messages_and_purge_drops_those_of_one_channel(self, broker: Broker) -> None:
        publisher = broker.publisher()
        assert (publisher.depth("a"), publisher.depth("never-used")) == (0, 0)
        for channel in ("a", "b"):
            publisher.publish(channel, items(range(MAX_BATCH + 1)))
            publisher.publish(channel, [item(0)])
            broker.wait_for_depth(publisher, channel, 3)
        publisher.purge("a")
        publisher.purge("never-used")
        assert publisher.depth("a") == 0
        assert len(broker.numbers("b", MAX_BATCH + 2)) == MAX_BATCH + 2
        broker.wait_for_depth(publisher, "b", 0)

    def test_if_closed_at_once_then_nothing_is_lost(self, broker: Broker) -> None:
        publisher = broker.publisher()
        for start in range(0, 1_000, 20):
            for number in range(start, start + 20):
                publisher.publish("chat", [item(number)])
            publisher.close()
        publisher.close()
        assert sorted(broker.numbers("chat", 1_000)) == list(range(1_000))

    def test_given_eight_threads_expect_none_lost_and_the_order_of_each(self, broker: Broker) -> None:
        publisher = broker.publisher()

        def send(thread: int) -> None:
            for number in range(thread * 500, thread * 500 + 500):
                publisher.publish("chat", [item(number)])

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(send, range(8)))
        numbers = broker.numbers("chat", 4_000)
        assert sorted(numbers) == list(range(4_000))
        for thread in range(8):
            own = [number for number in numbers if number // 500 == thread]
            assert own == sorted(own)


@on_every_broker
class TestCapacity:
    def test_given_one_sender_expect_the_capacity_and_other_channels_free(self, broker: Broker) -> None:
        """Item 54."""
        publisher = broker.publisher(capacity=10)
        taken = fill(publisher, "a")
        # where a busy machine makes it look twice, RabbitMQ does not count yet what it has just been sent
        assert 10 <= taken <= (20 if broker.url.startswith("amqp") else 10)
        with pytest.raises(ChannelFull) as caught:
            publisher.publish("a", [item(10)])
        assert caught.value.channels == ("a",)
        publisher.publish("b", [item(1)])
        broker.publisher(prefix=f"{broker.prefix}other:").publish("a", [item(1)])
        assert broker.numbers("a", taken) == list(range(taken))
        assert broker.numbers("b", 1) == [1]

    def test_given_another_sender_expect_it_to_see_that_the_channel_is_full(self, broker: Broker) -> None:
        """Item 54."""
        first, second = broker.publisher(capacity=10), broker.publisher(capacity=10)
        broker.wait_for_depth(first, "a", fill(first, "a"))
        assert fill(second, "a") == 0

    def test_if_it_is_read_then_there_is_room_again(self, broker: Broker) -> None:
        publisher = broker.publisher(capacity=10)
        broker.numbers("a", fill(publisher, "a"))
        wait_until(lambda: fill(publisher, "a") >= 10, what="room for ten")

    def test_given_several_senders_expect_at_most_what_each_sends_between_two_looks_above_it(
        self, broker: Broker
    ) -> None:
        """Four senders take turns at sending five messages; each looks at the depth before it does."""
        publishers = [broker.publisher(capacity=100) for _ in range(4)]
        refused = sent = 0
        while refused < len(publishers):
            refused = 0
            for publisher in publishers:
                try:
                    for _ in range(5):
                        publisher.publish("a", [item(0)])
                        sent += 1
                except ChannelFull:
                    refused += 1
            broker.wait_for_depth(publishers[0], "a", sent)
            time.sleep(SAMPLE_INTERVAL * 1.2)
        assert 100 <= sent <= 100 + len(publishers) * 5

    def test_given_batches_expect_channel_messages_counted(self, broker: Broker) -> None:
        publisher = broker.publisher(capacity=1_000)
        taken = fill(publisher, "a", size=MAX_BATCH)
        assert 1_000 <= taken <= 1_000 + 10 * MAX_BATCH
        broker.wait_for_depth(publisher, "a", taken // MAX_BATCH)
        time.sleep(SAMPLE_INTERVAL * 1.2)
        # it learns how many a message of the broker carries, and is not exact
        assert fill(publisher, "a", size=MAX_BATCH) <= MAX_BATCH

    def test_given_a_full_channel_if_messages_are_put_back_expect_it_to_take_them(self, broker: Broker) -> None:
        publisher = broker.publisher(capacity=5)
        taken = fill(publisher, "a")
        publisher.put_back("a", items(range(100, 200)))
        assert broker.numbers("a", taken + 100) == [*range(taken), *range(100, 200)]


@on_rabbitmq
class TestRabbitMQ:
    def test_given_messages_that_nobody_reads_expect_the_broker_to_drop_them_when_they_expire(
        self, broker: Broker
    ) -> None:
        """Item 56."""
        publisher = broker.publisher(expiry=0.5)
        publisher.publish("a", items(range(MAX_BATCH * 2)))
        broker.wait_for_depth(publisher, "a", 2)
        broker.wait_for_depth(publisher, "a", 0)

    def test_if_a_queue_was_declared_in_another_way_expect_the_reason_at_once_and_other_channels_free(
        self, broker: Broker
    ) -> None:
        with broker.connection() as connection, connection.channel() as amqp_channel:
            arguments = {"x-max-length": 5}
            amqp_channel.queue_declare(f"{broker.prefix}odd", durable=True, auto_delete=False, arguments=arguments)
        publisher = broker.publisher(publish_timeout=60)
        with pytest.raises(BrokerUnavailable, match=r"PRECONDITION_FAILED.*x-max-length"):
            publisher.publish("odd", [item(1)])
        publisher.publish("a", [item(1)])
        assert broker.numbers("a", 1) == [1]

    def test_given_a_wrong_password_expect_the_reason_at_once(self, broker: Broker) -> None:
        wrong = broker.url.replace("guest:guest", "guest:wrong")
        publisher = broker.publisher(lambda: Connection(wrong), publish_timeout=60)
        with pytest.raises(BrokerUnavailable, match="ACCESS_REFUSED"):
            publisher.publish("a", [item(1)])

    def test_if_a_queue_is_deleted_expect_the_next_message_in_a_new_one(self, broker: Broker) -> None:
        """A sender that looks at the depth finds out; RabbitMQ says nothing of a message without a queue."""
        publisher = broker.publisher(capacity=100)
        publisher.publish("a", [item(1)])
        with broker.connection() as connection, connection.channel() as amqp_channel:
            amqp_channel.queue_delete(f"{broker.prefix}a")
        assert publisher.depth("a") == 0
        publisher.publish("a", [item(2)])
        assert broker.numbers("a", 1) == [2]


@on_servers
class TestForking:
    """A sender may be used before a fork, as by a server that loads the project and then forks its workers."""

    def test_given_a_fork_after_the_first_use_expect_both_sides_to_publish(self, broker: Broker) -> None:
        publisher = broker.publisher()
        publisher.publish("a", [item(0)])

        def child() -> None:
            for number in range(100, 200):
                publisher.publish("a", [item(number)])
            publisher.close()
            gc.collect()

        pid = in_child(child)
        for number in range(1, 100):
            publisher.publish("a", [item(number)])
        wait_for_child(pid)
        publisher.publish("a", [item(200)])
        assert sorted(broker.numbers("a", 201)) == list(range(201))

    def test_given_a_fork_while_another_thread_is_publishing_expect_the_child_not_to_wait_for_it(
        self, broker: Broker
    ) -> None:
        connecting, may_go_on = threading.Event(), threading.Event()

        def connection() -> Connection:
            if threading.current_thread() is thread:
                connecting.set()
                assert may_go_on.wait(20)
            return broker.connection()

        publisher = broker.publisher(connection, publish_timeout=10)
        thread = threading.Thread(target=publisher.publish, args=("a", [item(1)]))
        thread.start()
        assert connecting.wait(10)

        def child() -> None:
            publisher.publish("a", [item(2)])
            publisher.close()

        wait_for_child(in_child(child))
        assert broker.numbers("a", 1) == [2]
        may_go_on.set()
        thread.join()
        assert broker.numbers("a", 1) == [1]


@pytest.mark.parametrize("kind", ["redis", "amqp"])
def test_if_the_broker_is_killed_started_again_or_frozen_expect_an_error_in_time_or_the_message(
    kind: str, new_redis: Callable[..., RedisServer], new_rabbit: Callable[[], RabbitServer]
) -> None:
    server = new_redis() if kind == "redis" else new_rabbit()
    broker = Broker(server.url)
    active, idle = broker.publisher(publish_timeout=0.5), broker.publisher(publish_timeout=0.5)
    active.publish("a", [item(1)])
    idle.publish("a", [item(2)])
    assert broker.numbers("a", 2) == [1, 2]

    server.kill()
    fails_in_time(lambda: active.publish("a", [item(3)]))
    fails_in_time(lambda: active.depth("a"))
    fails_in_time(lambda: broker.publisher(publish_timeout=0.5).put_back("a", [item(3)]))
    active.close()
    server.start()
    active.publish("a", [item(4)])
    assert broker.numbers("a", 1) == [4]
    idle.publish("a", [item(5)])
    assert broker.numbers("a", 1) == [5], "its connection was stale"

    with frozen(server):
        fails_in_time(lambda: active.depth("a"))
        fails_in_time(lambda: broker.publisher(publish_timeout=0.5).publish("b", [item(6)]))
        # a frozen server may have taken a message that was written before it froze
        begun = time.monotonic()
        idle.close()
        assert time.monotonic() - begun < 5
    for publisher in (active, idle):
        publisher.publish("a", [item(7)])
    assert broker.numbers("a", 2) == [7, 7]
    broker.close()


def test_if_redis_hangs_while_it_is_sent_a_message_expect_it_once(new_redis: Callable[..., RedisServer]) -> None:
    """Given a sender that knows how full the channel is, so that it sends without asking first."""
    server = new_redis()
    broker = Broker(server.url)
    publisher = broker.publisher(publish_timeout=0.5)
    publisher.publish("a", [item(1)])
    with frozen(server), pytest.raises(BrokerUnanswered):
        publisher.publish("a", [item(2)])
    publisher.publish("a", [item(3)])
    assert broker.numbers("a", 3) == [1, 2, 3]
    assert publisher.depth("a") == 0
    broker.close()


@contextmanager
def frozen(server: RedisServer | RabbitServer) -> Iterator[None]:
    """Let a server keep its connections and answer nothing."""
    assert server.process is not None
    server.process.signal_group(signal.SIGSTOP)
    # each of its threads stops when it notices
    tasks = Path(f"/proc/{server.process.pid}/task")
    wait_until(lambda: all(state(task) == "T" for task in tasks.iterdir()), what="the server to stop")
    yield
    server.process.signal_group(signal.SIGCONT)


def state(task: Path) -> str:
    """Return the letter that the kernel gives for what a thread does (proc(5))."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


def fails_in_time(call: Callable[[], object]) -> None:
    """Expect a time limit of half a second to be kept, with room for a busy machine."""
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="the broker did not take the message"):
        call()
    assert time.monotonic() - begun < 5


def test_if_redis_has_no_memory_left_expect_an_error_in_time(new_redis: Callable[..., RedisServer]) -> None:
    server = new_redis()
    broker = Broker(server.url)
    publisher = broker.publisher(publish_timeout=0.5)
    publisher.publish("a", [item(1)])
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        fails_in_time(lambda: publisher.publish("a", [item(2)]))
        client.config_set("maxmemory", 0)
    publisher.publish("a", [item(3)])
    assert broker.numbers("a", 2) == [1, 3]
    broker.close()
