"""What waits in a worker, held against the plainest model: a list for each channel, and whose turn it is."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from channelcelery.core import backlog
from channelcelery.core.backlog import MAX_JOB, MAX_JOB_BYTES, Backlog, Delivery, Job, JobSizer, Key

KEYS: list[Key] = [("default", "a"), ("default", "b"), ("other", "a")]


def fixed(size: int) -> JobSizer:
    """Return a sizer that gives every channel of KEYS jobs of one size."""
    return JobSizer(dict.fromkeys(KEYS, backlog.JOB_SECONDS / (size + 0.5)))


class BacklogMachine(RuleBasedStateMachine):
    """Adds, takes, puts back and forgets at random, and knows what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.waiting: dict[Key, list[tuple[bytes, Delivery]]] = {key: [] for key in KEYS}
        self.turn: list[Key] = []
        self.taken: list[Job] = []
        self.number = 0

    @rule(key=st.sampled_from(KEYS), sizes=st.lists(st.integers(0, 50), min_size=1, max_size=5), owned=st.booleans())
    def add(self, key: Key, sizes: list[int], owned: bool) -> None:
        items = []
        for size in sizes:
            self.number += 1
            items.append(b"%06d" % self.number + bytes(size))
        delivery = Delivery(self.number, owned=owned)
        self.backlog.add(key, tuple(items), delivery)
        self.waiting[key] += [(item, delivery) for item in items]
        if key not in self.turn:
            self.turn.append(key)

    @rule(size=st.integers(1, 4))
    def take(self, size: int) -> None:
        job = self.backlog.take(fixed(size))
        if not self.turn:
            assert job is None
            return
        assert job is not None
        key = self.turn.pop(0)
        expected, self.waiting[key] = self.waiting[key][: len(job.items)], self.waiting[key][len(job.items) :]
        if self.waiting[key]:
            self.turn.append(key)
            assert len(job.items) == size, "as many as fit"
        assert 1 <= len(job.items) <= size
        assert (job.key, list(zip(job.items, job.deliveries, strict=True))) == (key, expected)
        self.taken.append(job)

    @precondition(lambda self: self.taken)
    @rule()
    def put_the_last_one_back(self) -> None:
        job = self.taken.pop()
        self.backlog.put_back(job)
        self.waiting[job.key][:0] = zip(job.items, job.deliveries, strict=True)
        if job.key not in self.turn:
            self.turn.append(job.key)

    @precondition(lambda self: self.taken)
    @rule()
    def own_one(self) -> None:
        for delivery in self.taken.pop().deliveries:
            delivery.owned = True

    @rule()
    def forget_unowned(self) -> None:
        self.backlog.forget_unowned()
        for key in KEYS:
            self.waiting[key] = [pair for pair in self.waiting[key] if pair[1].owned]
        self.turn = [key for key in self.turn if self.waiting[key]]

    @rule()
    def drain(self) -> None:
        assert self.backlog.drain() == {key: [item for item, _ in self.waiting[key]] for key in self.turn}
        self.waiting, self.turn = {key: [] for key in KEYS}, []

    @invariant()
    def all_are_counted(self) -> None:
        assert len(self.backlog) == sum(map(len, self.waiting.values()))


BacklogMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestBacklog = BacklogMachine.TestCase


def test_given_one_busy_channel_expect_every_other_one_served_between_two_of_its_jobs() -> None:
    waiting, sizer = Backlog(), fixed(2)
    waiting.add(KEYS[0], (b"1", b"2", b"3", b"4", b"5"), Delivery(1))
    waiting.add(KEYS[1], (b"x",), Delivery(2))
    waiting.add(KEYS[2], (b"y",), Delivery(3))
    jobs = []
    while (job := waiting.take(sizer)) is not None:
        jobs.append((job.key[1], job.items))
    assert jobs == [("a", (b"1", b"2")), ("b", (b"x",)), ("a", (b"y",)), ("a", (b"3", b"4")), ("a", (b"5",))]


