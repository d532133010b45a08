"""Ordered messages in a job: turns, what leaves when, what is handed on, and what is dropped (items 155 to 172)."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from channelcelery.core.backlog import Job
from channelcelery.core.envelope import decode_item
from channelcelery.core.names import ReplyAddress
from channelcelery.core.ordering import Arrival, Verdict
from channelcelery.core.outcome import Outcome
from channelcelery.exceptions import ConsumeLater, LayerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.ordering import enforce_ordering
from channelcelery.routing import route
from channelcelery.worker import ordered
from channelcelery.worker.leases import Leases
from channelcelery.worker.ordered import MAX_TAKEN, listen_to
from tests.fakes import FakeLayer
from tests.processes import wait_until
from tests.unit.worker.jobs import REPLY, counted, encoded, job
from tests.unit.worker.pools import FakePool

CHANNELS = ("websocket.connect", "websocket.receive", "websocket.disconnect")
ADDRESS = ReplyAddress("node", "token")


@pytest.fixture(autouse=True)
def no_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave sessions out: they have tests of their own."""

    @contextmanager
    def nothing(message: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr("channelcelery.ordering.with_channel_session", nothing)


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Listen on all channels of sockets."""
    listen_to(("default", channel) for channel in CHANNELS)
    yield
    listen_to([])


@pytest.fixture
def socket(routed: Callable[..., None], layer: FakeLayer) -> Callable[..., Any]:
    """Route a socket to one consumer, ordered unless a test orders it itself; returns the numbers that ran."""

    def set_consumer(consumer: Callable[[Message], Any] = lambda message: None, **options: Any) -> list[Any]:
        ran: list[Any] = []

        @enforce_ordering(**options)
        def noting(message: Message) -> None:
            ran.append(message.get("order"))
            consumer(message)

        routed(route(list(CHANNELS), noting))
        return ran

    return set_consumer


def message(order: Any, **content: Any) -> dict[str, Any]:
    return {"reply_channel": REPLY, "path": "/", "order": order, **content}


def receive(*orders: int) -> Outcome:
    """Run a job of frames."""
    return job(*map(message, orders), channel="websocket.receive")


def connect() -> Outcome:
    return job(message(0), channel="websocket.connect")


def orders(outcome: Outcome) -> list[int]:
    """Return the numbers of what was handed on to the worker."""
    return [decode_item(item).content["order"] for _, item in outcome.handed]


class TestTurns:
    def test_given_messages_out_of_order_expect_them_run_in_order(self, socket: Callable[..., Any]) -> None:
        """Items 157 to 159."""
        ran = socket()
        assert counted(connect()) == (1, 0, {})
        assert counted(receive(3, 2, 4, 1)) == (4, 0, {})
        assert ran == [0, 1, 2, 3, 4]

    def test_expect_what_a_message_sends_to_leave_before_the_next_one_begins(
        self, socket: Callable[..., Any], layer: FakeLayer
    ) -> None:
        """Item 165."""
        seen: list[Any] = []

        def consumer(message: Message) -> None:
            seen.append([content["text"] for _, content in layer.replies.delivered if "text" in content])
            assert message.reply_channel is not None
            message.reply_channel.send({"text": str(message["order"])})

        socket(consumer)
        receive(2, 1, 3)
        assert seen == [[], ["1"], ["1", "2"]]
        assert len(layer.replies.delivered) == 3

    def test_if_a_consumer_raises_expect_the_next_message_to_run(self, socket: Callable[..., Any]) -> None:
        """Item 170 and defect 4."""

        def consumer(message: Message) -> None:
            raise RuntimeError("on purpose")

        ran = socket(consumer)
        assert counted(receive(2, 1, 3)) == (3, 3, {})
        assert ran == [1, 2, 3]

    def test_if_a_consumer_asks_to_run_later_expect_it_handed_on_with_a_retry_counted(
        self, socket: Callable[..., Any]
    ) -> None:
        """Item 80, and section 0, item 5: waiting for a turn counts as no retry."""

        def consumer(message: Message) -> None:
            if len(ran) == 1:
                raise ConsumeLater

        ran = socket(consumer)
        outcome = receive(2, 1)
        assert orders(outcome) == [1]
        assert decode_item(outcome.handed[0][1]).retries == 1
        assert job(outcome.handed[0][1], channel="websocket.receive").ran == 2
        assert ran == [1, 1, 2]

    def test_if_a_message_expired_expect_its_turn_passed_over(self, socket: Callable[..., Any]) -> None:
        """Item 56."""
        ran = socket()
        assert counted(job(encoded(message(1), deadline=1), message(2), channel="websocket.receive")) == (
            1,
            0,
            {"expired": 1},
        )
        assert ran == [2]

    def test_if_a_message_has_no_order_expect_the_decorator_s_error_logged(
        self, socket: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Items 156 and 168."""
        ran = socket()
        without = {"reply_channel": REPLY, "path": "/"}
        assert counted(job(without, message("x"), {"order": 1}, channel="websocket.receive"))[:2] == (3, 2)
        assert "No `order` value" in caplog.text
        assert "must be a whole number" in caplog.text
        # without a reply channel it is the session's decorator that raises, which is left out here
        assert ran == [1]

    def test_given_consumers_without_order_expect_no_look_at_it(
        self, routed: Callable[..., None], layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is asked of Redis for them."""
        monkeypatch.delattr(layer, "order")
        routed(lambda message: None)
        assert counted(job(message(1), message(0))) == (2, 0, {})

    def test_given_a_decorator_that_hides_the_order_expect_a_warning(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Never out of order without a word."""

        @enforce_ordering
        def consumer(message: Message) -> None: ...

        routed(route("websocket.receive", lambda message: consumer(message)))
        assert counted(receive(1, 2)) == (2, 0, {})
        assert caplog.text.count("enforce_ordering of a consumer of websocket.receive has no effect") == 1
        assert "functools.wraps" in caplog.text

    def test_if_a_parked_message_can_be_read_no_more_expect_its_turn_passed_over(
        self, socket: Callable[..., Any], layer: FakeLayer
    ) -> None:
        ran = socket()
        layer.order.enter(ADDRESS, Arrival(2, "websocket.receive", b"garbage"))
        assert counted(receive(3, 1)) == (2, 0, {"unreadable": 1})
        assert ran == [1, 3]


class TestHandedOn:
    def test_given_more_than_a_runner_takes_expect_the_rest_handed_to_its_worker(
        self, socket: Callable[..., Any], layer: FakeLayer
    ) -> None:
        ran = socket()
        outcome = receive(*range(2, 40), 1)
        assert ran == list(range(1, MAX_TAKEN + 2))
        assert orders(outcome) == [MAX_TAKEN + 2]
        assert layer.publisher.queues == {}
        job(outcome.handed[0][1], channel="websocket.receive")
        assert len(ran) == 1 + 2 * MAX_TAKEN + 1

    def test_given_slow_consumers_expect_it_after_a_tenth_of_a_second(self, socket: Callable[..., Any]) -> None:
        ran = socket(lambda message: time.sleep(0.04))
        outcome = receive(*range(2, 10), 1)
        assert 3 <= len(ran) <= 5
        assert orders(outcome) == [ran[-1] + 1]

    def test_given_a_channel_that_the_worker_does_not_listen_on_expect_it_put_back(
        self, socket: Callable[..., Any], layer: FakeLayer
    ) -> None:
        listen_to([("default", "websocket.connect"), ("other", "websocket.receive")])

        def consumer(message: Message) -> None:
            if message["order"] == 0:
                receive(1)

        ran = socket(consumer)
        outcome = connect()
        assert ran == [0]
        assert outcome.handed == ()
        assert [content["order"] for content in layer.publisher.queues["websocket.receive"]] == [1]

    def test_given_slight_order_expect_what_waited_handed_on_at_once(self, socket: Callable[..., Any]) -> None:
        """Item 172."""
        released: list[Outcome] = []

        def consumer(message: Message) -> None:
            if message["order"] == 0:
                released.append(receive(2, 1))

        ran = socket(consumer, slight=True)
        outcome = connect()
        assert ran == [0]
        assert orders(outcome) == [1, 2]
        job(outcome.handed[1][1], outcome.handed[0][1], channel="websocket.receive")
        assert ran == [0, 2, 1]

    def test_given_a_worker_expect_what_is_handed_on_to_be_the_next_to_run(self) -> None:
        pool = FakePool(slots=1)
        pool.receive(b"1")
        begun: Job = pool.jobs[0]
        pool.handover.accepted(begun)
        pool.jobs.remove(begun)
        pool.handover.finished(begun, Outcome(1, handed=(("other", b"handed on"),)))
        assert [(job.key, job.items) for job in pool.jobs] == [(("default", "other"), (b"handed on",))]
        assert pool.jobs[0].deliveries[0].owned


class TestDropped:
    def test_if_a_message_comes_twice_expect_it_counted_and_logged_once(
        self, socket: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Item 162."""
        ordered._bursts._seen.clear()
        ran = socket()
        assert counted(receive(1, 1, 1)) == (1, 0, {"order_late": 2})
        assert ran == [1]
        assert caplog.text.count("came twice, or after its turn was over") == 1

    def test_given_the_copy_of_one_that_was_handed_on_expect_silence(self, socket: Callable[..., Any]) -> None:
        socket()
        outcome = receive(*range(2, 40), 1)
        receive(1000)
        assert counted(job(outcome.handed[0][1], channel="websocket.receive"))[2] == {}

    def test_if_too_many_wait_expect_the_socket_closed(
        self, socket: Callable[..., Any], layer: FakeLayer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Item 160, better: 1013, try again later."""
        ran = socket()
        assert counted(receive(*range(2, 103))) == (0, 0, {"order_full": 1})
        assert layer.replies.delivered == [(REPLY, {"close": 1013})]
        assert ran == []
        assert "too many wait already" in caplog.text

    @pytest.mark.parametrize("method", ["enter", "leave"])
    def test_if_redis_is_away_expect_nothing_out_of_order(
        self, socket: Callable[..., Any], layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        ran = socket()

        def away(*args: Any) -> Any:
            raise LayerUnavailable("away")

        with monkeypatch.context() as context:
            context.setattr(layer.order, method, away)
            dropped = counted(receive(1))[2]
        assert dropped == ({"order_unavailable": 1} if method == "enter" else {})
        assert ran == ([] if method == "enter" else [1])
        receive(2)
        assert ran == ([] if method == "enter" else [1]), "it waits, until the sweep goes on"


class TestLeases:
    @pytest.fixture
    def brief(self) -> Iterator[FakeLayer]:
        """A layer whose connections go on after 0.5 seconds."""
        layer = FakeLayer(order_stall=0.5)
        old = channel_layers.set("default", layer)
        yield layer
        channel_layers.set("default", old)

    def test_given_a_consumer_that_takes_longer_than_the_limit_expect_its_turn_kept(self, brief: FakeLayer) -> None:
        leases = Leases()
        assert brief.order.enter(ADDRESS, Arrival(1, "websocket.receive", b"")).verdict is Verdict.RUN
        with leases.hold(brief, ADDRESS, 1):
            begun = time.monotonic()
            while time.monotonic() < begun + 1.2:
                assert brief.order.sweep(10).unfinished == 0
                time.sleep(0.01)
        wait_until(lambda: brief.order.sweep(10).unfinished, timeout=5, what="the lease to run out")

    def test_if_redis_is_away_expect_it_said_and_the_thread_to_go_on(
        self, brief: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        leases, asked = Leases(), threading.Event()

        def away(running: Any) -> None:
            asked.set()
            raise LayerUnavailable("away")

        monkeypatch.setattr(brief.order, "renew", away)
        with caplog.at_level(logging.WARNING, "django.channels.worker"), leases.hold(brief, ADDRESS, 1):
            assert asked.wait(5)
            wait_until(lambda: "may be taken for dead" in caplog.text, timeout=5)
            assert leases._thread is not None
            assert leases._thread.is_alive()
