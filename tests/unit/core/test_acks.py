"""Which acknowledgements are sent, held against what AMQP says that they do (AMQP 0-9-1, basic.ack)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core.acks import AckWindow


class Broker:
    """What RabbitMQ does with acknowledgements: an unknown tag is an error that closes the AMQP channel."""

    def __init__(self) -> None:
        self.outstanding: list[int] = []
        self.settled: list[int] = []
        self._tag = 0

    def deliver(self) -> int:
        self._tag += 1
        self.outstanding.append(self._tag)
        return self._tag

    def ack(self, tag: int, multiple: bool) -> None:
        assert tag in self.outstanding, "PRECONDITION_FAILED - unknown delivery tag"
        settled = [each for each in self.outstanding if each == tag or (multiple and each < tag)]
        self.outstanding = [each for each in self.outstanding if each not in settled]
        self.settled += settled


@given(st.data())
def test_given_any_order_of_acceptance_expect_exactly_the_accepted_settled(data: st.DataObject) -> None:
    broker, window, accepted = Broker(), AckWindow(), set[int]()
    for _ in range(data.draw(st.integers(1, 8), "rounds")):
        for _ in range(data.draw(st.integers(0, 6), "deliveries")):
            window.delivered(broker.deliver())
        # twice the same, and what is settled already, are ignored; so is a tag of an earlier connection
        known = [*broker.outstanding, *sorted(accepted), 1_000]
        chosen = data.draw(st.lists(st.sampled_from(known), max_size=12), "accepted")
        for tag, multiple in window.accepted(chosen):
            broker.ack(tag, multiple)
        accepted |= set(chosen) - {1_000}
        assert sorted(broker.settled) == sorted(accepted)
        assert len(window) == len(broker.outstanding)


@pytest.mark.parametrize(
    ("delivered", "accepted", "acks"),
    [
        (3, [1, 2, 3], [(3, True)]),
        (3, [3, 1, 2], [(3, True)]),
        (3, [1], [(1, False)]),
        (3, [2], [(2, False)]),
        (5, [1, 2, 4, 5], [(2, True), (4, False), (5, False)]),
        (0, [1], []),
        (2, [], []),
    ],
)
def test_given_contiguous_ones_expect_one_acknowledgement_for_them(
    delivered: int, accepted: list[int], acks: list[tuple[int, bool]]
) -> None:
    window = AckWindow()
    for tag in range(1, delivered + 1):
        window.delivered(tag)
    assert window.accepted(accepted) == acks


def test_given_a_gap_that_was_settled_before_expect_one_acknowledgement_over_it() -> None:
    window = AckWindow()
    for tag in range(1, 6):
        window.delivered(tag)
    assert window.accepted([2, 4]) == [(2, False), (4, False)]
    assert window.accepted([1, 3, 5]) == [(5, True)]
    assert len(window) == 0
