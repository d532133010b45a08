"""What becomes of the messages of reliable channels: decided from attempts and how a run ended, nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.reliable import (
    Again,
    Dead,
    Done,
    Ended,
    Reason,
    Reliable,
    after_run,
    before_run,
    count_redelivery,
    wait_for_end,
)

attempts = st.integers(1, 50)
policies = st.builds(Reliable, max_attempts=attempts)
failures = st.sampled_from([Ended.RAISED, Ended.RETRIED, Ended.TIMED_OUT, Ended.UNSENT])


class TestPolicy:
    @pytest.mark.parametrize(
        "values",
        [
            {"max_attempts": 0},
            {"max_attempts": 10**7},
            {"backoff": -1},
            {"backoff": float("nan")},
            {"max_backoff": float("inf")},
            {"time_limit": 0},
        ],
    )
    def test_if_a_number_is_out_of_range_expect_an_error_that_names_it(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=f"Reliable\\({next(iter(values))}="):
            Reliable(**values)

    @pytest.mark.parametrize(
        "values",
        [
            {"max_attempts": 2.0},
            {"max_attempts": True},
            {"backoff": "1"},
            {"time_limit": False},
            {"outbox": 1},
            {"idempotent": "yes"},
        ],
    )
    def test_if_a_value_is_of_another_kind_expect_an_error_that_names_it(self, values: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=f"Reliable\\({next(iter(values))}="):
            Reliable(**values)

    def test_expect_equal_ones_to_be_equal(self) -> None:
        """By which two consumers of one channel agree."""
        assert Reliable(max_attempts=3) == Reliable(max_attempts=3) != Reliable()
        assert len({Reliable(), Reliable()}) == 1


class TestOneRun:
    @given(policies, attempts)
    def test_if_the_consumer_returned_expect_done(self, policy: Reliable, attempt: int) -> None:
        assert after_run(policy, attempt, Ended.RETURNED) == Done()

    @given(policies, attempts)
    def test_if_it_rejected_the_message_expect_it_dead_at_once(self, policy: Reliable, attempt: int) -> None:
        assert after_run(policy, attempt, Ended.REJECTED) == Dead(Reason.REJECTED)

    @given(policies, attempts, failures, st.none() | st.floats(0, 100))
    def test_if_it_failed_expect_the_next_run_as_long_as_there_is_one(
        self, policy: Reliable, attempt: int, ended: Ended, after: float | None
    ) -> None:
        found = after_run(policy, attempt, ended, after)
        if attempt < policy.max_attempts:
            assert found == Again(attempt + 1, after)
            assert before_run(policy, attempt + 1) is None, "what is sent again may run"
        else:
            assert found == Dead(Reason[ended.name])

    @given(policies, attempts)
    def test_given_more_attempts_than_allowed_expect_none(self, policy: Reliable, attempt: int) -> None:
        found = before_run(policy, attempt)
        assert found == (Dead(Reason.KILLED) if attempt > policy.max_attempts else None)


@given(policies, st.lists(st.sampled_from(["killed", "killed before it ran", *Ended]), max_size=200))
def test_a_message_runs_at_most_so_often_and_ends_well_or_dead(policy: Reliable, story: list[Any]) -> None:
    """Given any sequence of kills and ends / Expect at most `max_attempts` runs, and no end but done or dead."""
    runs, written, counted, redelivered = 0, 1, 0, False
    for happens in story:
        if happens == "killed before it ran":  # prefetched: the broker counts it, we do not
            redelivered = True
            continue
        attempt = counted = count_redelivery(written, counted) if redelivered else written
        if dead := before_run(policy, attempt):
            assert dead.reason is Reason.KILLED
            break
        runs += 1
        if happens == "killed":
            redelivered = True
            continue
        found = after_run(policy, attempt, happens)
        if not isinstance(found, Again):
            break
        written, redelivered = found.attempt, False
    assert runs <= policy.max_attempts


@given(attempts, st.integers(0, 50))
def test_a_redelivery_counts_more_than_all_before(written: int, counted: int) -> None:
    assert count_redelivery(written, counted) > max(written, counted)


class TestWaitingForAnEnd:
    @given(st.floats(1, 1e5), st.integers(1, 10**6), st.one_of(st.none(), st.floats(0.1, 1e5)))
    def test_expect_no_less_than_what_is_set_or_two_runs_take_and_at_most_twice_as_much_each_time(
        self, seconds: float, published: int, limit: float | None
    ) -> None:
        policy = Reliable(time_limit=limit)
        first, one, next_ = (wait_for_end(policy, seconds, number) for number in (1, published, published + 1))
        assert first == max(seconds, 2 * (limit or 0)) <= one <= next_ <= 2 * one
        assert one <= max(first, 86_400)

    def test_expect_it_to_double(self) -> None:
        assert [wait_for_end(Reliable(), 300, number) for number in (1, 2, 3, 20)] == [300, 600, 1200, 86_400]
