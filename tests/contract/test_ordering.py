"""Whose turn it is among the messages of a connection (Channels 1.x, items 155 to 172), over memory and Redis."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from channelcelery.core.ordering import (
    CLOSED_EXPIRY,
    LAST,
    LAST_CHANNEL,
    MAX_PARKED,
    Arrival,
    Entered,
    Left,
    Parked,
    Verdict,
)
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers import redis_order
from channelcelery.layers.memory_order import MemoryOrderStore
from channelcelery.layers.order import OrderStore
from channelcelery.layers.redis_order import RedisOrderStore
from tests.contract.order_backends import STALL, Memory, OnRedis, Twin, address
from tests.contract.reply_backends import PREFIX, config_of
from tests.processes import wait_until

RECEIVE = "websocket.receive"
ALL = ("websocket.connect", RECEIVE, LAST_CHANNEL)
RUN, FREE, PARKED, LATE, FULL = (Entered(verdict) for verdict in Verdict)


@pytest.fixture(params=["memory", "redis"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    """An empty store in which nothing waits for too long unless a test says so."""
    if request.param == "memory":
        yield Memory()
        return
    on_redis = OnRedis(request.getfixturevalue("redis_url"))
    yield on_redis
    on_redis.end()


def message(number: int, *, slight: bool = False, item: bytes = b"", channel: str | None = None) -> Arrival:
    """A message as an interface sends it: 0 is the connect."""
    channel = channel or ("websocket.connect" if number == 0 else RECEIVE)
    return Arrival(number, channel, item or b"item %d" % number, slight)


def disconnect(number: int, *, slight: bool = False) -> Arrival:
    return message(number, channel=LAST_CHANNEL, slight=slight)


def parked(arrival: Arrival) -> Parked:
    return Parked(arrival.number, arrival.channel, arrival.item)


class Line:
    """One connection of a store."""

    def __init__(self, twin: Twin, name: str = "t") -> None:
        self.twin, self.token = twin, name

    def enter(self, *arrivals: Arrival, **options: Any) -> Any:
        """Let messages come, and return what became of the last."""
        return [self.twin.store.enter(address(self.token), arrival, **options) for arrival in arrivals][-1]

    def leave(self, number: int, **options: Any) -> Left:
        return self.twin.store.leave(address(self.token), number, **options)

    def patience(self) -> float:
        return self.twin.patience(self.token)

    def late(self) -> Any:
        """Let the connection have waited for too long, and return what the sweep does."""
        self.twin.wait(self.token)
        return self.twin.store.sweep(10)


@pytest.fixture
def line(twin: Twin) -> Line:
    """A connection of which nothing came yet."""
    return Line(twin)


class TestStrict:
    def test_given_messages_in_order_expect_each_to_run_when_the_one_before_it_has_ended(self, line: Line) -> None:
        """Item 157."""
        for number in range(5):
            assert line.enter(message(number)) == RUN
            assert line.leave(number) == Left()
        assert line.twin.looked_at() == set()

    def test_if_a_message_comes_early_expect_it_taken_by_whoever_finishes_the_one_before_it(self, line: Line) -> None:
        """Items 158 and 159: sorted by number, however they came."""
        line.enter(message(0))
        assert line.enter(message(3), message(1), message(2)) == PARKED
        for number in (1, 2, 3):
            assert line.leave(number - 1, room=1, channels=ALL) == Left(parked(message(number)))
        assert line.leave(3, room=1, channels=ALL) == Left()

    @pytest.mark.parametrize("options", [{}, {"room": 0, "channels": ALL}, {"room": 5, "channels": ALL[:1]}])
    def test_if_the_caller_may_not_run_what_follows_expect_it_handed_on_and_to_run_when_it_comes(
        self, line: Line, options: dict[str, Any]
    ) -> None:
        line.enter(message(0), message(1))
        assert line.leave(0, **options) == Left(handed=(parked(message(1)),))
        assert line.enter(message(1)) == RUN
        assert line.enter(message(1)) == LATE

    def test_if_what_was_handed_on_is_still_on_its_way_expect_another_message_to_get_it_going(self, line: Line) -> None:
        line.enter(message(0), message(1))
        line.leave(0)
        assert line.enter(message(2), room=1, channels=ALL) == Entered(Verdict.PARKED, parked(message(1)))
        assert line.enter(message(1)) == LATE
        assert line.leave(1, room=1, channels=ALL) == Left(parked(message(2)))

    def test_if_a_message_comes_twice_or_late_expect_it_dropped(self, line: Line) -> None:
        """Item 162: before its turn, in its turn and after it."""
        line.enter(message(0), message(2))
        assert line.enter(message(2)) == LATE
        assert line.enter(message(0)) == LATE
        line.leave(0)
        line.enter(message(1))
        line.leave(1)
        assert line.enter(message(0)) == line.enter(message(1)) == LATE

    def test_if_a_turn_is_ended_twice_or_by_one_who_has_lost_it_expect_nothing(self, line: Line) -> None:
        line.enter(message(0), message(1))
        assert line.late().unfinished == 1
        assert line.leave(0, room=1, channels=ALL) == Left()
        assert line.leave(7) == Left()
        assert line.enter(message(1)) == RUN

    def test_if_a_message_is_to_run_again_expect_its_turn_to_stay_its_own(self, line: Line) -> None:
        """Item 80: as a consumer raises ConsumeLater."""
        line.enter(message(0), message(1))
        again = parked(message(0, item=b"again"))
        assert line.leave(0, room=5, channels=ALL, again=again) == Left(handed=(again,))
        assert line.enter(message(0, item=b"again")) == RUN
        assert line.leave(0, room=5, channels=ALL) == Left(parked(message(1)))

    def test_given_two_connections_expect_neither_to_wait_for_the_other(self, twin: Twin) -> None:
        """Item 166."""
        one, other = Line(twin), Line(twin, "u")
        one.enter(message(0))
        assert other.enter(message(0)) == RUN
        assert one.enter(message(1)) == PARKED
        assert other.leave(0, room=1, channels=ALL) == Left()


class TestFirstAndLast:
    def test_given_a_connect_that_nobody_ordered_expect_it_to_count_as_done(self, line: Line) -> None:
        """Defect 5."""
        assert line.enter(message(2)) == PARKED
        assert line.enter(message(1)) == RUN
        assert line.enter(message(0)) == LATE

    def test_when_the_disconnect_has_run_expect_nothing_more_to_run(self, line: Line) -> None:
        """Item 171."""
        line.enter(message(0))
        assert line.enter(disconnect(2)) == PARKED
        line.enter(message(1))
        line.leave(0, room=1, channels=ALL)
        assert line.leave(1, room=1, channels=ALL) == Left(parked(disconnect(2)))
        line.leave(2)
        assert line.enter(message(0)) == line.enter(message(3)) == line.enter(disconnect(LAST)) == LATE
        assert line.twin.looked_at() == set()

    def test_given_a_disconnect_without_number_expect_it_after_all_that_came(self, line: Line) -> None:
        line.enter(message(0))
        assert line.enter(disconnect(LAST)) == PARKED
        line.enter(message(1))
        assert line.leave(0, room=1, channels=ALL) == Left(parked(message(1)))
        assert line.leave(1, room=1, channels=ALL) == Left(parked(disconnect(LAST)))
        line.leave(LAST)
        assert line.enter(message(2)) == LATE

    @pytest.mark.parametrize("before", [(), (0,), (0, 1)])
    def test_given_it_while_nothing_runs_expect_it_at_once(self, line: Line, before: tuple[int, ...]) -> None:
        for number in before:
            line.enter(message(number))
            line.leave(number)
        assert line.enter(disconnect(LAST)) == RUN

    def test_if_a_number_is_missing_before_it_expect_it_after_the_others(self, line: Line) -> None:
        line.enter(message(0))
        line.leave(0)
        line.enter(message(2), disconnect(LAST))
        assert line.late().handed == (parked(message(2)),)
        assert line.enter(message(2)) == RUN
        assert line.leave(2, room=1, channels=ALL) == Left(parked(disconnect(LAST)))


class TestWhatDoesNotCome:
    def test_if_a_message_is_lost_expect_the_sweep_to_go_on_with_the_next_that_came(self, line: Line) -> None:
        """Item 161 and defect 5."""
        line.enter(message(0))
        line.leave(0)
        line.enter(message(5), message(3))
        swept = line.late()
        assert (swept.handed, swept.missing, swept.unfinished) == ((parked(message(3)),), 2, 0)
        assert line.enter(message(2)) == LATE
        assert line.enter(message(3)) == RUN

    def test_if_what_the_sweep_handed_on_is_lost_too_expect_it_handed_on_again(self, line: Line) -> None:
        line.enter(message(0))
        line.leave(0)
        line.enter(message(2))
        for _ in range(3):
            assert line.late().handed == (parked(message(2)),)

    def test_if_a_consumer_gives_no_more_sign_of_life_expect_it_to_count_as_done(self, line: Line) -> None:
        """Item 170 and defect 4."""
        line.enter(message(0), message(1))
        swept = line.late()
        assert (swept.handed, swept.missing, swept.unfinished) == ((parked(message(1)),), 0, 1)
        assert line.enter(message(1)) == RUN

    def test_if_that_was_the_disconnect_expect_the_end(self, line: Line) -> None:
        line.enter(message(0))
        line.leave(0)
        line.enter(disconnect(1))
        assert line.late().unfinished == 1
        assert line.enter(message(2)) == LATE

    def test_given_signs_of_life_expect_its_turn_to_stay_its_own(self, line: Line) -> None:
        line.enter(message(0), message(1))
        line.twin.wait(line.token)
        line.twin.store.renew([(address(line.token), 0), (address("u"), 0), (address(line.token), 1)])
        assert line.twin.store.sweep(10).unfinished == 0
        assert line.leave(0, room=1, channels=ALL) == Left(parked(message(1)))

    def test_given_nothing_that_waits_expect_nothing_swept(self, line: Line) -> None:
        line.enter(message(0))
        line.leave(0)
        swept = line.late()
        assert (swept.handed, swept.missing, swept.unfinished) == ((), 0, 0)

    def test_given_more_connections_than_one_look_takes_expect_the_longest_wait_first(self, twin: Twin) -> None:
        for token in "ut":
            Line(twin, token).enter(message(0))
            twin.wait(token)
        assert twin.store.sweep(1).unfinished == 1
        assert twin.looked_at() == {"u"}


def test_when_the_layer_is_emptied_expect_nothing_left(twin: Twin) -> None:
    """Item 50."""
    for token in "tu":
        Line(twin, token).enter(message(0), message(1))
    twin.store.flush()
    assert twin.looked_at() == set()
    assert Line(twin).leave(0, room=1, channels=ALL) == Left()
    assert Line(twin).enter(message(0)) == RUN


class TestTooMany:
    def test_expect_the_101st_to_be_refused_but_the_disconnect_to_wait(self, line: Line) -> None:
        """Item 160, better."""
        line.enter(message(0))
        assert line.enter(*map(message, range(1, MAX_PARKED + 1))) == PARKED
        assert line.enter(message(MAX_PARKED + 1)) == FULL
        assert line.enter(disconnect(MAX_PARKED + 2)) == PARKED
        line.leave(0, room=1, channels=ALL)
        line.leave(1, room=1, channels=ALL)
        assert line.enter(message(MAX_PARKED + 1)) == PARKED

    def test_given_large_ones_expect_their_bytes_to_count(self, line: Line) -> None:
        line.enter(message(0))
        assert line.enter(message(1, item=bytes(17_000_000))) == PARKED
        assert line.enter(message(2)) == FULL
        line.leave(0, room=1, channels=ALL)
        assert line.enter(message(2)) == PARKED


class TestSlight:
    def test_given_a_connect_that_runs_expect_the_others_to_wait_and_to_be_released_together(self, line: Line) -> None:
        """Item 172."""
        assert line.enter(message(0, slight=True)) == RUN
        assert line.enter(message(2, slight=True), message(1, slight=True)) == PARKED
        assert line.leave(0, room=9, channels=ALL) == Left(handed=(parked(message(1)), parked(message(2))))
        assert line.enter(message(2, slight=True)) == line.enter(message(1, slight=True)) == FREE
        assert line.twin.looked_at() == set()

    def test_given_no_connect_expect_the_others_to_run(self, line: Line) -> None:
        assert line.enter(message(3, slight=True)) == line.enter(message(1, slight=True)) == FREE
        assert line.enter(message(0, slight=True)) == RUN

    def test_given_a_disconnect_that_came_before_expect_no_connect_to_run(self, line: Line) -> None:
        assert line.enter(disconnect(1, slight=True)) == FREE
        assert line.enter(message(0, slight=True)) == LATE
        assert line.enter(message(1, slight=True)) == FREE

    def test_if_the_connect_comes_twice_expect_one_run(self, line: Line) -> None:
        line.enter(message(0, slight=True))
        assert line.enter(message(0, slight=True)) == LATE

    def test_if_the_connect_gives_no_more_sign_of_life_expect_the_others_released(self, line: Line) -> None:
        line.enter(message(0, slight=True), message(1, slight=True))
        swept = line.late()
        assert (swept.handed, swept.unfinished) == ((parked(message(1)),), 1)
        assert line.enter(message(1, slight=True)) == FREE

    def test_if_it_is_mixed_with_strict_order_expect_neither_to_run_twice_or_never(self, line: Line) -> None:
        line.enter(message(0))
        line.leave(0)
        line.enter(message(2))
        assert line.enter(message(2, slight=True)) == FREE
        assert line.late().handed == ()


def about(part: float) -> Any:
    """A part of the limit that a connection may be held up, as the store counts it; a minute off is no mistake."""
    return pytest.approx(part * STALL, abs=60)


class TestHowLong:
    """By the store's own clock: a sign of life counts for 0.7 of the limit, what is handed on for 0.2."""

    def test_expect_a_lost_message_to_be_waited_for_that_long(self, line: Line) -> None:
        line.enter(message(2))
        assert line.patience() == about(0.7)
        assert line.late().handed, "the first time"
        assert line.patience() == about(0.2)
        assert line.late().handed, "handed on, and lost"
        assert line.patience() == about(0.7)

    def test_expect_a_killed_consumer_to_be_waited_for_that_long_after_its_last_sign(self, line: Line) -> None:
        line.enter(message(1), message(2))
        line.twin.wait(line.token)
        line.twin.store.renew([(address(line.token), 1)])
        assert line.patience() == about(0.7)
        assert line.twin.store.sweep(10).handed == ()

    @pytest.mark.parametrize("kind", ["memory", "redis"])
    def test_expect_the_limit_to_be_seconds_and_none_to_be_cut_short(
        self, kind: str, request: pytest.FixtureRequest
    ) -> None:
        """Given a limit of 0.3 s, expect the sweep to find what waits, and not before 0.21 s."""
        store: OrderStore = MemoryOrderStore(0.3)
        if kind == "redis":
            store = RedisOrderStore(config_of("redis", hosts=[request.getfixturevalue("redis_url")], order_stall=0.3))
        begun = time.monotonic()
        store.enter(address("t"), message(2))
        wait_until(lambda: store.sweep(10).handed, timeout=20, what="the sweep to hand it on", interval=0.005)
        # of Redis' clock, which counts in whole milliseconds
        assert time.monotonic() - begun >= 0.208
        store.close()


