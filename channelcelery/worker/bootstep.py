"""The step of a Celery worker's consumer that reads normal channels and feeds the pool; no user code runs here."""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from celery.bootsteps import CLOSE, TERMINATE, StartStopStep  # type: ignore[attr-defined]  # not in the stubs
from celery.signals import worker_shutdown
from celery.worker import state
from celery.worker.state import maybe_shutdown

from channelcelery.broker.patience import answered_within
from channelcelery.core.backlog import Delivery, Job, Key
from channelcelery.core.outcome import Outcome
from channelcelery.core.stall import Look
from channelcelery.layers import channel_layers
from channelcelery.signals import Worker, worker_process_ready, worker_ready
from channelcelery.worker.autoscale import ChannelsAutoscaler
from channelcelery.worker.chores import Chores
from channelcelery.worker.flush import put_all_back
from channelcelery.worker.handing import Take
from channelcelery.worker.handover import Handover
from channelcelery.worker.losses import Losses
from channelcelery.worker.ordered import listen_to
from channelcelery.worker.preflight import queues_to_consume
from channelcelery.worker.progress import read_mark
from channelcelery.worker.runner import run_job
from channelcelery.worker.sources import Source, loops_on, make_source
from channelcelery.worker.watch import Watch

__all__ = ["ChannelsStep"]

logger = logging.getLogger("django.channels.worker")

#: Seconds between two looks for processes that are gone, and for what a pool may grow by.
LOOK_EVERY = 0.5