def test_given_large_messages_expect_jobs_bounded_in_bytes_and_a_larger_one_alone() -> None:
    waiting, sizer, half = Backlog(), fixed(MAX_JOB), bytes(MAX_JOB_BYTES // 2)
    waiting.add(KEYS[0], (half, half, b"x", bytes(MAX_JOB_BYTES + 1), b"y"), Delivery(1))
    sizes = []
    while (job := waiting.take(sizer)) is not None:
        sizes.append([len(item) for item in job.items])
    assert sizes == [[len(half), len(half)], [1], [MAX_JOB_BYTES + 1], [1]]


class TestJobSizer:
    @pytest.mark.parametrize(
        ("messages", "seconds", "size"),
        [
            (1, 0.0, MAX_JOB),
            (1, 0.000_01, MAX_JOB),
            (1, 0.001, 10),
            (10, 0.010, 10),
            (1, 0.006, 1),
            (1, 30.0, 1),
            (0, 30.0, 1),
        ],
    )
    def test_given_one_job_expect_as_many_messages_as_take_ten_milliseconds(
        self, messages: int, seconds: float, size: int
    ) -> None:
        sizer = JobSizer()
        assert sizer.size(KEYS[0]) == 1, "nothing is known yet"
        sizer.learn(KEYS[0], messages, seconds)
        assert sizer.size(KEYS[0]) == size
        assert sizer.size(KEYS[1]) == 1

    def test_given_a_consumer_that_becomes_slow_expect_small_jobs_after_a_few(self) -> None:
        sizer = JobSizer()
        sizer.learn(KEYS[0], 100, 0.01)
        sizes = [sizer.size(KEYS[0])]
        for _ in range(3):
            sizer.learn(KEYS[0], 1, 0.01)
            sizes.append(sizer.size(KEYS[0]))
        assert sizes == [100, 3, 1, 1]

    def test_given_one_slow_job_among_fast_ones_expect_the_average_to_follow_slowly(self) -> None:
        sizer = JobSizer()
        for seconds in (0.001, 0.002):
            sizer.learn(KEYS[0], 1, seconds)
        assert sizer.costs[KEYS[0]] == pytest.approx(0.0013)

    def test_given_jobs_that_ran_nothing_expect_them_ignored(self) -> None:
        sizer = JobSizer()
        sizer.learn(KEYS[0], 1, 0.001)
        sizer.learn(KEYS[0], 0, 100.0)
        assert sizer.size(KEYS[0]) == 10

    @pytest.mark.parametrize(
        ("seconds", "share"), [(None, 20), (0.0, 512), (0.000_05, 512), (0.003, 64), (0.01, 20), (0.1, 4), (30.0, 4)]
    )
    def test_a_share_is_what_the_whole_pool_runs_in_50_ms_or_one_message_for_each_slot(
        self, seconds: float | None, share: int
    ) -> None:
        sizer = JobSizer()
        if seconds is not None:
            sizer.learn(KEYS[0], 1, seconds)
        assert sizer.share(KEYS[0], 4) == share


class TestRoom:
    """How much of two channels, cheap and dear, waits before nothing more is taken for two slots."""

    @pytest.mark.parametrize(
        ("cheap", "dear", "room"),
        [(0, 3, True), (0, 4, False), (39, 0, True), (40, 0, False), (10, 2, True), (10, 3, False), (20, 2, False)],
    )
    def test_it_is_two_jobs_for_each_slot_whatever_they_are_of(self, cheap: int, dear: int, room: bool) -> None:
        waiting, sizer = Backlog(), JobSizer({KEYS[0]: backlog.JOB_SECONDS / 10.5, KEYS[1]: 1.0})
        for key, count in zip(KEYS, (cheap, dear), strict=False):
            waiting.add(key, (b"x",) * count, Delivery(1))
        assert waiting.has_room(sizer, 2) is room
