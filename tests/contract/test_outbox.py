"""The outbox: what a transaction sent leaves if that is committed, and stays in its database until it is done.

On SQLite and PostgreSQL, with a broker in memory.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.core.handlers.base import BaseHandler
from django.core.management import call_command
from django.db import DatabaseError, connections, transaction
from django.http import HttpRequest
from django.test import RequestFactory, TestCase
from kombu import Connection

from channelcelery.broker.reliable_queues import reliable_queue
from channelcelery.channel import Channel
from channelcelery.core.bursts import Bursts
from channelcelery.core.envelope import encode_content
from channelcelery.core.reliable import Reason, Reliable
from channelcelery.core.sends import DelayedSend
from channelcelery.exceptions import BrokerRefused, BrokerUnavailable, ChannelFull, Reject, Retry
from channelcelery.layers import channel_layers
from channelcelery.layers.upkeep import send_due
from channelcelery.message import Message
from channelcelery.reliable import outbox, sending
from channelcelery.reliable import relay as relaying
from channelcelery.reliable.dead import Death, record
from channelcelery.reliable.models import DeadLetter, OutboxRow
from channelcelery.reliable.moments import moment
from channelcelery.reliable.parcel import Parcel
from channelcelery.reliable.relay import _claim, databases, relay
from channelcelery.reliable.replay import choose, replay_all
from channelcelery.reliable.sending import ReliableSender
from channelcelery.routes import Match, Route
from channelcelery.routing import Router, replace_router, route
from channelcelery.worker import reliable_run, renewals
from channelcelery.worker.reliable_ends import Buried, Finished, Postponed
from channelcelery.worker.reliable_run import run_parcel
from channelcelery.worker.renewals import Renewals
from tests.contract.databases import SHOP, Shop, at_the_same_time, database_at

BOXED = Reliable(max_attempts=2, backoff=0, outbox=True)

#: What the consumer does.
consuming: list[Callable[[Message], Any]] = []
#: The messages that it got.
consumed: list[Message] = []


def consume(message: Message) -> Any:
    consumed.append(message)
    return consuming[0](message) if consuming else None


async def pass_on(message: Message) -> None:
    Channel("orders").send({"n": "from a loop"})


@pytest.fixture(autouse=True)
def routing() -> Iterator[None]:
    names = ["orders", "small"]
    routes = [*(route(name, consume, reliable=BOXED) for name in names), route("async", pass_on, reliable=True)]
    former = replace_router("default", Router(routes))
    consuming.clear()
    consumed.clear()
    yield
    replace_router("default", former)


@pytest.fixture(autouse=True)
def _sender(sender: ReliableSender) -> ReliableSender:
    return sender


@pytest.fixture
def other(tmp_path: Path, shop: Shop) -> Iterator[str]:
    """The alias of another database with the same tables."""
    entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "other.sqlite3")}
    with database_at(entry, "other"):
        call_command("migrate", "channelcelery_reliable", database="other", verbosity=0)
        yield "other"


def waiting(channel: str = "orders") -> list[Parcel]:
    """Take what waits at the broker."""
    found = []
    with Connection("memory://") as broker:
        queue = reliable_queue(channel_layers["default"].config.prefix, channel, "memory").bind(broker.channel())
        queue.declare()
        while (message := queue.get(no_ack=True, accept=["json"])) is not None:
            found.append(Parcel.read(message.headers, message.payload[0]))
    return found


def make_due(shop: Shop) -> None:
    """As if the time had come for all that is in the outbox."""
    shop.rows().update(due_at=moment(time.time() - 1))


class TestSending:
    def test_in_a_transaction_expect_it_to_leave_after_the_commit(self, shop: Shop) -> None:
        with transaction.atomic(using=SHOP):
            found = Channel("orders").send({"n": 1})
            assert waiting() == []
            assert shop.rows().get().decoded() == {"n": 1}
        (parcel,) = waiting()
        assert (parcel.id, parcel.attempt, parcel.outbox, parcel.copy) == (found, 1, SHOP, 0)
        row = shop.rows().get()
        assert row.published == 1
        assert row.due_at.timestamp() == pytest.approx(time.time() + 300, abs=5), "it is there until it is done"
        assert relay(SHOP) == 0

    def test_if_the_transaction_or_a_savepoint_is_rolled_back_expect_it_never_sent(self, shop: Shop) -> None:
        with transaction.atomic(using=SHOP):
            Channel("orders").send({"n": 1})
            transaction.set_rollback(True, using=SHOP)
        with transaction.atomic(using=SHOP):
            with transaction.atomic(using=SHOP):
                Channel("orders").send({"n": 2})
                transaction.set_rollback(True, using=SHOP)
            kept = Channel("orders").send({"n": 3})
        assert [parcel.id for parcel in waiting()] == [kept]
        assert [row.decoded() for row in shop.rows().all()] == [{"n": 3}]

    def test_without_a_transaction_expect_a_row_too_and_the_message_at_once(self, shop: Shop) -> None:
        found = Channel("orders").send({})
        assert [parcel.id for parcel in waiting()] == [row.message_id for row in shop.rows().all()] == [found]

    def test_in_a_durable_transaction_and_one_of_another_database_expect_only_the_outbox_s_own_to_count(
        self, shop: Shop, other: str
    ) -> None:
        with transaction.atomic(using=other):
            Channel("orders").send({})
            transaction.set_rollback(True, using=other)
        assert len(waiting()) == 1, "it was sent in no transaction of its database"
        with transaction.atomic(using=SHOP, durable=True):
            Channel("orders").send({})
        assert len(waiting()) == 1

    def test_given_the_name_of_another_database_expect_the_row_there(self, shop: Shop, other: str) -> None:
        """Its own transaction decides, and the relay looks into all of them."""
        rows = OutboxRow.objects.using(other)
        with transaction.atomic(using=other):
            found = Channel("orders").send({}, using=other)
            assert (rows.get().message_id, shop.rows().count(), waiting()) == (found, 0, [])
        (parcel,) = waiting()
        assert set(databases()) >= {SHOP, other}
        assert run_parcel(parcel, False) == Finished()
        assert rows.count() == 0

    def test_where_requests_are_transactions_expect_those_that_fail_to_send_nothing(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, rf: RequestFactory
    ) -> None:
        """As with ATOMIC_REQUESTS."""

        def view(request: HttpRequest, divisor: int) -> None:
            Channel("orders").send({})
            _ = 1 / divisor

        monkeypatch.setitem(connections.settings[SHOP], "ATOMIC_REQUESTS", True)
        atomic_view = BaseHandler().make_view_atomic(view)
        with pytest.raises(ZeroDivisionError):
            atomic_view(rf.get("/"), 0)
        assert waiting() == []
        atomic_view(rf.get("/"), 1)
        assert len(waiting()) == 1

    def test_given_a_delayed_message_from_before_its_channel_had_an_outbox_expect_it_at_the_broker(
        self, shop: Shop
    ) -> None:
        """Expect no query, as a worker's main process sends it."""
        layer = channel_layers["default"]
        layer.delays.add([DelayedSend("orders", b"\x80", 1)])
        time.sleep(0.01)
        assert send_due(layer) == 1
        assert shop.rows().count() == 0
        assert len(waiting()) == 1

    def test_where_autocommit_is_off_expect_the_relay_to_publish_it(self, shop: Shop) -> None:
        transaction.set_autocommit(False, using=SHOP)
        try:
            Channel("orders").send({})
            transaction.commit(using=SHOP)
        finally:
            transaction.set_autocommit(True, using=SHOP)
        assert waiting() == []
        assert relay(SHOP) == 1

    def test_given_a_delay_expect_the_relay_to_publish_it_then(self, shop: Shop) -> None:
        Channel("orders").send({}, delay=300)
        assert relay(SHOP) == 0
        time.sleep(0.35)
        assert relay(SHOP) == 1
        assert len(waiting()) == 1

    def test_on_an_event_loop_expect_an_error_that_names_the_way_out(self, shop: Shop) -> None:
        async def view(send: Callable[..., Any]) -> None:
            send({})

        async def good_view() -> None:
            await sync_to_async(Channel("orders").send)({})

        with pytest.raises(SynchronousOnlyOperation, match="sync_to_async"):
            asyncio.run(view(Channel("orders").send))
        asyncio.run(good_view())
        assert len(waiting()) == 1

    def test_in_an_async_consumer_expect_it_to_leave_when_that_has_ended(self, shop: Shop) -> None:
        assert run_parcel(Parcel("id", "default", "async", b"\x80"), False) == Finished()
        assert [row.decoded() for row in shop.rows().all()] == [{"n": "from a loop"}]

    def test_if_the_broker_is_away_expect_no_error_and_one_line_in_the_log(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        tries: list[Parcel] = []

        def refuse(parcel: Parcel) -> None:
            tries.append(parcel)
            raise BrokerUnavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(sender, "publish", refuse)
            with transaction.atomic(using=SHOP):
                for number in range(3):
                    Channel("orders").send({"n": number})
            Channel("orders").send({"n": 3})
            assert len(tries) == 1, "of those that follow none waits for the broker again"
            with pytest.raises(BrokerUnavailable):
                relay(SHOP)
        assert caplog.text.count("stay in the outbox") == 1
        make_due(shop)
        assert relay(SHOP) == 4
        assert {row.decoded()["n"] for row in shop.rows().all()} == {0, 1, 2, 3}

    def test_if_the_broker_refuses_one_channel_expect_senders_to_leave_that_one_alone(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def publish(channel: str, *args: Any, **options: Any) -> None:
            tried.append(channel)
            if channel == "small":
                raise BrokerRefused("its queue was declared otherwise")

        tried: list[str] = []
        monkeypatch.setattr(sender._publisher, "publish", publish)
        for channel in ("small", "small", "orders", "small", "orders"):
            Channel(channel).send({})
        assert tried == ["small", "orders", "orders"]

    def test_if_the_broker_is_away_for_one_message_and_takes_the_next_expect_all_to_leave_at_once_again(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def be_away(*args: Any, **options: Any) -> None:
            raise BrokerUnavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(sender._publisher, "publish", be_away)
            Channel("orders").send({})
        Channel("orders").send({})
        assert waiting() == [], "it is left alone for a second"
        sender.send_again(Parcel("id", "default", "async", b"\x80"))
        found = Channel("orders").send({})
        assert [parcel.id for parcel in waiting()] == [found]

    def test_if_the_channel_is_full_expect_it_to_wait_in_the_outbox(self, shop: Shop) -> None:
        for number in range(5):
            Channel("small").send({"n": number})
            Channel("orders").send({"n": number})
        assert len(waiting("small")) < 5
        assert shop.rows().filter(channel="small", published=0).count() >= 2
        make_due(shop)
        relay(SHOP)
        assert {parcel.channel for parcel in waiting()} == {"orders"}, "the others are not held up"
        seen = set[str]()
        until = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < until:
            shop.rows().filter(published=0).update(due_at=moment(time.time() - 1))
            relay(SHOP)
            seen |= {parcel.id for parcel in waiting("small")} | set(
                shop.rows().filter(channel="small", published__gt=0).values_list("message_id", flat=True)
            )
            time.sleep(0.06)
        assert len(seen) == 5

    def test_if_a_channel_is_full_expect_all_that_waits_for_it_passed_over(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However much that is, it must not hold up the other channels."""

        def publish(parcel: Parcel) -> None:
            tried.append(parcel.channel)
            if parcel.channel == "small":
                raise ChannelFull(["small"])

        tried: list[str] = []
        monkeypatch.setattr(sender, "publish", publish)
        monkeypatch.setattr(relaying, "_BATCH", 2)
        for number, channel in enumerate(["small"] * 10 + ["orders"]):
            outbox.write(Parcel(str(number), "default", channel, b"\x80", outbox=SHOP), time.time() - 20 + number)
        assert relay(SHOP) == 1
        assert tried == ["small", "orders"]

    def test_if_the_broker_refuses_one_channel_expect_the_others_published_and_an_error(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where a queue has other arguments, or a limit that an operator set: that is no reason for others to wait.

        Given so long a refusal that nothing else was tried / Expect it not to be tried first again and again.
        """

        def publish(parcel: Parcel) -> None:
            tried.append(parcel.channel)
            if parcel.channel == "small":
                time.sleep(refused_after)
                raise BrokerUnavailable("it refused the message")

        tried: list[str] = []
        refused_after = 0.0
        monkeypatch.setattr(sender, "publish", publish)
        monkeypatch.setattr(relaying, "_BATCH", 2)
        for number, channel in enumerate(["small"] * 3 + ["orders"]):
            outbox.write(Parcel(str(number), "default", channel, b"\x80", outbox=SHOP), time.time() - 20 + number)
        with pytest.raises(BrokerUnavailable, match="refused"):
            relay(SHOP)
        assert tried == ["small", "orders"]
        shop.rows().filter(channel="orders").update(due_at=moment(time.time() - 1))
        shop.rows().filter(channel="small").update(due_at=moment(time.time() - 2))
        refused_after = 0.3
        monkeypatch.setattr(relaying, "_LIMIT", 0.1)
        monkeypatch.setattr(relaying, "_BATCH", 10)
        with pytest.raises(BrokerUnavailable):
            relay(SHOP)
        assert tried[2:] == ["small"]
        assert relay(SHOP) == 1
        assert tried[3:] == ["orders"]

    @pytest.mark.parametrize("relayed", [True, False])
    def test_if_the_transaction_was_long_expect_either_the_relay_or_the_sender_to_publish_it(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch, relayed: bool
    ) -> None:
        monkeypatch.setattr(sending, "_SHORT", -1)
        monkeypatch.setattr(sender, "_grace", -1)  # so that it is due already when it is committed
        with transaction.atomic(using=SHOP):
            if relayed:  # between the commit and its sender
                transaction.on_commit(lambda: relay(SHOP), using=SHOP)
            Channel("orders").send({})
        assert len(waiting()) == 1
        assert shop.rows().get().published == 1

    def test_in_a_test_case_expect_it_to_leave_with_the_captured_callbacks(self, shop: Shop) -> None:
        """As Django's own tests have it, whose transaction is never committed."""
        with transaction.atomic(using=SHOP), TestCase.captureOnCommitCallbacks(using=SHOP, execute=True) as callbacks:
            Channel("orders").send({})
        assert len(callbacks) == 1
        assert len(waiting()) >= 1


class TestRelay:
    def test_if_a_message_got_lost_expect_it_again_with_its_id(self, shop: Shop) -> None:
        found = Channel("orders").send({"n": 1})
        waits = []
        for copy in range(3):
            assert [(parcel.id, parcel.copy) for parcel in waiting()] == [(found, copy)]
            waits.append(shop.rows().get().due_at.timestamp() - time.time())
            assert relay(SHOP) == 0, "nobody takes it for lost yet"
            make_due(shop)
            assert relay(SHOP) == 1
        assert waits == [pytest.approx(wait, abs=5) for wait in (300, 600, 1200)]
        (parcel,) = waiting()
        assert run_parcel(parcel, False) == Finished()
        assert [(message.id, message.redelivered) for message in consumed] == [(found, True)]

    def test_given_a_trace_expect_it_however_often_it_is_published(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("channelcelery.layers.layer.sent", lambda channel: f"00-trace-{channel}")
        Channel("orders").send({})
        for _ in range(2):
            assert [parcel.trace for parcel in waiting()] == ["00-trace-orders"]
            make_due(shop)
            assert relay(SHOP) == 1

    def test_given_a_copy_of_what_is_done_expect_it_not_to_run(self, shop: Shop) -> None:
        """As of a message that only waited in a long queue."""
        Channel("orders").send({"n": 1})
        make_due(shop)
        relay(SHOP)
        for parcel in waiting():
            assert run_parcel(parcel, False) == Finished()
        assert len(consumed) == 1
        assert shop.rows().count() == 0

    def test_given_several_relays_expect_each_row_published_once(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relaying, "_BATCH", 10)
        with transaction.atomic(using=SHOP):
            for number in range(100):
                outbox.write(Parcel(str(number), "default", "orders", b"\x80", outbox=SHOP), time.time() - 1)
        # each until nothing is due
        numbers = at_the_same_time(*[lambda: sum(iter(partial(relay, SHOP), 0))] * 4)
        assert sum(numbers) == 100
        assert len({parcel.id for parcel in waiting()}) == 100

    def test_given_a_row_of_a_layer_that_is_not_here_expect_the_others_published(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(relaying, "_bursts", Bursts())
        for alias in ("elsewhere", "default"):
            outbox.write(Parcel(alias, alias, "orders", b"\x80", outbox=SHOP), time.time() - 1)
        assert relay(SHOP) == 1
        assert "CHANNEL_LAYERS has no 'elsewhere'" in caplog.text
        assert relay(SHOP) == 0

    def test_if_a_relay_was_killed_expect_its_rows_published_by_another(self, shop: Shop) -> None:
        """Given rows that were claimed / If nobody publishes them / Expect them due again in seconds."""
        Channel("orders").send({}, delay=1)
        time.sleep(0.01)
        assert len(_claim(SHOP, time.time() + 0.2, set())) == 1
        assert relay(SHOP) == 0
        time.sleep(0.25)
        assert relay(SHOP) == 1


class TestRunning:
    def run_next(self, shop: Shop) -> Any:
        make_due(shop)
        relay(SHOP)
        return run_parcel(waiting()[0], False)

    def test_if_a_run_fails_expect_the_next_from_the_outbox_and_then_a_dead_letter(self, shop: Shop) -> None:
        """Expect the outbox to keep its attempt, whatever the broker loses."""
        consuming.append(lambda message: 1 / 0)
        found = Channel("orders").send({"n": 1})
        assert isinstance(run_parcel(waiting()[0], False), Postponed)
        assert waiting() == []
        assert shop.rows().get().attempt == 2
        assert isinstance(self.run_next(shop), Buried)
        assert [message.attempt for message in consumed] == [1, 2]
        assert shop.rows().count() == 0
        letter = DeadLetter.objects.using(SHOP).get()
        assert (letter.message_id, letter.attempts, letter.reason) == (found, 2, "raised")

    def test_if_a_route_of_the_project_s_own_raises_expect_runs_that_failed_with_that_as_the_reason(
        self, shop: Shop
    ) -> None:
        class Broken(Route):
            def match(self, message: Message) -> Match | None:
                raise KeyError("no such thing")

        Channel("orders").send({})
        replace_router("default", Router([Broken(["orders"], consume, reliable=BOXED)]))
        assert isinstance(run_parcel(waiting()[0], False), Postponed)
        assert self.run_next(shop) == Buried(Reason.RAISED)
        assert "no such thing" in DeadLetter.objects.using(SHOP).get().traceback

    def test_if_it_dies_with_a_text_that_no_database_takes_expect_a_dead_letter_all_the_same(
        self, shop: Shop, request: pytest.FixtureRequest
    ) -> None:
        """PostgreSQL refuses NUL, nothing encodes half a character: neither may hide a death, nor hold up others."""
        # a log with half a character in it does not get from a process of pytest-xdist to the other
        request.addfinalizer(partial(logging.disable, logging.NOTSET))
        logging.disable(logging.CRITICAL)

        def consume_text(message: Message) -> None:
            raise Reject(message["text"] + "\ud800")

        consuming.append(consume_text)
        Channel("orders").send({"text": "a\0b"})
        assert isinstance(run_parcel(waiting()[0], False), Buried)
        letter = DeadLetter.objects.using(SHOP).get()
        assert letter.detail == r"a\x00b\ud800"
        assert r"a\x00b\ud800" in letter.traceback

    def test_given_a_dead_letter_that_is_replayed_expect_it_in_the_outbox_again(self, shop: Shop) -> None:
        def reject(message: Message) -> None:
            raise Reject("no")

        consuming.append(reject)
        found = Channel("orders").send({"n": 1})
        assert isinstance(run_parcel(waiting()[0], False), Buried)
        assert [error for _, error in replay_all(choose())] == [None]
        assert DeadLetter.objects.using(SHOP).count() == 0
        assert [row.message_id for row in shop.rows().all()] == [found]
        consuming.clear()
        assert run_parcel(waiting()[0], False) == Finished()
        assert shop.rows().count() == 0

    @pytest.mark.parametrize("outboxed", [True, False])
    def test_if_several_replay_the_same_letters_at_once_expect_each_message_once(
        self, shop: Shop, outboxed: bool
    ) -> None:
        policy = Reliable(outbox=outboxed)
        replace_router("default", Router([route("orders", consume, reliable=policy)]))
        for number in range(20):
            content = encode_content({"n": number}, 100)
            record(Death(Parcel(f"{number}", "default", "orders", content, sent=1.0), Reason.RAISED))

        def replay_them() -> list[Exception]:
            return [error for _, error in replay_all(choose()) if error is not None]

        assert at_the_same_time(*[replay_them] * 4) == [[]] * 4
        assert sorted(int(parcel.id) for parcel in waiting()) == list(range(20))
        assert DeadLetter.objects.using(SHOP).count() == 0

    def test_if_a_run_asks_for_another_expect_it_then(self, shop: Shop) -> None:
        def retry(message: Message) -> None:
            raise Retry(after=77)

        consuming.append(retry)
        Channel("orders").send({"n": 1})
        assert isinstance(run_parcel(waiting()[0], False), Postponed)
        assert shop.rows().get().due_at.timestamp() == pytest.approx(time.time() + 77, abs=5)

    def test_if_a_run_fails_before_its_sender_notes_the_publication_expect_the_next_run_in_time(
        self, shop: Shop, sender: ReliableSender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where the worker is faster than the sender: what this one writes later must not hold it up."""
        publish = sender.publish

        def publish_and_run(parcel: Parcel) -> None:
            publish(parcel)
            run_parcel(waiting()[0], False)

        consuming.append(lambda message: 1 / 0)
        monkeypatch.setattr(sender, "publish", publish_and_run)
        Channel("orders").send({"n": 1})
        row = shop.rows().get()
        assert (row.attempt, row.published) == (2, 0)
        assert row.due_at.timestamp() <= time.time()

    def test_if_the_database_is_away_when_a_run_failed_expect_the_broker_to_keep_the_message(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*arguments: object) -> Any:
            raise DatabaseError("away")

        consuming.append(lambda message: 1 / 0)
        Channel("orders").send({"n": 1})
        monkeypatch.setattr(outbox, "postpone", refuse)
        assert isinstance(run_parcel(waiting()[0], False), Postponed)
        time.sleep(0.1)
        assert [(parcel.attempt, parcel.outbox) for parcel in waiting()] == [(2, SHOP)]

    def test_if_a_run_takes_long_expect_nobody_to_take_it_for_lost(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(renewals, "LOOK_EVERY", 0.02)
        monkeypatch.setattr(reliable_run, "renewing", Renewals().during)
        Channel("orders").send({"n": 1})
        shop.rows().update(due_at=moment(time.time() + 0.3))
        consuming.append(lambda message: time.sleep(0.8))
        (parcel,) = waiting()
        at_the_same_time(lambda: run_parcel(parcel, False), lambda: (time.sleep(0.6), relay(SHOP)))
        assert waiting() == []
        assert len(consumed) == 1
