"""The interface's publisher thread: batches while it is behind, order kept, nothing lost unless it is counted."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from channelcelery.broker.thread import PublisherThread
from channelcelery.conf import layer_config
from channelcelery.core.batches import MAX_BATCH
from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, ChannelFull
from tests.processes import wait_until
from tests.unit.broker.publishers import GatedPublisher

NEVER = 10_000_000_000_000


@pytest.fixture
def publisher() -> GatedPublisher:
    return GatedPublisher()


@pytest.fixture
def thread(publisher: GatedPublisher) -> Iterator[PublisherThread]:
    """A thread that has been started."""
    with running(publisher) as thread:
        yield thread


@contextmanager
def running(publisher: GatedPublisher, **config: Any) -> Iterator[PublisherThread]:
    """Run a publisher's thread on a layer with this CONFIG."""
    entry = {"BACKEND": "channelcelery.layers.InMemoryChannelLayer", "CONFIG": config}
    thread = PublisherThread(publisher, layer_config("default", entry))
    thread.start()
    yield thread
    publisher.errors.clear()
    publisher.open()
    thread.stop(10)


def item(number: int, deadline: int = NEVER) -> bytes:
    return encode_item(encode_content({"n": number}, 1_000), deadline)


def offer(thread: PublisherThread, numbers: range, channel: str = "a") -> None:
    for number in numbers:
        thread.offer(channel, item(number))


