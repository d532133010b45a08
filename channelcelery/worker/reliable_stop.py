"""The end of a prefork worker: what a process of its pool has just been given counts before Celery forgets it.

When a worker ends, Celery drops all tasks that no process has said to have begun, and its broker delivers them again. A
process that had been given one in the last millisecond runs it all the same, so that it would run twice; so would the
project's own tasks.
"""

import logging
import time
from typing import Any

from celery.bootsteps import StartStopStep
from celery.concurrency.asynpool import AsynPool
from celery.worker import state

__all__ = ["Acceptance", "await_acceptance", "is_given"]

logger = logging.getLogger("django.channels.worker")

#: Seconds to wait for the processes of the pool, each of which needs less than a millisecond.
_LIMIT = 5.0
_PAUSE = 0.001


class Acceptance(StartStopStep):
    """Lets the pool's processes say what they have begun, as the first thing that a worker does at its warm end."""

    def include(self, parent: Any) -> None:
        """Come before all other steps, since the pool's own already tells it to take no more."""
        parent.steps.insert(0, self)

    def close(self, worker: Any) -> None:
        """Wait for what has been given to a process."""
        pool = getattr(worker.pool, "_pool", None)
        if isinstance(pool, AsynPool) and not state.should_terminate and not await_acceptance(pool, _LIMIT):
            logger.warning("a process of the pool does not say what it runs: messages that it has may run twice")


def await_acceptance(pool: Any, seconds: float) -> bool:
    """Give no more to the pool's processes, and read what they say until they have begun what they were given.

    Celery and billiard have no public way to do so; the loop that reads otherwise stands still at a worker's end.

    Args:
        pool: Celery's `AsynPool`.
        seconds: to wait at most.

    Returns:
        False if some process has not said so in time.
    """
    # the messages of these are delivered again in any case
    pool.outbound_buffer.clear()
    deadline = time.monotonic() + seconds
    while any(is_given(job) for job in pool._cache.values()):
        if time.monotonic() >= deadline:
            return False
        for writer in tuple(pool._active_writers):
            next(writer, None)
        for outqueue in tuple(pool._fileno_to_outq):
            handler = pool._result_handler
            handler._flush_outqueue(outqueue, _forget, pool._fileno_to_outq, handler.on_state_change)
        time.sleep(_PAUSE)
    return True


def is_given(job: Any) -> bool:
    """Tell whether a process of the pool was given a job, at least a part of it, and has not said to have begun it.

    Args:
        job: one of those in the table of Celery's `AsynPool`.
    """
    return getattr(job, "_write_to", None) is not None and not job._accepted and not job.ready()


def _forget(outqueue: int) -> None:
    """Leave a process that has ended to Celery, which takes note of it when it joins the pool."""
