"""Effects once: however often a message comes, what its consumer does in the database happens once.

On SQLite and PostgreSQL, with a broker in memory.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction

from channelcelery.channel import Channel, Group
from channelcelery.core.envelope import encode_content
from channelcelery.core.reliable import Reason, Reliable
from channelcelery.exceptions import BrokerUnavailable, Reject
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.reliable import once as marking
from channelcelery.reliable import outbox
from channelcelery.reliable.models import DeadLetter
from channelcelery.reliable.moments import moment
from channelcelery.reliable.once import sweep
from channelcelery.reliable.parcel import Parcel
from channelcelery.reliable.relay import relay
from channelcelery.reliable.replay import replay
from channelcelery.reliable.sending import ReliableSender
from channelcelery.routing import Router, replace_router, route
from channelcelery.worker.reliable_ends import Buried, Finished, Postponed
from channelcelery.worker.reliable_errands import sweep_marks
from channelcelery.worker.reliable_run import run_parcel
from tests.contract.databases import SHOP, Shop, at_the_same_time
from tests.scale import scaled

ONCE = Reliable(max_attempts=2, backoff=0, idempotent=True)

#: What the consumer does beside its effect.
consuming: list[Callable[[Message], Any]] = []


def consume(message: Message) -> None:
    Shop().effect(message["n"])
    for call in consuming:
        call(message)


@pytest.fixture(autouse=True)
def routing(sender: ReliableSender) -> Iterator[None]:
    routes = [route("orders", consume, reliable=ONCE), route("next", consume, reliable=True)]
    former = replace_router("default", Router(routes))
    consuming.clear()
    yield
    replace_router("default", former)


def parcel(number: int = 1, **values: Any) -> Parcel:
    return Parcel(f"id-{number}", "default", "orders", encode_content({"n": number}, 1_000), **values)


def test_given_one_message_again_expect_one_effect(shop: Shop) -> None:
    assert [run_parcel(parcel(), redelivered) for redelivered in (False, True, True)] == [Finished()] * 3
    assert shop.effects() == [1]


@pytest.mark.chaos
def test_given_messages_that_come_twice_at_the_same_time_expect_one_effect_of_each(shop: Shop) -> None:
    count, threads = scaled(60, 1_000), 4
    messages = [parcel(number) for number in range(count)]

    def run(first: int, again: bool) -> list[Any]:
        return [run_parcel(messages[n], again) for n in range(first, count, threads // 2)]

    calls = [partial(run, first, again) for first in range(threads // 2) for again in (False, True)]
    outcomes = at_the_same_time(*calls)
    assert [outcome for found in outcomes for outcome in found] == [Finished()] * count * 2
    assert shop.effects() == list(range(count))


def test_while_another_runs_the_same_expect_it_to_wait_and_then_to_do_nothing(shop: Shop) -> None:
    consuming.append(lambda message: time.sleep(0.3))
    begun = time.monotonic()
    assert at_the_same_time(*[lambda: run_parcel(parcel(), False)] * 2) == [Finished()] * 2
    assert time.monotonic() - begun >= 0.3
    assert shop.effects() == [1]


def test_if_the_one_that_it_waits_for_fails_expect_it_to_run(shop: Shop) -> None:
    runs: list[int] = []

    def fail_first(message: Message) -> None:
        runs.append(1)
        if len(runs) == 1:
            time.sleep(0.2)
            raise RuntimeError("on purpose")

    consuming.append(fail_first)
    kinds = {type(outcome) for outcome in at_the_same_time(*[lambda: run_parcel(parcel(), False)] * 2)}
    assert kinds == {Postponed, Finished}
    assert shop.effects() == [1]


def test_if_the_consumer_raises_expect_neither_effect_nor_mark(shop: Shop) -> None:
    consuming.append(lambda message: 1 / 0)
    assert isinstance(run_parcel(parcel(), False), Postponed)
    assert (shop.effects(), shop.marks().count()) == ([], 0)
    consuming.clear()
    assert run_parcel(parcel(attempt=2), False) == Finished()
    assert (shop.effects(), shop.marks().count()) == ([1], 1)


def test_if_the_consumer_rejects_the_message_expect_a_dead_letter_and_neither_effect_nor_mark(shop: Shop) -> None:
    def reject(message: Message) -> None:
        raise Reject("no such order")

    consuming.append(reject)
    assert run_parcel(parcel(), False) == Buried(Reason.REJECTED)
    assert (shop.effects(), shop.marks().count()) == ([], 0)
    consuming.clear()
    replay(DeadLetter.objects.using(SHOP).get())
    assert run_parcel(parcel(), False) == Finished()
    assert shop.effects() == [1]


def test_given_an_async_consumer_expect_its_effect_in_the_transaction_too(shop: Shop) -> None:
    async def act(message: Message) -> None:
        await sync_to_async(shop.effect)(message["n"])
        await sync_to_async(lambda: [call(message) for call in consuming])()

    replace_router("default", Router([route("orders", act, reliable=ONCE)]))
    consuming.append(lambda message: 1 / 0)
    assert isinstance(run_parcel(parcel(), False), Postponed)
    assert (shop.effects(), shop.marks().count()) == ([], 0)
    consuming.clear()
    assert [run_parcel(parcel(attempt=2), redelivered) for redelivered in (False, True)] == [Finished()] * 2
    assert shop.effects() == [1]


@pytest.mark.parametrize("through", ["orm", "cursor"])
def test_if_the_consumer_caught_an_error_that_ended_the_transaction_expect_a_failed_run(
    shop: Shop, through: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Expect it not taken for done, although Django and PostgreSQL roll back without a word."""

    def spoil(message: Message) -> None:
        try:
            if through == "orm":
                shop.marks().create(message_id=message.id, done_at=moment(0))
            else:
                shop.execute("INSERT INTO parents VALUES (1)")
                shop.execute("INSERT INTO parents VALUES (1)")
        except IntegrityError:
            pass

    consuming.append(spoil)
    outcome = run_parcel(parcel(), False)
    if shop.effects() == []:
        assert isinstance(outcome, Postponed)
        assert "is undone" in caplog.text
    else:  # SQLite goes on after an error
        assert outcome == Finished()
        assert shop.marks().count() == 1


