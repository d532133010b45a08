"""Celery's autoscaler, which counts tasks, with the messages of channels counted too."""

from collections.abc import Callable
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.worker.autoscale import Autoscaler

from channelcelery.worker.reliable_stop import is_given

__all__ = ["ChannelsAutoscaler"]


class ChannelsAutoscaler(Autoscaler):
    """Lets a pool grow and shrink with `--autoscale` by tasks and by messages; `Preflight` puts it in place."""

    #: Counts the messages that run or wait in this worker; set by the step that reads them.
    messages: Callable[[], int] = staticmethod(lambda: 0)

    @property
    def qty(self) -> int:
        """How much there is to run, of which Celery makes the number of processes."""
        return int(super().qty) + self.messages()

    def _shrink(self, n: int) -> None:
        """End processes that are idle, and none that was given a job and has not been heard to begin it.

        Billiard asks each job in its table where it runs, which only those know that were accepted. Another process
        would pass for idle and be ended in the middle of a consumer. There may be one at any moment under load, so they
        are left out rather than waited for: the others end.
        """
        pool = getattr(self.pool, "_pool", None)
        # such a pool has no threads, so that nothing else looks at its table meanwhile; another kind does not say
        jobs: dict[Any, Any] = pool._cache if isinstance(pool, AsynPool) else {}  # type: ignore[attr-defined]
        jobs[_Given] = _Given([job._write_to.pid for job in jobs.values() if is_given(job)])
        try:
            super()._shrink(n)  # type: ignore[misc]  # not in the stubs
        finally:
            del jobs[_Given]


class _Given:
    """Stands in billiard's table for all jobs that were given and not accepted."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids

    def worker_pids(self) -> list[int]:
        """Return the processes that have them, as a job does."""
        return self._pids
