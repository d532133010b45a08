"""Who has a job: whatever the main process and one of the pool do at the same time, exactly one of them has it."""

import itertools
import mmap
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from channelcelery.worker import claims

#: More than there are places, so that each place is used again.
RACES = 20 * claims.PLACES


def shared(size: int) -> memoryview:
    """Return zeroed memory that forked processes share."""
    return memoryview(mmap.mmap(-1, size))


class Board:
    """Who got which job, in memory that forked processes share, and a starting line for both sides.

    Args:
        races: how many jobs there are.
    """

    def __init__(self, races: int) -> None:
        self.sequences = [claims.new_sequence() for _ in range(races)]
        self.begun = shared(races)
        self.withdrawn = shared(races)
        self._arrived = shared(16).cast("Q")
        self._start = shared(8 * races).cast("Q")

    def begin_all(self) -> None:
        """Do what a process of the pool does."""
        self._race(0, self.begun, claims.begin)

    def withdraw_all(self) -> None:
        """Do what the main process does."""
        self._race(1, self.withdrawn, claims.withdraw)

    def _race(self, side: int, won: memoryview, take: Callable[[int, int], bool]) -> None:
        chance = random.Random(side)
        for number, sequence in enumerate(self.sequences):
            start = self._line_up(side, number) + chance.randrange(1_000)
            while time.monotonic_ns() < start:
                pass
            won[number] = take(number % claims.PLACES, sequence)

    def _line_up(self, side: int, number: int) -> int:
        """Wait for the other side, and return when to start: all processes read the same clock."""
        deadline = time.monotonic() + 60
        self._arrived[side] = number + 1
        while self._arrived[1 - side] <= number or not self._start[number]:
            # in turn, since on a single processor whoever fires the shot is always first
            if number % 2 == side and self._arrived[1 - side] > number:
                self._start[number] = time.monotonic_ns() + 3_000
            elif time.monotonic() > deadline:
                raise AssertionError("the other side is gone")
            else:
                os.sched_yield()
        return self._start[number]


def check(board: Board) -> None:
    """Expect one side to have won each race, and each side to have won some."""
    pairs = list(zip(board.begun, board.withdrawn, strict=True))
    assert pairs.count((1, 1)) == 0, "was run and put back"
    assert pairs.count((0, 0)) == 0, "was neither run nor put back"
    assert pairs.count((1, 0)) > len(pairs) // 100
    assert pairs.count((0, 1)) > len(pairs) // 100


def fork(work: Callable[[], None]) -> int:
    """Do something in a child process, and return its id; its status tells whether it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, where threads of other tests still run
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def join(pids: Sequence[int]) -> None:
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)


def test_given_a_child_process_that_begins_what_is_withdrawn_expect_each_job_on_one_side() -> None:
    board = Board(RACES)
    child = fork(board.begin_all)
    board.withdraw_all()
    join([child])
    check(board)


def test_given_a_thread_that_begins_what_is_withdrawn_expect_each_job_on_one_side(eager_switching: None) -> None:
    board = Board(RACES)
    thread = threading.Thread(target=board.begin_all)
    thread.start()
    board.withdraw_all()
    thread.join()
    check(board)


class Interleaved:
    """Runs calls in threads of their own, one access to the shared marks at a time, in an order that is given.

    Args:
        monkeypatch: puts the marks back afterwards.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls: dict[int, tuple[threading.Semaphore, threading.Semaphore]] = {}
        for name in ("_started", "_running", "_refused", "_withdrawn"):
            monkeypatch.setattr(claims, name, Marks(getattr(claims, name), self._wait))

    def _wait(self) -> None:
        if (semaphores := self._calls.get(threading.get_ident())) is not None:
            paused, go = semaphores
            paused.release()
            go.acquire()

    def run(self, calls: Sequence[Callable[[], bool]], order: Sequence[int]) -> list[bool]:
        """Let the calls of these numbers go on by one access each, then all to their end; return what they return."""
        results: dict[int, bool] = {}
        semaphores = [(threading.Semaphore(0), threading.Semaphore(0)) for _ in calls]

        def work(number: int) -> None:
            self._calls[threading.get_ident()] = semaphores[number]
            results[number] = calls[number]()
            del self._calls[threading.get_ident()]
            semaphores[number][0].release()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
        for thread, (paused, _) in zip(threads, semaphores, strict=True):
            thread.start()
            paused.acquire()
        for number in [*order, *list(range(len(calls))) * 1_000]:
            if number not in results:
                paused, go = semaphores[number]
                go.release()
                paused.acquire()
        for thread in threads:
            thread.join()
        return [results[number] for number in range(len(calls))]


class Marks:
    """Marks of `claims` that wait for their turn at each access."""

    def __init__(self, marks: memoryview, wait: Callable[[], None]) -> None:
        self._marks = marks
        self._wait = wait

    def __getitem__(self, place: int) -> int:
        self._wait()
        return self._marks[place]

    def __setitem__(self, place: int, sequence: int) -> None:
        self._wait()
        self._marks[place] = sequence


def test_given_every_order_of_their_accesses_to_the_marks_expect_each_job_on_one_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interleaved = Interleaved(monkeypatch)
    seen = set()
    for order in itertools.product((0, 1), repeat=7):
        sequence = claims.new_sequence()
        sides = [partial(claims.begin, 0, sequence), partial(claims.withdraw, 0, sequence)]
        begun, withdrawn = interleaved.run(sides, order)
        assert begun is not withdrawn, order
        seen.add(begun)
    assert seen == {True, False}


def test_given_several_child_processes_expect_their_jobs_not_mixed_up() -> None:
    """Given two children with every other place each, Expect what each began to be what could not be withdrawn."""
    sequences = [claims.new_sequence() for _ in range(claims.PLACES)]
    begun = shared(claims.PLACES)

    def begin(places: range) -> None:
        for place in places:
            if place % 3:
                begun[place] = claims.begin(place, sequences[place])

    join([fork(lambda: begin(range(0, claims.PLACES, 2))), fork(lambda: begin(range(1, claims.PLACES, 2)))])
    assert list(begun) == [place % 3 > 0 for place in range(claims.PLACES)]
    assert [claims.withdraw(place, sequences[place]) for place in range(claims.PLACES)] == [not each for each in begun]


@pytest.mark.parametrize("begin_first", [True, False])
def test_given_no_race_expect_whoever_comes_first(begin_first: bool) -> None:
    sequence = claims.new_sequence()
    sides = [claims.begin, claims.withdraw] if begin_first else [claims.withdraw, claims.begin]
    assert [take(0, sequence) for take in sides] == [True, False]


def test_given_a_job_that_was_withdrawn_if_it_arrives_late_expect_the_next_one_in_its_place_untouched() -> None:
    old, new = claims.new_sequence(), claims.new_sequence()
    assert claims.withdraw(0, old)
    assert claims.begin(0, new)
    assert not claims.begin(0, old)
    assert not claims.withdraw(0, new)


def test_given_an_older_job_that_ran_in_the_place_expect_the_next_one_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert claims.begin(0, claims.new_sequence())
    new = claims.new_sequence()
    assert claims.withdraw(0, new)
    assert not claims.begin(0, new)


def test_if_a_process_dies_between_its_marks_expect_the_job_taken_for_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may be lost with its process, but is never run twice."""
    monkeypatch.setattr(claims, "_LIMIT", 0.01)
    sequence = claims.new_sequence()
    claims._started[0] = sequence
    assert not claims.withdraw(0, sequence)


def test_numbers_grow() -> None:
    numbers = [claims.new_sequence() for _ in range(3)]
    assert numbers == sorted(set(numbers))
