"""Answers that wait while the next view runs."""

import threading

from channelcelery.worker.overdue import Overdue
from tests.processes import wait_until


def test_if_the_job_comes_to_it_in_time_expect_no_flush_and_no_wait() -> None:
    """Given an hour that is left, expect that disarming waits for nothing of it."""
    flushed: list[bool] = []
    overdue = Overdue(3_600, lambda: flushed.append(True))
    overdue.arm()
    thread = threading.Thread(target=overdue.disarm, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for its timer"
    assert not flushed


def test_if_the_job_does_not_expect_one_flush_and_another_when_it_is_armed_again() -> None:
    flushed: list[str] = []
    overdue = Overdue(0.01, lambda: flushed.append(threading.current_thread().name))
    for count in (1, 2):
        overdue.arm()
        wait_until(lambda count=count: len(flushed) == count, what="the flush")
        overdue.disarm()
    assert threading.current_thread().name not in flushed


def test_if_a_flush_is_under_way_expect_disarming_to_wait_for_its_end() -> None:
    begun, end, ended = threading.Event(), threading.Event(), threading.Event()

    def flush() -> None:
        begun.set()
        assert end.wait(10)
        ended.set()

    overdue = Overdue(0.001, flush)
    overdue.arm()
    assert begun.wait(10)
    threading.Timer(0.05, end.set).start()
    overdue.disarm()
    assert ended.is_set()