class TestBatching:
    def test_given_a_publisher_that_is_not_behind_expect_each_message_on_its_own(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        for number in range(3):
            thread.offer("a", item(number))
            publisher.wait_for("a", range(number + 1))
        assert publisher.published == [("a", [0]), ("a", [1]), ("a", [2])]
        wait_until(lambda: thread.waiting == 0)

    def test_given_one_that_is_behind_expect_what_gathered_meanwhile_in_few_batches_and_in_order(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.shut()
        offer(thread, range(1))
        wait_until(lambda: publisher.calls, what="the first to be under way")
        offer(thread, range(1, 200))
        assert thread.waiting == 200
        publisher.open()
        publisher.wait_for("a", range(200))
        assert [len(numbers) for _, numbers in publisher.published] == [1, MAX_BATCH, MAX_BATCH, MAX_BATCH, 7]

    def test_given_some_that_come_close_behind_others_expect_them_together(
        self, publisher: GatedPublisher, thread: PublisherThread, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, int]] = []
        monkeypatch.setattr("channelcelery.broker.thread.gathering", lambda *what: asked.append(what) or 0.2)
        offer(thread, range(1))
        publisher.wait_for("a", range(1))
        for number in range(1, 4):
            thread.offer("a", item(number))
            time.sleep(0.002)
        publisher.wait_for("a", range(4))
        assert publisher.published == [("a", [0]), ("a", [1, 2, 3])]
        assert asked == [("a", 1), ("a", 1)]

    def test_given_a_pause_expect_the_next_to_wait_for_nobody(
        self, publisher: GatedPublisher, thread: PublisherThread, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("channelcelery.broker.thread.gathering", lambda *what: 0.6)
        begun = time.monotonic()
        offer(thread, range(1))
        wait_until(lambda: time.monotonic() > begun + 0.7)
        later = time.monotonic()
        offer(thread, range(1, 2))
        publisher.wait_for("a", range(2))
        assert time.monotonic() - later < 0.5

    def test_given_more_than_it_takes_at_once_expect_nothing_lost(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.shut()
        offer(thread, range(3_333))
        publisher.open()
        publisher.wait_for("a", range(3_333))

    def test_given_several_channels_expect_the_order_of_each(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        for number in range(100):
            thread.offer(f"channel-{number % 3}", item(number))
        for channel in range(3):
            publisher.wait_for(f"channel-{channel}", range(channel, 100, 3))


class TestFullChannel:
    def test_expect_its_messages_to_wait_in_order_and_further_ones_refused_until_there_is_room(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.errors["a"] = ChannelFull(["a"])
        publisher.shut()
        offer(thread, range(100))
        publisher.open()
        refused = wait_for_refusal(thread, "a", range(100, 3_000))
        publisher.wait_for_calls("a", 2)
        with pytest.raises(ChannelFull) as caught:
            thread.offer("a", item(-1))
        assert caught.value.channels == ("a",)
        assert publisher.published == []
        publisher.errors.clear()
        publisher.wait_for("a", range(refused))
        wait_until(lambda: thread.waiting == 0)
        thread.offer("a", item(refused))
        publisher.wait_for("a", range(refused + 1))

    def test_if_it_fills_up_in_between_expect_what_was_sent_not_sent_again(
        self, publisher: GatedPublisher, thread: PublisherThread, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publisher.shut()
        offer(thread, range(1))
        wait_until(lambda: publisher.calls)
        offer(thread, range(1, 150))
        published = publisher.publish

        def full_for_the_third(channel: str, items: Any) -> None:
            published(channel, items)
            if publisher.calls == ["a"] * 2:
                publisher.errors["a"] = ChannelFull(["a"])

        monkeypatch.setattr(publisher, "publish", full_for_the_third)
        publisher.open()
        publisher.wait_for("a", range(1 + MAX_BATCH))
        publisher.wait_for_calls("a", 2)
        publisher.errors.clear()
        publisher.wait_for("a", range(150))

    def test_expect_other_channels_to_go_on(self, publisher: GatedPublisher, thread: PublisherThread) -> None:
        publisher.errors["a"] = ChannelFull(["a"])
        offer(thread, range(1), "a")
        publisher.wait_for_calls("a", 1)
        for number in range(20):
            thread.offer("b", item(number))
        publisher.wait_for("b", range(20))
        assert thread.waiting == 1

    def test_if_all_that_waited_expires_expect_the_channel_taken_again(
        self, publisher: GatedPublisher, thread: PublisherThread, caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher.errors["a"] = ChannelFull(["a"])
        soon = int(time.time() * 1_000) + 150
        for number in range(3):
            thread.offer("a", item(number, soon))
        wait_until(lambda: thread.waiting == 0, what="the messages to expire")
        assert thread.dropped == Counter(channel_full=3)
        assert "3 messages for a reached their deadline unpublished (channel_full)" in caplog.text
        publisher.errors.clear()
        wait_until(lambda: taken(thread, "a", 7), what="the channel to be taken again")
        publisher.wait_for("a", [7])

    def test_if_only_the_first_expire_expect_the_others_kept(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.errors["a"] = ChannelFull(["a"])
        publisher.shut()
        past = int(time.time() * 1_000) - 1
        for number, deadline in enumerate([past, past, NEVER, NEVER]):
            thread.offer("a", item(number, deadline))
        publisher.open()
        wait_until(lambda: thread.waiting == 2, what="the first two to expire")
        publisher.errors.clear()
        publisher.wait_for("a", [2, 3])
        assert thread.dropped == Counter(channel_full=2)


def wait_for_refusal(thread: PublisherThread, channel: str, numbers: range) -> int:
    """Offer messages until one is refused; return its number."""
    for number in numbers:
        if not taken(thread, channel, number):
            return number
        time.sleep(0.001)
    raise AssertionError("never refused")


def taken(thread: PublisherThread, channel: str, number: int) -> bool:
    """Offer a message; true if it was taken."""
    try:
        thread.offer(channel, item(number))
    except ChannelFull:
        return False
    return True


class TestBrokerAway:
    @pytest.mark.parametrize("error", [BrokerUnavailable("on purpose"), RuntimeError("on purpose")])
    def test_expect_messages_to_wait_in_order_further_ones_taken_and_one_line_in_the_log(
        self, publisher: GatedPublisher, thread: PublisherThread, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher.errors["a"] = error
        for number in range(10):
            thread.offer("a", item(number))
            publisher.wait_for_calls("a", 1)
        assert thread.waiting == 10
        publisher.errors.clear()
        publisher.wait_for("a", range(10))
        assert caplog.text.count("messages wait") == 1
        assert "on purpose" in caplog.text

    @pytest.mark.parametrize(
        ("error", "reason"), [(BrokerUnavailable("x"), "broker_unavailable"), (RuntimeError("x"), "publish_error")]
    )
    def test_if_messages_expire_meanwhile_expect_them_counted(
        self, publisher: GatedPublisher, thread: PublisherThread, error: Exception, reason: str
    ) -> None:
        publisher.errors["a"] = error
        for number in range(2):
            thread.offer("a", item(number, int(time.time() * 1_000) - 1))
        wait_until(lambda: thread.waiting == 0)
        assert thread.dropped == Counter({reason: 2})
        publisher.errors.clear()
        thread.offer("a", item(5))
        publisher.wait_for("a", [5])

    def test_given_a_limited_buffer_expect_it_never_above_over_all_channels(self, publisher: GatedPublisher) -> None:
        with running(publisher, publish_buffer=5) as thread:
            publisher.errors |= {"a": BrokerUnavailable("x"), "b": BrokerUnavailable("x")}
            assert [taken(thread, "ab"[number % 2], number) for number in range(8)] == [True] * 5 + [False] * 3
            publisher.errors.clear()
            wait_until(lambda: thread.waiting == 0)
            assert taken(thread, "a", 8)


class TestStop:
    def test_expect_what_waits_published_then_the_connection_closed(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.shut()
        offer(thread, range(500))
        publisher.open()
        thread.stop(10)
        assert publisher.numbers("a") == list(range(500))
        assert publisher.closed
        assert thread.waiting == 0

    def test_given_a_full_channel_if_there_is_room_in_time_expect_it_published(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.errors["a"] = ChannelFull(["a"])
        offer(thread, range(3))
        publisher.wait_for_calls("a", 2)
        publish = publisher.publish

        def make_room(channel: str, items: Any) -> None:
            if len(publisher.calls) > 5:
                publisher.errors.clear()
            publish(channel, items)

        publisher.publish = make_room  # type: ignore[method-assign]
        thread.stop(10)
        assert publisher.numbers("a") == [0, 1, 2]

    def test_if_the_time_is_up_expect_what_is_lost_logged(
        self, publisher: GatedPublisher, thread: PublisherThread, caplog: pytest.LogCaptureFixture
    ) -> None:
        publisher.shut()
        offer(thread, range(3))
        thread.stop(0.05)
        assert "3 messages were not published before the process ended" in caplog.text
        assert not publisher.closed

    def test_given_nothing_offered_expect_it_to_end_at_once(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        thread.stop(10)
        assert publisher.closed
        assert publisher.published == []


class TestNoAnswer:
    def test_if_the_broker_may_have_a_batch_expect_it_counted_and_not_sent_again(
        self, publisher: GatedPublisher, thread: PublisherThread
    ) -> None:
        publisher.errors["a"] = BrokerUnanswered("timed out")
        offer(thread, range(3))
        wait_until(lambda: not thread.waiting, what="the thread to let go of them")
        assert thread.dropped == Counter(broker_unanswered=3)
        del publisher.errors["a"]
        offer(thread, range(3, 5))
        publisher.wait_for("a", [3, 4])
