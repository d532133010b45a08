"""How many messages travel together."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channelcelery.core.batches import MAX_BATCH, MAX_BATCH_BYTES, cut, gathering


@given(st.lists(st.integers(0, 20).map(bytes)), st.integers(1, 6), st.integers(1, 40))
@example([bytes(20)] * 3, 6, 10)
def test_given_any_items_expect_full_batches_in_order_within_both_bounds(
    items: list[bytes], count: int, size: int
) -> None:
    batches = list(cut(items, count, size))
    assert [item for batch in batches for item in batch] == items
    for batch in batches:
        assert 0 < len(batch) <= count
        # an item above the size travels alone
        assert sum(map(len, batch)) <= size or len(batch) == 1
    for batch, following in itertools.pairwise(batches):
        assert len(batch) == count or sum(map(len, batch)) + len(following[0]) > size, "room was left"


def test_given_no_bounds_expect_those_of_the_project() -> None:
    assert [len(batch) for batch in cut([b"x"] * (MAX_BATCH + 1))] == [MAX_BATCH, 1]
    half = bytes(MAX_BATCH_BYTES // 2)
    assert [len(batch) for batch in cut([half, half, b"x"])] == [2, 1]


@pytest.mark.parametrize(
    ("channel", "left", "seconds"),
    [
        ("websocket.receive", 1, 0),
        ("websocket.receive", 2, 0.001),
        ("websocket.receive", 60, 0.002),
        ("http.request", 1, 0),
        ("websocket.connect", 1, 0.005),
        ("websocket.disconnect", 60, 0.005),
    ],
)
def test_given_messages_that_come_one_by_one_expect_none_to_wait_but_connects(
    channel: str, left: int, seconds: float
) -> None:
    assert gathering(channel, left) == seconds
