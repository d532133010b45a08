"""Running consumers: what is called, what leaves, what is counted, and that nothing escapes (items 36, 76 to 86)."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.dispatch import Signal

from channelcelery.channel import Channel, Group
from channelcelery.exceptions import (
    ChannelSocketException,
    ConsumeLater,
    DenyConnection,
    WebsocketCloseException,
)
from channelcelery.message import Message
from channelcelery.routing import route
from channelcelery.sessions import channel_session, session_for_reply_channel
from channelcelery.signals import Worker, consumer_finished, consumer_started
from channelcelery.worker import claims, consume, runner
from channelcelery.worker.runner import run_job
from tests.fakes import FakeLayer
from tests.unit.worker.jobs import REPLY, counted, encoded, job

Consumer = Callable[..., Any]


def nothing(message: Message) -> None: ...


def failing(message: Message) -> None:
    raise RuntimeError("on purpose")


class TestRouting:
    def test_given_named_groups_expect_them_as_keyword_arguments(self, routed: Callable[..., None]) -> None:
        """Items 67 and 78."""
        seen: list[Any] = []

        def consumer(message: Message, room: str) -> None:
            seen.append((message["path"], room, message.channel.name))

        routed(route("chat", consumer, path=r"^/(?P<room>\w+)/$"))
        assert counted(job({"path": "/a/"}, {"path": "/b/"})) == (2, 0, {})
        assert seen == [("/a/", "a", "chat"), ("/b/", "b", "chat")]

    def test_given_no_route_expect_an_error_logged_a_count_and_no_signal(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture, signals: list[str]
    ) -> None:
        """Item 76."""
        routed(route("chat", nothing, path="^/a"))
        assert counted(job({"path": "/b"}, {"path": "/a"})) == (1, 0, {"unrouted": 1})
        assert "no route for a message on chat: check the routing" in caplog.text
        assert signals == ["started", "finished"]

    def test_given_a_route_of_ones_own_that_raises_expect_it_logged_and_the_next_message_run(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Defect 18."""

        class Fragile:
            def channel_names(self) -> set[str]:
                return {"chat"}

            def match(self, message: Message) -> Any:
                return nothing, {"x": 1 / 0} if "bad" in message else {}

        routed(Fragile())
        assert counted(job({"bad": 1}, {})) == (1, 1, {})
        assert "a message of chat could not be handled" in caplog.text
        assert "ZeroDivisionError" in caplog.text

    def test_each_message_is_logged_with_its_channel_and_consumer(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        routed(nothing)
        with caplog.at_level(logging.DEBUG, "django.channels.worker"):
            job({"secret": "do not log"})
        assert "chat -> tests.unit.worker.test_runner.nothing" in caplog.text
        assert "do not log" not in caplog.text


@pytest.fixture
def signals() -> Iterator[list[str]]:
    """What the consumer signals said, in order."""
    seen: list[str] = []

    def started(**kwargs: Any) -> None:
        seen.append("started")

    def finished(**kwargs: Any) -> None:
        seen.append("finished")

    consumer_started.connect(started)
    consumer_finished.connect(finished)
    yield seen
    consumer_started.disconnect(started)
    consumer_finished.disconnect(finished)


class TestAroundAConsumer:
    @pytest.mark.parametrize("error", [None, RuntimeError, ConsumeLater, DenyConnection, SystemExit])
    def test_expect_both_signals_and_old_database_connections_closed_before_and_after(
        self,
        routed: Callable[..., None],
        signals: list[str],
        monkeypatch: pytest.MonkeyPatch,
        error: type[BaseException] | None,
    ) -> None:
        """Items 85 and 86."""

        def consumer(message: Message) -> None:
            signals.append("ran")
            if error is not None:
                raise error

        monkeypatch.setattr(consume, "close_old_connections", lambda: signals.append("closed"))
        routed(consumer)
        job({})
        assert signals == ["started", "closed", "ran", "closed", "finished"]

    def test_given_several_messages_expect_connections_closed_between_them_and_not_twice(
        self, routed: Callable[..., None], signals: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Item 86: what a consumer left is closed before the next one runs, which has no time to grow old between."""
        monkeypatch.setattr(consume, "close_old_connections", lambda: signals.append("closed"))
        routed(lambda message: signals.append("ran"))
        job({}, {})
        assert signals == ["started", "closed", "ran", "closed", "finished", "started", "ran", "closed", "finished"]

    def test_expect_the_senders_and_arguments_of_channels_1x(
        self, routed: Callable[..., None], signals: list[str]
    ) -> None:
        """Item 85: the sender is the Worker class, and the environ an empty dict."""
        told: list[dict[str, Any]] = []

        def receiver(**kwargs: Any) -> None:
            told.append(kwargs)

        consumer_started.connect(receiver, sender=Worker)
        consumer_finished.connect(receiver, sender=Worker)
        try:
            routed(lambda message: None)
            job({})
        finally:
            consumer_started.disconnect(receiver, sender=Worker)
            consumer_finished.disconnect(receiver, sender=Worker)
        assert told == [
            {"signal": consumer_started, "sender": Worker, "environ": {}},
            {"signal": consumer_finished, "sender": Worker},
        ]

    @pytest.mark.parametrize("signal", [consumer_started, consumer_finished])
    def test_if_a_receiver_raises_then_the_consumer_runs_all_the_same(
        self, routed: Callable[..., None], layer: FakeLayer, signal: Signal
    ) -> None:
        def receiver(**kwargs: Any) -> None:
            raise RuntimeError("on purpose")

        signal.connect(receiver)
        try:
            routed(lambda message: Channel("log").send({}))
            assert counted(job({})) == (1, 0, {})
        finally:
            signal.disconnect(receiver)
        assert layer.publisher.queues == {"log": [{}]}


class TestRaising:
    def test_given_a_consumer_that_raises_expect_it_logged_its_sends_and_the_next_message_run(
        self, routed: Callable[..., None], layer: FakeLayer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Items 36 and 79."""

        def consumer(message: Message) -> None:
            Channel("log").send({"n": message["n"]})
            Group("room").send({"text": "a"})
            if message["n"] == 1:
                raise RuntimeError("on purpose")

        routed(consumer)
        assert counted(job({"n": 1}, {"n": 2})) == (2, 1, {})
        assert layer.publisher.queues == {"log": [{"n": 1}, {"n": 2}]}
        assert layer.replies.delivered == [("room", {"text": "a"})] * 2
        assert "raised on a message of chat" in caplog.text
        assert "RuntimeError: on purpose" in caplog.text

    @pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), RecursionError(), KeyError("x")])
    def test_whatever_it_raises_the_job_ends_well(self, routed: Callable[..., None], error: BaseException) -> None:
        """Item 79, and defect 1."""

        def consumer(message: Message) -> None:
            raise error

        routed(consumer)
        assert counted(job({}, {})) == (2, 2, {})

    def test_given_ctrl_c_expect_it_to_pass(self, routed: Callable[..., None]) -> None:
        def consumer(message: Message) -> None:
            raise KeyboardInterrupt

        routed(consumer)
        with pytest.raises(KeyboardInterrupt):
            job({})

    def test_given_an_exception_that_acts_expect_it_to_act_on_the_message(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        """Item 82."""

        class Answer(ChannelSocketException):
            def run(self, message: Message) -> None:
                Channel("log").send({"about": message["text"]})

        def consumer(message: Message) -> None:
            raise Answer

        routed(consumer)
        assert counted(job({"text": "a"})) == (1, 0, {})
        assert layer.publisher.queues == {"log": [{"about": "a"}]}

    def test_given_one_that_cannot_act_expect_it_logged(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Item 83, and defects 1 and 2."""

        def consumer(message: Message) -> None:
            raise WebsocketCloseException(4001)

        routed(consumer)
        assert counted(job({})) == (1, 1, {})
        assert "WebsocketCloseException raised by" in caplog.text
        assert "not of a socket" in caplog.text

    def test_given_deny_connection_outside_of_connect_expect_it_logged(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture, layer: FakeLayer
    ) -> None:
        """Item 81, and defect 1."""

        def consumer(message: Message) -> None:
            raise DenyConnection

        routed(route("websocket.receive", consumer))
        assert counted(job({"reply_channel": REPLY}, channel="websocket.receive")) == (1, 1, {})
        assert "only websocket.connect can" in caplog.text
        assert layer.replies.delivered == []


class TestAsyncConsumers:
    async def sending(self, message: Message) -> None:
        await asyncio.sleep(0)
        Channel("log").send({"from": "async"})

    def test_given_a_coroutine_function_expect_it_awaited_and_its_sends(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        """Item 14."""
        routed(self.sending)
        assert counted(job({}, {})) == (2, 0, {})
        assert layer.publisher.queues == {"log": [{"from": "async"}] * 2}

    def test_given_one_behind_a_plain_decorator_expect_it_awaited(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        routed(lambda message: self.sending(message))
        assert counted(job({})) == (1, 0, {})
        assert layer.publisher.queues == {"log": [{"from": "async"}]}

    @pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, SystemExit])
    def test_given_one_that_raises_expect_it_counted(
        self, routed: Callable[..., None], error: type[BaseException]
    ) -> None:
        async def consumer(message: Message) -> None:
            await asyncio.sleep(0)
            raise error

        routed(consumer)
        assert counted(job({})) == (1, 1, {})

    def test_given_one_that_wants_to_run_later_expect_it(self, routed: Callable[..., None], layer: FakeLayer) -> None:
        async def consumer(message: Message) -> None:
            await asyncio.sleep(0)
            raise ConsumeLater

        routed(consumer)
        assert counted(job({})) == (1, 0, {})
        assert layer.publisher.queues == {"chat": [{}]}

    def test_given_a_return_value_that_is_no_coroutine_expect_it_ignored(self, routed: Callable[..., None]) -> None:
        """Item 14."""
        routed(lambda message: "anything")
        assert counted(job({})) == (1, 0, {})


class TestReading:
    def test_given_expired_and_unreadable_messages_expect_them_counted_and_the_others_run(
        self, routed: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Item 56."""
        ran: list[int] = []
        routed(lambda message: ran.append(message["n"]))
        now = int(time.time() * 1_000)
        items = [
            encoded({"n": 1}),
            encoded({"n": 2}, deadline=now - 1_000),
            encoded({"n": 3}, deadline=now + 60_000),
            b"garbage",
            b"",
            encoded({"n": 4, "reply_channel": "no name"}),
            encoded({"n": 5, "reply_channel": ["a"]}),
            encoded({"n": 6, "reply_channel": {"a": 1}}),
            encoded({"n": 7}),
        ]
        assert counted(job(*items)) == (3, 0, {"expired": 1, "unreadable": 5})
        assert ran == [1, 3, 7]
        assert caplog.text.count("cannot be read and is dropped") == 5

    def test_given_a_job_that_was_taken_back_expect_nothing_run(self, routed: Callable[..., None]) -> None:
        ran: list[Message] = []
        routed(ran.append)
        sequence = claims.new_sequence()
        assert claims.withdraw(0, sequence)
        assert run_job("default", "chat", (encoded({}),), (0, sequence)) is None
        assert ran == []

    def test_the_whole_job_is_timed(self, routed: Callable[..., None]) -> None:
        routed(lambda message: time.sleep(0.01))
        assert job({}, {}).seconds >= 0.02


class TestFlushing:
    @pytest.fixture
    def flushes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many sends left together, each time."""
        sizes: list[int] = []

        def flush(waiting: Any) -> Counter[str]:
            if waiting:
                sizes.append(len(waiting))
            return Counter(dropped_on_purpose=len(waiting))

        monkeypatch.setattr(runner, "flush", flush)
        return sizes

    def test_given_quick_consumers_expect_one_flush_for_the_whole_job(
        self, routed: Callable[..., None], flushes: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "FLUSH_AFTER", 60.0)
        routed(lambda message: Channel("log").send({}))
        assert counted(job({}, {}, {})) == (3, 0, {"dropped_on_purpose": 3})
        assert flushes == [3]

    def test_given_slow_consumers_expect_their_sends_to_leave_in_between(
        self, routed: Callable[..., None], flushes: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "FLUSH_AFTER", 0.02)

        def consumer(message: Message) -> None:
            Channel("log").send({})
            time.sleep(message["seconds"])

        routed(consumer)
        assert counted(job({"seconds": 0.03}, {"seconds": 0.03}, {"seconds": 0})) == (
            3,
            0,
            {"dropped_on_purpose": 3},
        )
        assert flushes == [1, 1, 1]

    def test_given_a_slow_view_expect_the_answers_before_it_to_leave_meanwhile(
        self, routed: Callable[..., None], flushes: list[int]
    ) -> None:
        """Items 92 and 106: nobody waits for another's page."""

        def view(message: Message) -> None:
            deadline = time.monotonic() + 10
            while message["slow"] and not flushes and time.monotonic() < deadline:
                time.sleep(0.001)
            Channel("log").send({})

        routed(route("http.request", view))
        outcome = job({"slow": 0}, {"slow": 0}, {"slow": 1}, {"slow": 0}, channel="http.request")
        assert counted(outcome) == (4, 0, {"dropped_on_purpose": 4})
        assert outcome.seconds < 5
        assert sum(flushes) == 4

    def test_given_quick_views_expect_one_flush_and_no_thread_left(
        self, routed: Callable[..., None], flushes: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "FLUSH_AFTER", 60.0)
        routed(route("http.request", lambda message: Channel("log").send({})))
        before = threading.active_count()
        assert counted(job({}, {}, {}, channel="http.request"))[:2] == (3, 0)
        assert flushes == [3]
        assert threading.active_count() == before

    def test_given_nothing_sent_expect_no_flush_and_nothing_counted(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        routed(nothing)
        assert counted(job({}, {})) == (2, 0, {})
        assert layer.publisher.calls == []

    def test_given_sends_that_are_dropped_expect_them_in_the_outcome(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        layer.replies.full.add(REPLY)
        routed(lambda message: Channel(REPLY).send({"text": "a"}))
        assert counted(job({}, {})) == (2, 0, {"inbox_full": 2})

    def test_what_is_sent_inside_a_consumer_leaves_only_after_it(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        """Items 36 and 39."""
        inside: list[Any] = []

        def consumer(message: Message) -> None:
            Channel("log").send({"held": "back"})
            Channel("log").send({"at": "once"}, immediately=True)
            inside.extend(layer.publisher.queues["log"])

        routed(consumer)
        job({})
        assert inside == [{"at": "once"}]
        assert layer.publisher.queues["log"] == [{"at": "once"}, {"held": "back"}]

    def test_what_is_sent_leaves_when_the_session_has_been_saved(
        self, routed: Callable[..., None], layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Item 36: whoever gets a message finds what its sender wrote down, also if that raised then."""
        publish, found = layer.publisher.publish, []

        def look(channel: str, items: Any) -> None:
            found.append(session_for_reply_channel(REPLY).get("n"))
            publish(channel, items)

        @channel_session
        def consumer(message: Any) -> None:
            Channel("log").send({})
            message.channel_session["n"] = message["n"]
            if message["n"] == 2:
                raise RuntimeError("on purpose")

        monkeypatch.setattr(layer.publisher, "publish", look)
        routed(consumer)
        for n in (1, 2):
            job({"n": n, "reply_channel": REPLY})
        assert found == [1, 2]
