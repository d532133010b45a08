"""A Redis as two workers of a broker see it: one with the safe transport and, for comparison, one with Kombu's own."""

import contextlib
import os
import secrets
import signal
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
from kombu import Connection, Consumer, Exchange, Message, Producer, Queue

from channelcelery.broker.safe_app import SafeConnection
from tests.processes import Process, wait_until

SAFE = "channelcelery.broker.safe_redis:SafeTransport"
STOCK = "kombu.transport.redis:Transport"


@dataclass
class Worker:
    """One consuming connection.

    Args:
        url: the Redis.
        kind: Kombu's connection, or the safe one.
        options: transport options.
        prefetch: messages that may be under way.
    """

    url: str
    kind: Callable[..., Connection] = SafeConnection
    options: dict[str, Any] = field(default_factory=dict)
    prefetch: int = 10
    got: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = {"lease": 1.0, "sweep_interval": 0.1} | self.options
        self.connection = self.kind(self.url, transport_options=options)
        self.channel: Any = self.connection.channel()
        self.channel.basic_qos(0, self.prefetch, False)

    def send(self, queue: str, body: object, exchange: str = "", **options: Any) -> None:
        """Publish."""
        Producer(self.channel).publish(body, exchange=exchange, routing_key=queue, serializer="json", **options)

    def consume(self, *queues: str, no_ack: bool = False) -> Consumer:
        """Start consuming queues."""
        made = [Queue(name, Exchange(""), routing_key=name) for name in queues]
        consumer = Consumer(self.channel, made, on_message=self.got.append, no_ack=no_ack, auto_declare=False)
        consumer.consume()
        return consumer

    def read(self, count: int, *, timeout: float = 5) -> list[Message]:
        """Wait until so many messages came in all, and return those that are new to the caller."""
        seen = len(self.got)
        deadline = time.monotonic() + timeout
        while len(self.got) < count and time.monotonic() < deadline:
            self._drain(0.05)
        assert len(self.got) >= count, f"{len(self.got)} of {count} messages came: {bodies(self.got)}"
        return self.got[seen:]

    def read_for(self, seconds: float) -> list[Message]:
        """Return what comes within so many seconds."""
        seen = len(self.got)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._drain(min(left, 0.05))
        return self.got[seen:]

    def _drain(self, timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            self.connection.drain_events(timeout=timeout)

    def close(self) -> None:
        """End the connection, as a worker at its end."""
        self.connection.release()


def bodies(messages: list[Message]) -> list[Any]:
    """Return what messages say."""
    return [message.payload for message in messages]


def new_queue() -> str:
    """Return a name for a queue of the test's own."""
    return f"q{secrets.token_hex(4)}"


def under_way(client: "redis.Redis[bytes]") -> tuple[int, int, int]:
    """Return how many messages each part of the record holds."""
    return client.hlen("unacked"), client.zcard("unacked_index"), client.zcard("unacked_leases")


_DOOMED = """
import sys
from tests.integration.safe_brokers import *
worker = Worker({url!r}, kind={kind}, prefetch={prefetch}, options={options!r})
{before}
worker.consume({queue!r})
while len(worker.got) < {count}:
    worker._drain(1)
print("READY", flush=True)
time.sleep(60)
"""


def doomed(
    url: str, queue: str, *, kind: str = "SafeConnection", count: int = 1, before: str = "", **options: Any
) -> Process:
    """Start a process that takes messages and never acknowledges them.

    Args:
        url: the Redis.
        queue: what it consumes.
        kind: its kind of connection.
        count: messages that it takes.
        before: statements that it runs first.
        options: its transport options.
    """
    program = _DOOMED.format(
        url=url, queue=queue, kind=kind, count=count, prefetch=count, options=options, before=textwrap.dedent(before)
    )
    return Process([sys.executable, "-c", program], name="doomed")


def kill_when_ready(process: Process) -> None:
    """Kill a process that `doomed` started as soon as it has its messages."""
    wait_until(lambda: "READY" in process.output() or process.returncode is not None, what="its messages")
    assert process.returncode is None, process.output()
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: process.returncode is not None)
