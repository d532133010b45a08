"""ConsumeLater: the message goes to the back of its channel, ten times at most (item 80)."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from channelcelery.channel import Channel
from channelcelery.core.envelope import count_retry, decode_item
from channelcelery.exceptions import BrokerUnavailable, ConsumeLater
from channelcelery.message import Message
from channelcelery.routing import route
from channelcelery.worker.consume import MAX_RETRIES, run_message
from tests.fakes import FakeLayer
from tests.unit.worker.jobs import NEVER, REPLY, counted, encoded, job


def later(message: Message) -> None:
    Channel("log").send({"n": message["n"]})
    message["n"] += 100
    message.content["mine"] = object()
    raise ConsumeLater


class TestConsumeLater:
    """The message goes to the back of its channel, at most ten times (item 80); what it sent still leaves (item 40)."""

    @pytest.fixture
    def queued(self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        """The items that went back to "chat"."""
        items: list[bytes] = []
        original = layer.publisher.put_back

        def put_back(channel: str, more: list[bytes]) -> None:
            if channel == "chat":
                items.extend(more)
            else:
                original(channel, more)

        monkeypatch.setattr(layer.publisher, "put_back", put_back)
        return items

    def test_expect_it_as_it_came_with_its_deadline_and_one_more_retry(
        self, routed: Callable[..., None], queued: list[bytes]
    ) -> None:
        """Items 25 and 80."""
        routed(later)
        assert counted(job(encoded({"n": 1}, NEVER - 7), encoded({"n": 2}))) == (2, 0, {})
        first, second = (decode_item(item) for item in queued)
        assert (first.content, first.deadline, first.retries) == ({"n": 1}, NEVER - 7, 1)
        assert (second.content, second.deadline, second.retries) == ({"n": 2}, NEVER, 1)

    def test_expect_one_run_and_ten_retries_then_a_warning_and_a_count(
        self, routed: Callable[..., None], queued: list[bytes], caplog: pytest.LogCaptureFixture, layer: FakeLayer
    ) -> None:
        """Items 40 and 80."""
        routed(lambda message: later(message))
        outcomes = [job({"n": 1})]
        while queued:
            outcomes.append(job(queued.pop()))
            assert len(outcomes) < 100
        assert sum(outcome.ran for outcome in outcomes) == 1 + MAX_RETRIES == 11
        assert [outcome.dropped for outcome in outcomes] == [{}] * 10 + [{"retried_too_often": 1}]
        assert sum(outcome.failed for outcome in outcomes) == 0
        (warning,) = [record for record in caplog.records if record.name == "django.channels.worker"]
        assert warning.levelname == "WARNING"
        assert "raised ConsumeLater 11 times on a message of chat: dropped" in warning.getMessage()
        assert len(layer.publisher.queues["log"]) == 11, "sends made before it leave, once for each try"

    def test_given_messages_behind_it_expect_it_after_them(self, routed: Callable[..., None], layer: FakeLayer) -> None:
        """Given a channel that is full, Expect it to take the message back all the same: it was there before."""
        # item 80

        def consumer(message: Message) -> None:
            if message["n"] == 1:
                Channel("chat").send({"n": "sent meanwhile"}, immediately=True)
                layer.publisher.full.add("chat")
                raise ConsumeLater

        routed(consumer)
        assert counted(job({"n": 1}, {"n": 2})) == (2, 0, {})
        assert layer.publisher.queues["chat"] == [{"n": "sent meanwhile"}, {"n": 1}]

    def test_if_it_expires_meanwhile_expect_it_dropped(self, routed: Callable[..., None]) -> None:
        routed(later)
        item = count_retry(encoded({"n": 1}, int(time.time() * 1_000) - 1))
        assert counted(job(item)) == (0, 0, {"expired": 1})

    def test_if_the_broker_is_away_expect_it_counted(
        self,
        routed: Callable[..., None],
        layer: FakeLayer,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def put_back(channel: str, items: list[bytes]) -> None:
            raise BrokerUnavailable("on purpose")

        def consumer(message: Message) -> None:
            raise ConsumeLater

        monkeypatch.setattr(layer.publisher, "put_back", put_back)
        routed(consumer)
        assert counted(job({}, {})) == (2, 0, {"broker_unavailable": 2})
        assert "2 messages of chat are lost: the broker did not take the message: on purpose" in caplog.text

    def test_given_a_handshake_expect_no_answer_until_the_last_try_which_refuses(
        self, routed: Callable[..., None], layer: FakeLayer
    ) -> None:
        def consumer(message: Message) -> None:
            raise ConsumeLater

        routed(route("websocket.connect", consumer))
        message = Message({"reply_channel": REPLY}, "websocket.connect", layer)
        for retries in range(MAX_RETRIES):
            run = run_message(message, Counter(), retries)
            assert (run.later, run.sends) == (True, [])
        run = run_message(message, Counter(), MAX_RETRIES)
        assert not run.later
        layer.flush_sends([send for _, send in run.sends])
        assert layer.replies.delivered == [(REPLY, {"close": True})]
