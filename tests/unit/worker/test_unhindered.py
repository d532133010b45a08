"""A clock for how long jobs take that does not count what others of the machine take."""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from channelcelery.worker import unhindered as module
from channelcelery.worker.unhindered import unhindered

told = pytest.mark.skipif(not Path(module._FILE).exists(), reason="the system does not tell")


def test_given_a_wait_for_something_else_expect_it_to_count() -> None:
    begun, before = time.monotonic(), unhindered()
    time.sleep(0.05)
    assert unhindered() - before <= time.monotonic() - begun
    assert unhindered() - before > 0.04


def at_once() -> tuple[float, float, float]:
    """Read this clock, that on the wall, and that of the thread, with no wait for a CPU between any of them."""
    while True:
        begun = time.monotonic()
        read = unhindered(), time.monotonic(), time.thread_time()
        if time.monotonic() - begun < 0.005:
            return read


def spin() -> tuple[float, float, float]:
    """Return how much of half a second without a pause this clock, that on the wall, and that of the thread count."""
    before, begun, used = at_once()
    while time.monotonic() - begun < 0.5:
        pass
    took, wall, cpu = (after - at for after, at in zip(at_once(), (before, begun, used), strict=True))
    return took, wall, cpu


@told
def test_given_a_busy_machine_expect_what_the_thread_did_itself_to_count_and_nothing_else() -> None:
    """Given more processes than CPUs that all want one, Expect much less than the clock on the wall says."""
    burner = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(burner) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.2)
        # more than once: a machine that is a guest itself may be stopped by its host, of which no clock here tells
        found = [spin() for _ in range(5)]
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert median(abs(took - cpu) for took, _, cpu in found) <= 0.05, found
    assert median(wall - took for took, wall, _ in found) > 0.1, found


@told
def test_given_a_process_that_was_forked_expect_its_own_time() -> None:
    unhindered()
    of_parent = module._here.waited
    if (pid := os.fork()) == 0:
        unhindered()
        os._exit(0 if module._here.waited is not of_parent and module._here.waited._file >= 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_given_a_system_that_does_not_tell_expect_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FILE", "/proc/nowhere")
    monkeypatch.setattr(module, "_here", module._Here())
    assert unhindered() == pytest.approx(time.monotonic(), abs=0.1)