def test_if_the_commit_fails_expect_a_failed_run_of_which_nothing_leaves(shop: Shop) -> None:
    consuming.append(lambda message: Channel("next").send({"n": 2}))
    consuming.append(lambda message: Group("all").send({"n": 3}))
    consuming.append(lambda message: shop.execute("INSERT INTO effects VALUES (5, 4711)"))  # no such parent
    assert isinstance(run_parcel(parcel(outbox=SHOP), False), Finished), "it is in no outbox any more"
    outcome = run_parcel(parcel(), False)
    assert isinstance(outcome, Postponed)
    assert "IntegrityError" in outcome.why
    assert (shop.effects(), shop.marks().count(), shop.rows().count()) == ([], 0, 0)
    layer: Any = channel_layers["default"]
    assert layer.replies.delivered == []


def test_if_something_raises_after_the_commit_expect_it_done(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    consuming.append(lambda message: transaction.on_commit(lambda: 1 / 0, using=SHOP))
    assert run_parcel(parcel(attempt=2), False) == Finished()
    assert shop.effects() == [1]
    assert "after its commit" in caplog.text


class TestWhatItSends:
    def test_expect_the_outbox_to_have_it_in_the_same_transaction(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If it cannot leave after the commit / Expect no further run, and the relay to publish it."""

        def refuse(parcel: Parcel) -> None:
            raise BrokerUnavailable("away")

        consuming.append(lambda message: Channel("next").send({"n": 2}))
        with monkeypatch.context() as patch:
            patch.setattr(sender, "publish", refuse)
            assert run_parcel(parcel(), False) == Finished()
            assert run_parcel(parcel(), True) == Finished()
        assert [row.channel for row in shop.rows().all()] == ["next"]
        assert relay(SHOP) == 1

    def test_if_its_process_is_killed_after_the_commit_expect_it_sent_all_the_same(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sender, "_publish_committed", lambda *arguments: None)
        consuming.append(lambda message: Channel("next").send({"n": 2}))
        assert run_parcel(parcel(), False) == Finished()
        assert run_parcel(parcel(), True) == Finished()
        shop.rows().update(due_at=moment(time.time() - 1))
        assert relay(SHOP) == 1

    def test_if_it_raises_expect_nothing_sent(self, shop: Shop) -> None:
        consuming.extend([lambda message: Channel("next").send({"n": 2}), lambda message: 1 / 0])
        assert isinstance(run_parcel(parcel(), False), Postponed)
        assert shop.rows().count() == 0


def test_given_one_from_an_outbox_expect_its_row_to_go_with_the_effect(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the worker is killed right after the commit / Expect no row that would be published again."""
    monkeypatch.setattr("channelcelery.worker.reliable_ends.leave_outbox", lambda parcel: None)
    outbox.write(parcel(outbox=SHOP), time.time() + 100)
    assert run_parcel(parcel(outbox=SHOP), False) == Finished()
    assert (shop.effects(), shop.rows().count()) == ([1], 0)


def test_given_one_that_is_done_and_was_redelivered_too_often_expect_it_done_and_not_dead(shop: Shop) -> None:
    """As of a worker that is killed again and again before it acknowledges."""
    assert run_parcel(parcel(), False) == Finished()
    assert run_parcel(parcel(attempt=3), False) == Finished()
    shop.marks().all().delete()
    assert run_parcel(parcel(attempt=3), False) == Buried(Reason.KILLED)


def test_given_marks_expect_old_ones_forgotten(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, age in enumerate((5, 50, 60)):
        shop.marks().create(message_id=str(number), done_at=moment(time.time() - age))
    monkeypatch.setattr(marking, "_SWEPT_AT_ONCE", 1)
    assert [sweep(40) for _ in range(3)] == [1, 1, 0]
    assert [mark.message_id for mark in shop.marks().all()] == ["0"]


def test_given_more_old_marks_than_go_at_once_expect_a_worker_to_forget_them_all(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would become more and more where many messages are done in a minute."""
    for number in range(5):
        shop.marks().create(message_id=str(number), done_at=moment(time.time() - 1e7))
    monkeypatch.setattr(marking, "_SWEPT_AT_ONCE", 2)
    sweep_marks()
    assert shop.marks().count() == 0
