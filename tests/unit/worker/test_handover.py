"""Handing messages to the pool: bounded by its slots, none lost or run twice, whatever it calls back and when."""

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from channelcelery.core.backlog import MAX_JOB, Delivery, Job
from channelcelery.core.outcome import Outcome
from channelcelery.worker import claims
from channelcelery.worker.handover import Handover
from tests.processes import wait_until
from tests.unit.worker.pools import KEY, FakePool

OTHER = ("default", "other")


def numbered(count: int, start: int = 0) -> tuple[bytes, ...]:
    """Return distinct items."""
    return tuple(b"%d" % number for number in range(start, start + count))


class TestSlots:
    def test_given_a_job_that_is_done_expect_it_to_let_go_of_what_the_pool_gave_for_it(self) -> None:
        """That calls back with the job: the two would be garbage that only a search of the whole heap finds."""
        pool = FakePool()
        pool.receive(b"1")
        (job,) = pool.jobs
        job.handle = lambda: job
        pool.run(job)
        assert job.handle is None

    def test_given_more_messages_than_slots_expect_no_more_jobs_under_way(self) -> None:
        pool = FakePool(slots=3)
        pool.receive(*numbered(50))
        assert [job.items for job in pool.jobs] == [(b"0",), (b"1",), (b"2",)]
        assert pool.run_all() == list(numbered(50))
        assert pool.most == 3

    def test_given_a_pool_that_grows_and_shrinks_expect_its_present_slots_counted(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(*numbered(20))
        pool.slots = 4
        pool.run(pool.jobs[0], seconds=1)
        assert len(pool.jobs) == 4
        pool.slots = 1
        pool.run(pool.jobs[0], seconds=1)
        assert len(pool.jobs) == 3

    def test_given_a_free_slot_expect_a_message_handed_over_at_once(self) -> None:
        pool = FakePool()
        pool.receive(b"1")
        assert [job.items for job in pool.jobs] == [(b"1",)]

    def test_given_a_cheap_consumer_expect_what_waits_gathered_into_one_job(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(b"first")
        pool.receive(*numbered(30))
        pool.run(pool.jobs[0], seconds=0.0005)
        assert pool.jobs[0].items == numbered(20)

    def test_given_two_channels_expect_them_served_in_turn(self) -> None:
        """Item 53."""
        pool = FakePool(slots=1)
        pool.receive(*numbered(3))
        pool.receive(b"other", key=OTHER)
        assert pool.run_all(seconds=1) == [b"0", b"1", b"other", b"2"]

    def test_before_it_is_opened_and_after_it_is_closed_nothing_is_handed_over(self) -> None:
        pool = FakePool()
        pool.handover.close()
        pool.receive(b"1")
        assert (pool.jobs, pool.handover.has_room) == ([], False)
        pool.handover.open()
        assert [job.items for job in pool.jobs] == [(b"1",)]


class TestRoom:
    def test_given_nothing_known_expect_two_messages_for_each_slot(self) -> None:
        pool = FakePool(slots=2)
        assert held(pool) == 2 + 4

    def test_given_cheap_consumers_expect_more_held_but_never_more_than_the_largest_job_for_each_slot(self) -> None:
        pool = FakePool(slots=2)
        pool.receive(b"1")
        pool.run(pool.jobs[0], seconds=0.001)
        assert held(pool) == 2 + 2 * 2 * 10
        cheap = FakePool(slots=2)
        cheap.receive(b"1")
        cheap.run(cheap.jobs[0], seconds=0.0)
        assert held(cheap) == 2 + 2 * MAX_JOB

    def test_if_what_waits_is_handed_over_then_there_is_room_again(self) -> None:
        pool = FakePool(slots=2)
        held(pool)
        assert not pool.handover.has_room
        pool.run(pool.jobs[0], seconds=1)
        assert pool.handover.has_room


def held(pool: FakePool) -> int:
    """Take messages as a source does, while there is room; return how many were taken."""
    taken = 0
    while pool.handover.has_room:
        pool.receive(b"%d" % taken)
        taken += 1
        assert taken < 10_000
    return taken


class TestAcknowledging:
    def test_expect_it_before_the_pool_can_begin_it_and_not_while_it_waits(self) -> None:
        told: list[tuple[Delivery, ...]] = []
        before: list[int] = []
        handover = Handover(lambda job: before.append(len(told)), lambda: 1, told.append)
        handover.open()
        first, second = Delivery(1), Delivery(2)
        handover.received(KEY, (b"1",), first)
        handover.received(KEY, (b"2",), second)
        assert (told, before) == ([(first,)], [1])
        assert (first.owned, second.owned) == (True, False)

    def test_given_a_job_of_several_deliveries_expect_each_once(self) -> None:
        pool = FakePool(slots=1)
        pool.run(_first(pool))
        deliveries = [pool.receive(*numbered(2, start)) for start in (0, 10, 20)]
        pool.run_all()
        assert pool.acknowledged[1:] == deliveries

    def test_given_a_delivery_cut_into_several_jobs_expect_it_once_with_the_first(self) -> None:
        pool = FakePool(slots=2)
        delivery = pool.receive(*numbered(2))
        pool.accept(pool.jobs[1])
        assert pool.acknowledged == [delivery]
        pool.accept(pool.jobs[0])
        assert pool.acknowledged == [delivery]

    def test_given_messages_that_are_ours_already_expect_nothing_told(self) -> None:
        pool = FakePool()
        pool.receive(b"1", owned=True)
        pool.run_all()
        assert pool.acknowledged == []

    def test_if_the_end_is_heard_of_before_the_beginning_expect_it_once(self) -> None:
        pool = FakePool()
        delivery = pool.receive(b"1")
        job = pool.jobs[0]
        pool.begin(job)
        pool.finish(job)
        assert pool.acknowledged == [delivery]
        pool.handover.accepted(job)
        assert pool.acknowledged == [delivery]
        assert pool.handover.counts["ran"] == 1


def _first(pool: FakePool) -> Job:
    pool.receive(b"first")
    return pool.jobs[0]


class TestCounting:
    def test_given_outcomes_expect_their_sums(self) -> None:
        pool = FakePool(slots=2)
        pool.receive(*numbered(2))
        first, second = pool.jobs
        for job in (first, second):
            pool.accept(job)
        pool.handover.finished(first, Outcome(3, 1, {"expired": 2}))
        pool.handover.finished(second, Outcome(2, 0, {"expired": 1, "channel_full": 4}))
        assert pool.handover.counts == Counter(ran=5, failed=1, expired=3, channel_full=4)

    def test_if_a_process_dies_with_its_job_expect_it_counted_logged_and_the_slot_free(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        pool = FakePool(slots=1)
        pool.receive(b"1")
        pool.receive(b"2")
        pool.begin(pool.jobs[0])
        pool.die(pool.jobs[0], begun=1)
        assert pool.handover.counts["lost"] == 1
        assert pool.abandoned == [b"1"]
        assert "a message of chat was lost with the process that ran project.consume" in caplog.text
        assert [job.items for job in pool.jobs] == [(b"2",)]

    def test_if_a_process_dies_in_the_middle_of_a_job_expect_what_had_not_begun_to_run_next_and_in_order(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(b"first")
        pool.receive(*numbered(30))
        pool.run(pool.jobs[0], seconds=0.001)
        assert pool.jobs[0].items == numbered(10)
        pool.begin(pool.jobs[0])
        pool.die(pool.jobs[0], begun=4)
        assert pool.abandoned == [b"3"]
        assert (pool.handover.counts["lost"], pool.handover.waiting + len(pool.jobs[0].items)) == (1, 26)
        assert pool.run_all() == [b"first", *numbered(30)]

    def test_if_a_process_dies_before_its_first_message_expect_one_lost_so_that_none_goes_round_for_ever(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(b"1")
        (job,) = pool.jobs
        pool.begin(job)
        pool.handover.finished(job, None)
        assert (pool.abandoned, pool.handover.waiting, pool.handover.jobs) == ([b"1"], 0, ())


class TestClosing:
    def test_given_a_job_that_was_not_begun_expect_it_taken_back_in_front(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(*numbered(3), owned=True)
        (job,) = pool.jobs
        pool.handover.close()
        assert not pool.begin(job)
        assert pool.handover.drain() == {KEY: list(numbered(3))}

    def test_given_several_jobs_that_were_not_begun_expect_them_back_in_order(self) -> None:
        pool = FakePool(slots=40)
        pool.receive(*numbered(60), owned=True)
        pool.handover.close()
        assert pool.handover.drain() == {KEY: list(numbered(60))}

    def test_given_a_job_that_has_begun_unheard_of_expect_it_owned_acknowledged_and_run_once(self) -> None:
        pool = FakePool(slots=2)
        begun, not_begun = pool.receive(b"1"), pool.receive(b"2")
        pool.begin(pool.jobs[0])
        pool.handover.close()
        pool.handover.forget_unowned()
        assert pool.acknowledged == [begun, not_begun]
        assert pool.handover.drain() == {KEY: [b"2"]}, "which is ours, too, and goes back"
        pool.finish(pool.jobs[0])
        assert pool.handover.counts["ran"] == 1

    def test_expect_both_the_begun_and_the_withdrawn_kept_in_the_pool_and_the_accepted_left_alone(self) -> None:
        pool = FakePool(slots=3)
        pool.receive(*numbered(3))
        accepted, begun, waiting = pool.jobs
        pool.accept(accepted)
        pool.begin(begun)
        pool.handover.close()
        assert sorted(pool.kept, key=pool.jobs.index) == [begun, waiting]

    def test_given_a_delivery_of_which_one_part_has_begun_expect_the_rest_to_be_ours(self) -> None:
        pool = FakePool(slots=2)
        pool.receive(*numbered(4))
        pool.begin(pool.jobs[0])
        pool.handover.close()
        pool.handover.forget_unowned()
        assert pool.handover.drain() == {KEY: [b"1", b"2", b"3"]}

    def test_given_messages_that_the_broker_delivers_again_expect_them_forgotten(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(b"handed over")
        pool.receive(*numbered(2))
        pool.receive(b"ours", owned=True)
        pool.handover.close()
        pool.handover.forget_unowned()
        pool.handover.open()
        pool.jobs.pop(0)
        assert pool.run_all() == [b"handed over", b"ours"]

    @pytest.mark.parametrize("outcome", [None, Outcome(ran=1)])
    def test_if_the_pool_calls_back_for_a_job_that_was_taken_back_expect_nothing_changed(
        self, outcome: Outcome | None
    ) -> None:
        pool = FakePool(slots=1)
        told = [pool.receive(b"1")]
        pool.receive(b"2")
        late = pool.jobs.pop()
        pool.handover.close()
        pool.handover.open()
        (again,) = pool.jobs
        for _ in range(2):
            pool.handover.accepted(late)
            pool.handover.finished(late, outcome)
        assert pool.jobs == [again], "its slot was not given away twice"
        assert not pool.handover.counts
        assert pool.acknowledged == told
        assert pool.run_all() == [b"1", b"2"]

    def test_if_closed_over_and_over_expect_a_place_for_every_later_job(self) -> None:
        pool = FakePool(slots=2)
        pool.receive(*numbered(2), owned=True)
        for _ in range(claims.PLACES + 1):
            pool.jobs.clear()
            pool.handover.close()
            pool.handover.open()
        assert pool.run_all() == [b"0", b"1"]

    def test_given_another_worker_in_the_process_before_expect_its_marks_not_to_count(self) -> None:
        for _ in range(3):
            pool = FakePool(slots=1)
            pool.receive(b"1", owned=True)
            pool.handover.close()
            pool.jobs.clear()
            pool.handover.open()
            assert pool.run_all() == [b"1"]


class TestSolo:
    def test_given_a_pool_that_runs_inline_expect_no_recursion_and_the_order_kept(self) -> None:
        ran: list[bytes] = []
        depth = deepest = 0

        def submit(job: Job) -> None:
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            assert claims.begin(*job.claim)
            handover.accepted(job)
            ran.extend(job.items)
            handover.finished(job, Outcome(ran=len(job.items), seconds=1.0))
            depth -= 1

        handover = Handover(submit, lambda: 1, lambda deliveries: None)
        handover.received(KEY, numbered(5_000), Delivery(1))
        handover.open()
        assert ran == list(numbered(5_000))
        assert deepest == 1


class TestThreads:
    def test_given_threads_that_call_in_by_themselves_expect_each_message_once_and_the_slots_kept(
        self, eager_switching: None
    ) -> None:
        """Without an event loop the pool's threads call straight into it."""
        ran: list[bytes] = []
        under_way: list[int] = []
        busy = Counter[str]()
        guard = threading.Lock()

        def work(job: Job) -> None:
            with guard:
                busy["jobs"] += 1
                under_way.append(busy["jobs"])
            assert claims.begin(*job.claim)
            handover.accepted(job)
            with guard:
                ran.extend(job.items)
                busy["jobs"] -= 1
            handover.finished(job, Outcome(ran=len(job.items), seconds=0.01))

        # it has more threads than the hand-over knows of slots
        with ThreadPoolExecutor(16) as executor:
            handover = Handover(lambda job: futures.append(executor.submit(work, job)), lambda: 4, lambda _: None)
            futures: list[Future[None]] = []
            handover.open()
            for number in range(3_000):
                handover.received(KEY, (b"%d" % number,), Delivery(number))
            wait_until(lambda: handover.counts["ran"] == 3_000, what="every message to have run")
        assert [future.exception() for future in futures] == [None] * 3_000
        assert sorted(ran) == sorted(numbered(3_000))
        assert max(under_way) <= 4


class HandoverMachine(RuleBasedStateMachine):
    """Anything that a broker and a pool may do, in any order: each message runs once all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = FakePool(slots=2)
        self.begun: list[Job] = []
        #: the pool forgot them, but one may still be in a pipe
        self.stale: list[Job] = []
        self.deliveries: list[tuple[Delivery, tuple[bytes, ...]]] = []
        self.sent = 0
        self.open = True

    @rule(count=st.integers(1, 6), owned=st.booleans(), key=st.sampled_from([KEY, OTHER]))
    @precondition(lambda self: self.open)
    def receive(self, count: int, owned: bool, key: tuple[str, str]) -> None:
        items = numbered(count, self.sent)
        self.sent += count
        delivery = self.pool.receive(*items, key=key, owned=owned)
        self.deliveries.append((delivery, items))

    @rule(data=st.data())
    @precondition(lambda self: self.waiting())
    def begin(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.waiting()))
        assert self.pool.begin(job)
        self.begun.append(job)

    @rule(data=st.data())
    @precondition(lambda self: self.begun)
    def accepted(self, data: st.DataObject) -> None:
        self.pool.handover.accepted(data.draw(st.sampled_from(self.begun)))

    @rule(data=st.data(), seconds=st.sampled_from([0.0, 0.002, 1.0]))
    @precondition(lambda self: self.begun)
    def finished(self, data: st.DataObject, seconds: float) -> None:
        job = data.draw(st.sampled_from(self.begun))
        self.begun.remove(job)
        self.pool.finish(job, seconds)

    @rule(data=st.data())
    @precondition(lambda self: self.begun)
    def dies(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.begun))
        self.begun.remove(job)
        self.pool.die(job, data.draw(st.integers(1, len(job.items))))

    @rule()
    @precondition(lambda self: self.open)
    def lose_the_connection(self) -> None:
        self.open = False
        self.pool.handover.close()
        self.stale += self.waiting()
        self.pool.jobs = list(self.begun)
        self.pool.handover.forget_unowned()

    @rule()
    @precondition(lambda self: not self.open)
    def connect_again(self) -> None:
        self.open = True
        again = [(delivery, items) for delivery, items in self.deliveries if not delivery.owned]
        self.deliveries = [pair for pair in self.deliveries if pair not in again]
        self.pool.handover.open()
        for _, items in again:
            # a broker knows nothing of channels, and delivers whole messages
            self.deliveries.append((self.pool.receive(*items), items))

    @rule(data=st.data())
    @precondition(lambda self: self.stale)
    def a_forgotten_job_arrives(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.stale))
        assert not self.pool.begin(job)
        self.pool.handover.finished(job, None)

    @invariant()
    def never_more_jobs_than_slots_and_none_twice(self) -> None:
        assert len(self.pool.jobs) <= 2
        assert len(self.pool.ran) == len(set(self.pool.ran))
        assert len(self.pool.acknowledged) == len(set(map(id, self.pool.acknowledged)))

    def teardown(self) -> None:
        if not self.open:
            self.connect_again()
        while self.pool.jobs:
            job = self.pool.jobs[0]
            if job in self.begun:
                self.pool.finish(job)
            else:
                self.pool.run(job)
        assert sorted(self.pool.ran) == sorted(numbered(self.sent))

    def waiting(self) -> list[Job]:
        return [job for job in self.pool.jobs if job not in self.begun]


HandoverMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestHandover = HandoverMachine.TestCase
