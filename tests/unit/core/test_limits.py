"""Counting what clients open and send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channelcelery.core import limits
from channelcelery.core.limits import BURST, Door, Networks, Pace, Rate, Refusal, counted


def door(connections: int = 10, address_connections: int = 3, rate: float = 1000, address_rate: float = 1000) -> Door:
    return Door(connections, address_connections, rate, address_rate)


def test_given_too_many_connections_expect_the_next_one_to_be_turned_away_until_one_leaves() -> None:
    it = door(connections=2)
    assert [it.enter(None, 0.0) for _ in range(3)] == [None, None, Refusal.CONNECTIONS]
    it.leave(None)
    assert (it.enter(None, 0.0), it.open) == (None, 2)


def test_given_too_many_from_one_address_expect_others_to_get_in() -> None:
    it = door(address_connections=2)
    assert [it.enter("a", 0.0) for _ in range(3)] == [None, None, Refusal.ADDRESS_CONNECTIONS]
    assert it.enter("b", 0.0) is it.enter(None, 0.0) is None
    it.leave("a")
    assert it.enter("a", 0.0) is None


def test_given_too_many_a_second_expect_more_later() -> None:
    it = door(connections=100, rate=5)
    answers = [it.enter(None, 7.0) for _ in range(12)]
    assert answers == [None] * 10 + [Refusal.CONNECT_RATE] * 2
    assert [it.enter(None, 7.41) for _ in range(3)] == [None, None, Refusal.CONNECT_RATE]


def test_given_too_many_a_second_from_one_address_expect_nothing_of_what_others_have_to_be_used_up() -> None:
    it = door(100, 100, rate=5, address_rate=2)
    assert [it.enter("a", 0.0) for _ in range(50)] == [None] * 4 + [Refusal.ADDRESS_CONNECT_RATE] * 46
    assert [it.enter("b", 0.0) for _ in range(4)] == [None] * 4


def test_given_a_rate_below_one_expect_one_to_pass_all_the_same() -> None:
    rate = Rate(0.1)
    assert [rate.admits(0.0), rate.admits(5.0), rate.admits(10.0)] == [True, False, True]


def test_given_many_addresses_expect_quiet_ones_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channelcelery.core.limits._REMEMBERED", 10)
    it = door(connections=1000)
    assert it.enter("stays", 0.0) is None
    for number in range(500):
        assert it.enter(f"a{number}", float(number)) is None
        it.leave(f"a{number}")
    assert len(it._addresses) <= 12
    it.leave("stays")


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 0.5)), max_size=200))
def test_given_any_messages_expect_no_more_than_the_rate_and_a_burst_to_pass(messages: list[tuple[int, float]]) -> None:
    pace, now, size, waited = Pace(10, 1000), 0.0, 0, 0.0
    for number, (each, pause) in enumerate(messages, 1):
        size += each
        waited = pace.take(each, now)
        now += waited
        # what the socket may read next was paid for, but for the burst
        assert number / 10 <= now + BURST + 1e-6
        assert size / 1000 <= now + BURST + 1e-6
        now += pause


def test_given_messages_below_the_rate_expect_no_wait() -> None:
    pace = Pace(10, 1000)
    assert [pace.take(100, now / 10) for now in range(100)] == [0.0] * 100


@pytest.mark.parametrize(
    ("address", "stands"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2600:1:2:3:4:5:6:7", "2600:1:2:3::/64"),
        ("2600:1:2:3::1", "2600:1:2:3::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("10.1.2.3", None),
        ("192.168.0.1", None),
        ("fe80::1%eth0", None),
        ("fd00::1", None),
        ("", None),
        (None, None),
        ("no address", None),
        ("8.8.8.8:80", None),
    ],
)
def test_what_stands_for_an_address(address: str | None, stands: str | None) -> None:
    assert counted(address) == stands


def test_given_a_text_of_a_client_for_an_address_expect_it_not_kept() -> None:
    """A proxy that is believed whatever it says hands on what a client wrote."""
    kept = limits._counted.cache_info().currsize
    assert counted("x" * 60_000) is None
    assert limits._counted.cache_info().currsize == kept


def test_listed_proxies() -> None:
    listed = Networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])
    assert all(address in listed for address in ("127.0.0.1", "10.9.9.9", "fd00::5"))
    assert not any(address in listed for address in ("127.0.0.2", "8.8.8.8", None, "", "unix:", "10.0.0.1, 8.8.8.8"))
    assert None in Networks(["*"])
    assert "8.8.8.8" not in Networks([])
