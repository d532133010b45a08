"""The floor's worker; BROKER and REDIS_PORT come from the environment."""

import os
from typing import Any

import msgpack
import redis
from celery import Celery, bootsteps
from kombu import Consumer, Queue

app = Celery("floor", broker=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
no_ack = os.environ["BROKER"].startswith("redis")
client: Any = None


def run(batch: bytes) -> None:
    """Answer each message of a batch with what it says."""
    global client
    client = client or redis.Redis(port=int(os.environ["REDIS_PORT"]))
    replies = [(message["reply"], message["text"]) for message in msgpack.unpackb(batch)]
    client.xadd("floor:inbox", {"d": msgpack.packb(replies)}, maxlen=100_000, approximate=True)


class Floor(bootsteps.ConsumerStep):
    """Hands what comes to the pool."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def get_consumers(self, amqp_channel: Any) -> list[Consumer]:
        return [
            Consumer(
                amqp_channel,
                queues=[Queue("floor", durable=True)],
                on_message=self.on_message,
                no_ack=no_ack,
                accept=["application/data"],
                prefetch_count=32,
            )
        ]

    def start(self, consumer: Any) -> None:
        self.pool = consumer.pool
        super().start(consumer)

    def on_message(self, message: Any) -> None:
        body = message.body if isinstance(message.body, bytes) else message.body.encode("latin1")
        accepted = (lambda *a, **k: None) if no_ack else (lambda *a, **k: message.ack())
        self.pool.apply_async(run, (body,), accept_callback=accepted, callback=lambda result: None)


app.steps["consumer"].add(Floor)
