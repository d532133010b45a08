"""One broker as the tests of normal channels use it: publishers on it, and what lies in its queues."""

import os
import secrets
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection

from channelcelery.broker.publisher import KombuPublisher, queue_name
from channelcelery.conf import LayerConfig
from channelcelery.core.envelope import Batch, decode_batch, decode_item, encode_content, encode_item
from tests.servers import wait_until

NEVER = 10_000_000_000_000


def item(number: int, deadline: int = NEVER) -> bytes:
    """Return an encoded message with a number."""
    return encode_item(encode_content({"n": number}, 1_000), deadline)


def items(numbers: range) -> list[bytes]:
    """Return encoded messages with these numbers."""
    return [item(number) for number in numbers]


@dataclass
class Broker:
    """Queues of one test.

    Args:
        url: the broker's URL.
        prefix: what the names of this test's queues begin with, and of no other's.
    """

    url: str
    prefix: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}:")
    publishers: list[KombuPublisher] = field(default_factory=list)

    def connection(self) -> Connection:
        """Return a new, lazy connection."""
        # Kombu's own transports look for messages once a second unless told otherwise
        return Connection(self.url, transport_options={"polling_interval": 0.01})

    def publisher(self, connection: Callable[[], Connection] | None = None, **config: Any) -> KombuPublisher:
        """Return a new publisher on a layer with these settings; it is closed at the end of the test."""
        config = {"prefix": self.prefix, "publish_timeout": 2.0} | config
        made = KombuPublisher(LayerConfig("default", "redis", **config), connection or self.connection)
        self.publishers.append(made)
        return made

    def close(self) -> None:
        """End the connections of every publisher."""
        for publisher in self.publishers:
            publisher.close()

    def batches(self, channel: str, count: int) -> list[Batch]:
        """Take broker messages off a channel's queue that hold `count` messages, and check that no more lie there.

        RabbitMQ puts what was published into its queue a moment later.
        """
        taken: list[Batch] = []

        def enough() -> bool:
            while (message := amqp_channel.basic_get(queue_name(self.prefix, channel), no_ack=True)) is not None:
                body = message.body
                taken.append(decode_batch(body if isinstance(body, bytes) else body.encode("latin-1")))
            return sum(len(batch.items) for batch in taken) >= count

        with self.connection() as connection, connection.channel() as amqp_channel:
            amqp_channel.queue_declare(queue_name(self.prefix, channel), durable=True, auto_delete=False)
            wait_until(enough, what=f"{count} messages on {channel}, not {[len(batch.items) for batch in taken]}")
            enough()
        assert sum(len(batch.items) for batch in taken) == count
        assert {batch.channel for batch in taken} <= {channel}
        return taken

    def numbers(self, channel: str, count: int) -> list[int]:
        """Take `count` messages off a channel's queue and return their numbers."""
        return [decode_item(found).content["n"] for batch in self.batches(channel, count) for found in batch.items]

    def wait_for_depth(self, publisher: KombuPublisher, channel: str, depth: int) -> None:
        """Wait until the broker counts so many messages of its own on a channel."""
        wait_until(lambda: publisher.depth(channel) == depth, what=f"{depth} on {channel}: {publisher.depth(channel)}")


def in_child(work: Callable[[], None]) -> int:
    """Do something in a forked process, and return its id; its status tells whether it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, where threads run
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def wait_for_child(pid: int) -> None:
    """Wait for a forked process; fail if it raised, or if it takes too long."""
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(0.005)
    assert ended[1] == 0
