"""A Celery app without channelcelery, whose task has the guarantees of a reliable channel as far as Celery has them.

It is acknowledged when it has returned, persistent, confirmed, and on RabbitMQ in a quorum queue; Kombu's own transport
for Redis still loses some when a worker is killed. BENCH_TASK=early in the environment makes it one without guarantees,
to stand beside best-effort messages.
"""

import os

from celery import Celery
from kombu import Exchange, Queue

from benchmarks.reliable.stamp import run

_URL = os.environ["CELERY_BROKER_URL"]
_IS_LATE = os.environ.get("BENCH_TASK", "late") == "late"
_ARGUMENTS = {"x-queue-type": "quorum"} if _IS_LATE and _URL.startswith("amqp") else {}

app = Celery("benchmarks.reliable.task", broker=_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True} if _ARGUMENTS else {},
    task_acks_late=_IS_LATE,
    task_reject_on_worker_lost=_IS_LATE,
    task_default_delivery_mode=2 if _IS_LATE else 1,
    task_ignore_result=True,
    task_default_queue="counted",
    task_queues=[Queue("counted", Exchange("counted", "topic"), routing_key="counted", queue_arguments=_ARGUMENTS)],
)


@app.task(name="count")
def count(number: int, stamp: str | None = None) -> None:
    """Do nothing but count."""
    run(stamp)
