"""Which processes a pool loses when `--autoscale` shrinks it: billiard's own pool, its processes and jobs made up."""

from types import SimpleNamespace
from typing import Any

import pytest
from billiard.pool import ApplyResult
from celery.concurrency.asynpool import AsynPool

from channelcelery.worker.autoscale import ChannelsAutoscaler


class Process:
    """A process of the pool."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.is_told = False

    def terminate_controlled(self) -> None:
        """Be told to end."""
        self.is_told = True


class Pool:
    """Celery's pool, around billiard's with some processes.

    Args:
        processes: how many.
    """

    def __init__(self, processes: int) -> None:
        asynpool: Any = AsynPool.__new__(AsynPool)
        asynpool._pool = [Process(pid) for pid in range(1, processes + 1)]
        asynpool._processes = processes
        asynpool._putlock = None
        asynpool._cache = {}
        self._pool = asynpool
        self.shrink = asynpool.shrink
        #: those that have ended, the first of them first
        self.ended: list[int] = []

    @property
    def num_processes(self) -> int:
        """How many there are to be."""
        return int(self._pool._processes)

    def give(self, pid: int) -> Any:
        """Write a job to a process, and return it."""
        job: Any = ApplyResult(self._pool._cache, None)
        job._write_to = next(process for process in self._pool._pool if process.pid == pid)
        return job

    def accept(self, job: Any) -> None:
        """Read that its process has begun a job."""
        job._ack(None, 0.0, job._write_to.pid, None)

    def maintain_pool(self) -> None:
        """Take note of the processes that have ended."""
        processes = self._pool._pool
        self.ended += [process.pid for process in processes if process.is_told]
        processes[:] = [process for process in processes if not process.is_told]


def shrink(pool: Any, least: int = 1) -> None:
    """Shrink a pool in which nothing is counted as to run, long after it grew."""
    autoscaler: Any = ChannelsAutoscaler(pool, 4, least)
    autoscaler._last_scale_up = float("-inf")
    autoscaler.maybe_scale()


def test_given_a_job_that_no_process_has_begun_yet_expect_its_process_left_and_others_ended() -> None:
    """Given a pool of three / If it shrinks to one while the first has just been given a job / Expect that one left."""
    pool = Pool(3)
    job = pool.give(1)
    shrink(pool)
    assert pool.ended == [2, 3]
    assert list(pool._pool._cache.values()) == [job]


def test_given_jobs_that_all_processes_were_just_given_expect_none_ended_until_one_is_done() -> None:
    pool = Pool(3)
    jobs = [pool.give(pid) for pid in (1, 2, 3)]
    shrink(pool)
    pool.accept(jobs[0])
    shrink(pool)
    assert (pool.ended, pool.num_processes) == ([], 3)
    jobs[0]._set(None, (True, None))
    shrink(pool)
    assert pool.ended == [1]


def test_given_load_under_which_some_job_was_always_just_given_expect_the_pool_to_shrink_all_the_same() -> None:
    pool = Pool(4)
    for _ in range(3):
        pool.give(4)
        shrink(pool, least=pool.num_processes - 1)
    assert pool.ended == [1, 2, 3]


def test_given_a_job_that_waits_for_a_process_expect_all_but_the_fewest_ended() -> None:
    pool = Pool(2)
    ApplyResult(pool._pool._cache, None)
    shrink(pool)
    assert pool.ended == [1]


def test_if_the_pool_cannot_shrink_expect_its_jobs_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(2)

    def fail(count: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "shrink", fail)
    with pytest.raises(KeyboardInterrupt):
        shrink(pool)
    assert pool._pool._cache == {}


def test_given_a_pool_of_another_kind_expect_celery_s_own_way() -> None:
    shrunk: list[int] = []
    shrink(SimpleNamespace(num_processes=3, shrink=shrunk.append, maintain_pool=bool))
    assert shrunk == [2]
