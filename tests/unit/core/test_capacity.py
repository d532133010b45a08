"""When one sender takes a channel for full, and when it looks."""

from typing import Any

import pytest

from channelcelery.core.capacity import SAMPLE_INTERVAL, Gauge

#: Any time; the first sample needs no interval.
NOW = 1_000.0
SOON = NOW + SAMPLE_INTERVAL / 2
LATER = NOW + SAMPLE_INTERVAL * 1.01


def gauge(capacity: int = 10, *, depth: int = 0, sent: int = 0) -> Gauge:
    """Return a gauge that sampled a depth at NOW, and sent messages one by one since."""
    made = Gauge(capacity)
    made.sampled(depth, NOW)
    for _ in range(sent):
        made.published(1, 1)
    return made


def test_given_a_channel_that_was_never_looked_at_expect_a_look_before_the_first_send() -> None:
    assert Gauge(10).wants_sample(0.0)
    assert not Gauge(10).full


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        ({}, LATER, False),
        ({"depth": 5}, SOON, False),
        ({"depth": 1}, LATER, True),
        ({"sent": 9}, SOON, False),
        ({"sent": 1}, LATER, True),
        ({"capacity": 1_000, "sent": 9}, LATER, False),
        ({"capacity": 1_000, "sent": 10}, LATER, True),
        # a channel that takes very much is looked at after 64 sends all the same
        ({"capacity": 1_000_000, "sent": 63}, LATER, False),
        ({"capacity": 1_000_000, "sent": 64}, LATER, True),
        # whoever finds it full looks again as soon as it may
        ({"depth": 10}, LATER, True),
        ({"sent": 10}, LATER, True),
        ({"capacity": 1, "sent": 1}, LATER, True),
    ],
    ids=str,
)
def test_when_it_wants_a_look(state: dict[str, Any], now: float, expected: bool) -> None:
    assert gauge(**state).wants_sample(now) is expected


@pytest.mark.parametrize(
    ("depth", "sent", "full"), [(0, 0, False), (9, 0, False), (10, 0, True), (0, 10, True), (4, 5, False), (4, 6, True)]
)
def test_given_a_capacity_of_ten_expect_depth_and_own_sends_counted(depth: int, sent: int, full: bool) -> None:
    assert gauge(depth=depth, sent=sent).full is full


def test_given_a_full_channel_if_it_drains_expect_room_after_the_next_look() -> None:
    full = gauge(depth=6, sent=4)
    assert full.full
    full.sampled(2, LATER)
    assert not full.full
    assert not full.wants_sample(LATER + SAMPLE_INTERVAL / 2)
    # what was sent before the look is in it, and no longer counted beside it
    for _ in range(7):
        full.published(1, 1)
    assert not full.full
    full.published(1, 1)
    assert full.full


def test_given_broker_messages_that_carry_batches_expect_channel_messages_counted() -> None:
    batched = Gauge(10_000)
    batched.sampled(0, NOW)
    for _ in range(50):
        batched.published(640, 10)
    batched.sampled(100, LATER)
    assert batched.depth == pytest.approx(6_400, rel=0.01)
    # and it is known which of them wait: the last ones
    for _ in range(50):
        batched.published(1, 1)
    batched.sampled(100, LATER)
    assert batched.depth == 50 * 64 + 50
    batched.sampled(40, LATER)
    assert batched.depth == 40
    # others sent, too, and as much
    batched.sampled(80, LATER)
    assert batched.depth == 80


def test_given_a_flood_and_then_single_messages_expect_no_more_than_the_capacity() -> None:
    """Expect the size of the last few to say nothing of what waits in front of them."""
    flooded, waiting = Gauge(10_000), 0
    flooded.sampled(0, NOW)
    for number in range(1, 10_000):
        flooded.sampled(number - 1, NOW)
        if flooded.full:
            break
        size = 64 if number <= 150 else 1
        flooded.published(size, 1)
        waiting += size
    assert 10_000 <= waiting < 10_064
