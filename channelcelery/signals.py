"""What workers tell whoever wants to know (Channels 1.x, item 85); receivers run in the worker's own process."""

from django.dispatch import Signal

__all__ = ["Worker", "consumer_finished", "consumer_started", "worker_process_ready", "worker_ready"]


class Worker:
    """What sends these signals: the class itself those of consumers, an instance those of a worker (item 85)."""


#: Sent before each consumer runs. Keyword arguments: `environ`, an empty dict, as `request_started` has it.
consumer_started = Signal()

#: Sent after each consumer, also if it raised. No keyword arguments.
consumer_finished = Signal()

#: Sent when a worker begins to listen to its channels; the sender is a `Worker`. No keyword arguments.
worker_ready = Signal()

#: Sent by the same once in each `celery worker` or runworker, not in the processes of its pool: before `worker_ready`,
#: and not by runserver. No keyword arguments.
worker_process_ready = Signal()
