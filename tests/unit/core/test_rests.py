"""Whoever does not answer is left alone, for longer each time, until it answers."""

from channelcelery.core.rests import Rests

BOTH = ("broker", "orders")


def test_given_failures_expect_rests_of_a_second_and_then_longer_up_to_ten() -> None:
    rests, now, seconds = Rests(), 100.0, []
    for _ in range(6):
        rests.failed("broker", now)
        since = now
        while rests.is_resting(BOTH, now):
            now += 0.5
        seconds.append(now - since)
    assert seconds == [1, 2, 4, 8, 10, 10]


def test_given_an_answer_expect_no_rest_and_the_next_to_be_short_again() -> None:
    rests = Rests()
    for _ in range(5):
        rests.failed("broker", 100)
    rests.well(BOTH)
    assert rests.may_try(BOTH, 100)
    rests.failed("broker", 100)
    assert rests.may_try(BOTH, 101)


def test_given_one_that_rests_expect_no_other_to() -> None:
    rests = Rests()
    rests.failed("orders", 100)
    assert not rests.may_try(BOTH, 100.5)
    assert rests.may_try(("broker", "mails"), 100.5)


def test_when_a_rest_is_over_expect_one_to_try_while_the_others_wait_for_it() -> None:
    rests = Rests()
    rests.failed("broker", 100)
    assert [rests.may_try(BOTH, 101), rests.may_try(BOTH, 101), rests.may_try(BOTH, 110)] == [True, False, False]
    assert rests.may_try(BOTH, 111), "whoever tried is gone without a word"