class TestKeys:
    """Given a connection of which nobody hears any more, expect nothing of it to stay in Redis (defect 15)."""

    KEYS = (f"{PREFIX}order:t", f"{PREFIX}parked:t")

    def test_expect_what_waits_to_end_with_the_rest(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_order, "EXPIRY", 0.3)
        on_redis = OnRedis(redis_url)
        Line(on_redis).enter(message(0), message(2), message(3))
        wait_until(lambda: not on_redis.client.exists(*self.KEYS), what="the keys to expire")
        on_redis.end()

    def test_if_the_connection_was_closed_expect_what_comes_then_to_be_kept_for_no_longer(self, redis_url: str) -> None:
        on_redis = OnRedis(redis_url)
        line = Line(on_redis)
        line.enter(message(0))
        on_redis.close(line.token)
        line.enter(message(2))
        assert [0 < on_redis.client.pttl(key) <= CLOSED_EXPIRY * 1000 for key in self.KEYS] == [True, True]
        on_redis.end()

    def test_if_the_sweep_finds_no_more_of_it_expect_no_mark_left(self, redis_url: str) -> None:
        on_redis = OnRedis(redis_url)
        Line(on_redis).enter(message(2))
        on_redis.client.delete(self.KEYS[0])
        on_redis.wait("t")
        assert on_redis.store.sweep(10).handed == ()
        assert on_redis.client.keys(f"{PREFIX}*") == []
        on_redis.end()


def test_if_redis_is_not_there_then_the_error_says_so() -> None:
    store = RedisOrderStore(config_of("redis", hosts=["redis://127.0.0.1:1/0"]))
    with pytest.raises(LayerUnavailable):
        store.enter(address("t"), message(0))
    with pytest.raises(LayerUnavailable):
        store.sweep(10)
