"""Watching the pool from a thread of the main process: consumers that do not end, and a worker that does not begin.

A thread, since a worker that hangs may do so in its event loop.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

from celery.worker import state

from channelcelery.core.backlog import Job
from channelcelery.core.stall import Look, Stall
from channelcelery.exceptions import BrokerUnavailable
from channelcelery.worker.progress import Mark, read_mark

__all__ = ["EXIT_STALLED", "Watch"]

logger = logging.getLogger("django.channels.worker")

#: The status of a worker that ends since it does nothing: EX_SOFTWARE of sysexits.h.
EXIT_STALLED = 70
#: Seconds between two looks at most, and the part of the shortest limit that they are apart.
_EVERY = 1.0
_PART = 0.1
#: Seconds for a worker that does nothing to give back what it has, and then to end in good order.
_GRACE = 20.0
_LAST_GRACE = 2.0


class Watch:
    """Ends what takes too long, and the worker if nothing begins; every limit has its setting.

    Args:
        time_limits: alias -> seconds for one of its consumers.
        stall_limit: seconds for a worker to begin nothing although messages wait for it, or None to let it.
        jobs: what the pool has.
        look: says what a stall is judged by, but for what waits at the broker.
        depth: counts what waits at the broker; asked only while nothing else says that the worker is well.
    """

    def __init__(
        self,
        time_limits: Mapping[str, float],
        stall_limit: float | None,
        jobs: Callable[[], tuple[Job, ...]],
        look: Callable[[], Look],
        depth: Callable[[], int],
    ) -> None:
        self._time_limits, self._jobs, self._look, self._depth = time_limits, jobs, look, depth
        self._stall = Stall(stall_limit) if stall_limit is not None else None
        self._every = min(_EVERY, _PART * min((*time_limits.values(), stall_limit or _EVERY / _PART)))
        self._told: set[int] = set()
        self._stopped = threading.Event()
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start, unless it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="channelcelery-watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def settled(self) -> None:
        """Take note that the worker has given back what it will not run."""
        self._settled.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            for job in self._jobs():
                self._end_if_overdue(job)
            self._end_if_stalled()

    def _end_if_overdue(self, job: Job) -> None:
        limit = self._time_limits[job.key[0]]
        mark = read_mark(*job.claim)
        if mark is None or time.monotonic() - mark.since <= limit or job.claim[1] in self._told:
            return
        if not _is_alive(mark.pid):  # as the event loop is about to notice
            return
        here = mark.pid == os.getpid()
        self._told = {job.claim[1] for job in self._jobs()} & self._told | {job.claim[1]}
        logger.error(
            "the consumer %s has been running on a message of %s for more than %g s (CONFIG['time_limit']): %s",
            mark.consumer or "of a job",
            job.key[1],
            limit,
            "only the pool prefork could end it" if here else "its process is ended, and the message lost",
        )
        if not here:
            _kill(job, mark)

    def _end_if_stalled(self) -> None:
        if self._stall is None:
            return
        look = self._look()
        try:
            stalled = self._stall.is_stalled(look, self._depth, time.monotonic())
        except BrokerUnavailable:
            self._stall.well(time.monotonic())
            return
        if stalled:
            self._stopped.set()
            logger.critical(
                "this worker began nothing for %g s (CONFIG['stall_limit']) although messages wait for it: it ends "
                "with status %d, for its supervisor to start it again",
                self._stall.limit,
                EXIT_STALLED,
            )
            self._end_worker()

    def _end_worker(self) -> None:
        """End it in good order if it can, and otherwise from within, once it gave back what it had not begun."""
        state.should_stop = EXIT_STALLED  # type: ignore[assignment]  # the stubs say None
        self._settled.wait(_GRACE)
        time.sleep(_LAST_GRACE)
        logger.critical("this worker does not even end: it is ended from within")
        logging.shutdown()
        os._exit(EXIT_STALLED)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _kill(job: Job, seen: Mark) -> None:
    # once more: by now it may have come to an end, and its process have gone on to another one
    if read_mark(*job.claim) == seen and not job.settled:
        try:
            os.kill(seen.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