class ChannelsStep(Worker, StartStopStep):
    """Reads channels for as long as the worker has a connection, and settles what is under way when it has not.

    The same object is started again after each loss of the connection; `Handover` lives on and keeps what is ours.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(
        self,
        consumer: Any,
        only_channels: Sequence[str] = (),
        exclude_channels: Sequence[str] = (),
        channels_embedded: bool = False,
        **kwargs: Any,
    ) -> None:
        self._queues = queues_to_consume(only_channels, exclude_channels)
        # before the pool forks
        listen_to(self._queues.values())
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._source: Source | None = None
        aliases = dict.fromkeys(alias for alias, _ in self._queues.values())
        self._chores = Chores(aliases, self._takes, lambda lost: self._on_loop(self.counts.update, lost))
        self._hub: Any = None
        self._soon: Callable[..., object] = _at_once
        self._pool: Any = None
        self._told_ready = False
        self._embedded = channels_embedded
        self._timer: Any = None
        self._losses = Losses(lambda job: self.handover.finished(job, None))
        self.handover = Handover(self._submit, self._slots, self._acknowledge, _keep, self._losses.abandoned)
        self._watch = self._make_watch()
        worker_shutdown.connect(self._end)
        super().__init__(consumer, **kwargs)

    def _make_watch(self) -> Watch:
        configs = {alias: channel_layers.config(alias) for alias, _ in self._queues.values()}
        stall_limit = min((config.stall_limit for config in configs.values()), default=None)
        return Watch(
            {alias: config.time_limit for alias, config in configs.items()},
            None if self._embedded else stall_limit,
            lambda: self.handover.jobs,
            self._show,
            self._depth,
        )

    @property
    def counts(self) -> Counter[str]:
        """What this worker ran and dropped, by name."""
        return self.handover.counts

    @property
    def queues(self) -> Mapping[str, Key]:
        """The queues that this worker reads."""
        return self._queues

    @property
    def is_reading(self) -> bool:
        """Whether it has a connection to the broker, and takes messages."""
        return self._source is not None

    @property
    def slots(self) -> int:
        """How many jobs the pool can run at the same time."""
        return self._slots() if self._pool is not None else 0

    # the life of a connection

    def start(self, consumer: Any) -> None:
        """Prepare; reading begins in the running loop, since an earlier delivery would find no pool on it."""
        self._pool = consumer.pool
        autoscaler = getattr(consumer.controller, "autoscaler", None)
        if isinstance(autoscaler, ChannelsAutoscaler):
            autoscaler.messages = lambda: self.handover.under_way + self.handover.waiting
        if consumer.hub is None:
            self._soon = _at_once
            consumer.call_soon(self._begin, consumer)

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        """Begin reading once the loop runs; threads of the pool come back to it, for AMQP is not thread-safe."""
        self._hub = hub
        needs_hop = type(self._pool).__module__ == "celery.concurrency.thread"
        self._soon = hub.call_soon if needs_hop else _at_once
        hub.call_soon(self._begin, consumer)

    def _begin(self, consumer: Any) -> None:
        with self._patience(consumer):
            amqp_channel = consumer.connection.channel()
        has_room = self._has_room if consumer.hub else self._has_room_unless_stopped
        self._source = make_source(
            amqp_channel,
            self.handover.received,
            self._count_dropped,
            has_room,
            self.handover.share,
            self._seen,
            eager=loops_on(consumer),
        )
        self._tell_ready()
        self.handover.open()
        with self._patience(consumer):
            self._source.consume(self._queues)
        if consumer.hub:
            self._source.watch(consumer.connection, consumer.hub)
        self._chores.start()
        self._watch.start()
        self._timer = consumer.timer.call_repeatedly(LOOK_EVERY, self._look, (consumer,))
        logger.info(
            "running %d channels: %s", len(self._queues), ", ".join(sorted(c for _, c in self._queues.values()))
        )

    def _patience(self, consumer: Any) -> AbstractContextManager[None]:
        limit = max((channel_layers.config(alias).publish_timeout for alias, _ in self._queues.values()), default=5.0)
        return answered_within(limit, consumer.connection, "the queues of its channels")

    def _tell_ready(self) -> None:
        """Send the signals of item 85, once however often the connection is lost."""
        if self._told_ready:
            return
        self._told_ready = True
        signals = [worker_ready] if self._embedded else [worker_process_ready, worker_ready]
        for signal in signals:
            for receiver, result in signal.send_robust(sender=self):
                if isinstance(result, Exception):
                    logger.error("a receiver of the worker's signals raised: %s", receiver, exc_info=result)

    def stop(self, consumer: Any) -> None:
        """Settle: on a lost connection what is ours waits for the next one, at the end it goes back to its queue."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._source is None:
            return
        final = consumer.blueprint.state in (CLOSE, TERMINATE)
        self.handover.close()
        source, self._source = self._source, None
        try:
            source.close()
        except (*consumer.connection_errors, *consumer.channel_errors) as error:
            logger.debug("the broker's connection was closed already: %s", error)
        if final:
            self._chores.stop()  # or it takes messages meanwhile, and the connection that gives back
            self._give_back()
        else:
            self.handover.forget_unowned()

    def terminate(self, consumer: Any) -> None:
        """Settle on a cold shutdown too."""
        self.stop(consumer)

    def _end(self, **kwargs: Any) -> None:
        """Give back what is left: Celery does not stop the steps of a worker that was looking for its broker."""
        self._chores.stop()
        self._watch.stop()
        self.handover.close()
        self._give_back()

    def _give_back(self) -> None:
        waiting = self.handover.drain().items()
        self.counts.update(put_all_back((channel_layers[alias], channel, items) for (alias, channel), items in waiting))
        self._watch.settled()

    # between the source, the hand-over and the pool

    def _submit(self, job: Job) -> None:
        alias, channel = job.key
        job.handle = self._pool.apply_async(
            run_job,
            (alias, channel, job.items, job.claim),
            accept_callback=lambda *args, **kwargs: self._soon(partial(self.handover.accepted, job)),
            callback=lambda outcome: self._soon(partial(self._finished, job, outcome)),
            error_callback=lambda error: self._soon(partial(self._finished, job, error)),
        )

    def _finished(self, job: Job, result: object) -> None:
        outcome = result if isinstance(result, Outcome) else None
        if outcome is not None:
            self._losses.note(outcome)
        elif result is not None and not job.settled:
            logger.error("a job of %s did not come to its end: %s", job.key[1], result)
        self.handover.finished(job, outcome)

    def _look(self, consumer: Any) -> None:
        """Look after the pool; called now and then on the event loop."""
        # which Celery does every five seconds: until then a dead process is missing
        self._pool.maintain_pool()
        self._losses.look(self.handover.jobs, self._pool.info.get("processes", ()))
        if (autoscaler := getattr(consumer.controller, "autoscaler", None)) is not None:
            autoscaler.maybe_scale()
        self.handover.go_on()

    def _show(self) -> Look:
        """Show what tells whether this worker stalls; called on another thread."""
        running = sum(read_mark(*job.claim) is not None for job in self.handover.jobs)
        ending = state.should_stop is not None or state.should_terminate is not None
        busy = ending or running + len(state.active_requests) >= self._slots()
        return Look(self.handover.moves, self.handover.waiting + self.handover.under_way - running, busy)

    def _depth(self) -> int:
        return sum(channel_layers[alias].publisher.depth(channel) for alias, channel in self._queues.values())

    def _takes(self, alias: str) -> Take:
        def take(channel: str, item: bytes) -> bool:
            here = self._hub is not None and (alias, channel) in self._queues.values()
            if here:
                self._on_loop(self.handover.take, (alias, channel), (item,))
            return here

        return take

    def _on_loop(self, call: Callable[..., object], *arguments: object) -> None:
        # for the chores, which have a thread of their own
        if self._hub is None:
            call(*arguments)
        else:
            self._hub.call_soon(call, *arguments)

    def _has_room(self) -> bool:
        return self.handover.has_room

    def _has_room_unless_stopped(self) -> bool:
        # without an event loop Celery looks for a shutdown every 2 s only; Kombu asks this at every poll
        maybe_shutdown()
        return self.handover.has_room

    def _slots(self) -> int:
        return int(self._pool.num_processes or 1)

    def _acknowledge(self, deliveries: tuple[Delivery, ...]) -> None:
        if self._source is not None:
            self._source.acknowledge(deliveries)

    def _count_dropped(self, reason: str) -> None:
        self.counts[reason] += 1

    def info(self, consumer: Any) -> dict[str, Any]:  # type: ignore[override]  # the stubs say None
        """What `celery inspect stats` shows."""
        return {"channels": {"names": sorted(c for _, c in self._queues.values()), "counts": dict(self.counts)}}


def _keep(job: Job) -> None:
    """Let prefork go on reading what its process says of a job that Celery has just dropped.

    When a worker stops or reconnects, Celery forgets the jobs whose acceptance it has not read yet. A process that has
    one all the same then waits 30 s for somebody to read its result before it ends. billiard has no public way to take
    a result back in.
    """
    result: Any = job.handle
    if getattr(result, "_write_to", None) is not None and not result.ready():
        result._cache[result._job] = result


def _at_once(call: Callable[[], Any]) -> None:
    call()
