"""Answers that wait while the next view runs."""

import threading
import time

from channelcelery.worker.overdue import Overdue
from tests.processes import wait_until


def test_if_the_job_comes_to_it_in_time_expect_no_flush_and_no_wait() -> None:
    """Given an hour that is left, expect that disarming waits for nothing of it."""
    flushed: list[bool] = []
    overdue = Overdue(3_600)
    overdue.arm(lambda: flushed.append(True))
    thread = threading.Thread(target=overdue.disarm, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for its timer"
    assert not flushed


def test_if_the_job_does_not_expect_one_flush_and_another_when_it_is_armed_again() -> None:
    flushed: list[str] = []
    overdue = Overdue(0.01)
    for count in (1, 2):
        overdue.arm(lambda: flushed.append(threading.current_thread().name))
        wait_until(lambda count=count: len(flushed) == count, what="the flush")
        overdue.disarm()
    assert threading.current_thread().name not in flushed


def test_if_a_flush_is_under_way_expect_disarming_to_wait_for_its_end() -> None:
    begun, end, ended = threading.Event(), threading.Event(), threading.Event()

    def flush() -> None:
        begun.set()
        assert end.wait(10)
        ended.set()

    overdue = Overdue(0.001)
    overdue.arm(flush)
    assert begun.wait(10)
    threading.Timer(0.05, end.set).start()
    overdue.disarm()
    assert ended.is_set()


def test_if_nothing_waits_for_a_while_expect_no_thread_until_something_does() -> None:
    """Given a process that has nothing to do, expect that nothing looks; and a flush all the same when it has again."""
    before, overdue = set(threading.enumerate()), Overdue(0.001)
    for _ in range(2):
        flushed = threading.Event()
        overdue.arm(flushed.set)
        assert flushed.wait(10)
        wait_until(lambda: before.issuperset(threading.enumerate()), what="its thread to end")


def test_if_it_is_armed_again_and_again_expect_each_in_its_time() -> None:
    """Given jobs that come to it in time, and one that does not, expect a flush of that alone, and in its time."""
    overdue = Overdue(0.05)
    flushed: list[float] = []
    for _ in range(200):
        armed = time.monotonic()
        overdue.arm(lambda armed=armed: flushed.append(time.monotonic() - armed))
        time.sleep(0.0005)
        overdue.disarm()
        # a machine that has other things to do can make a pause of it
        assert all(after >= 0.05 for after in flushed)
        flushed.clear()
    armed = time.monotonic()
    overdue.arm(lambda: flushed.append(time.monotonic() - armed))
    wait_until(lambda: flushed, what="the flush")
    assert len(flushed) == 1
    assert flushed[0] >= 0.05
