"""When a worker is taken for stalled."""

from channelcelery.core.stall import Look, Stall

LIMIT = 8.0


def seconds_until_stalled(looks: list[Look], depths: list[int] | None = None, step: float = 0.5) -> float | None:
    """Look every half second, the last of both for ever, and return when the worker counts as stalled."""
    stall, waiting = Stall(LIMIT), iter(depths or [0])
    depth = 0

    def count() -> int:
        nonlocal depth
        depth = next(waiting, depth)
        return depth

    for number in range(100):
        now = 1_000 + number * step
        if stall.is_stalled(looks[min(number, len(looks) - 1)], count, now):
            return number * step
    return None


def test_given_messages_that_it_received_and_does_not_begin_expect_it_after_the_limit() -> None:
    assert seconds_until_stalled([Look(1, 5, busy=False)]) == LIMIT


def test_given_messages_at_the_broker_and_none_received_expect_it_after_the_limit() -> None:
    assert seconds_until_stalled([Look(1, 0, busy=False)], [3]) == LIMIT


def test_given_nothing_that_waits_expect_it_never() -> None:
    assert seconds_until_stalled([Look(1, 0, busy=False)], [0]) is None


def test_given_a_pool_that_is_busy_expect_it_never() -> None:
    assert seconds_until_stalled([Look(1, 5, busy=True)], [9]) is None


def test_given_something_that_begins_now_and_then_expect_it_never() -> None:
    looks = [Look(number // 10, 5, busy=False) for number in range(100)]
    assert seconds_until_stalled(looks) is None


def test_given_a_queue_that_others_empty_now_and_then_expect_it_never() -> None:
    assert seconds_until_stalled([Look(1, 0, busy=False)], [4, 4, 0] * 100) is None


def test_given_a_process_that_was_stopped_itself_expect_the_time_to_begin_anew() -> None:
    stall, look = Stall(LIMIT), Look(1, 5, busy=False)
    assert not stall.is_stalled(look, lambda: 0, 0.0)
    assert not stall.is_stalled(look, lambda: 0, 100.0)
    assert not stall.is_stalled(look, lambda: 0, 103.0)
