"""One flush of what consumers sent: what is tried again, what is not, and what is counted (items 31 and 38)."""

from typing import Any

import pytest

from channelcelery.core.envelope import encode_content, encode_item
from channelcelery.core.sends import Send
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable, LayerUnavailable
from channelcelery.worker import flush as flush_module
from channelcelery.worker.flush import flush
from tests.fakes import FakeLayer
from tests.unit.worker.jobs import REPLY

OTHER = "websocket.send!node.other"


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> FakeLayer:
    """A layer on which a flush is quick to give up."""
    monkeypatch.setattr(flush_module, "WAIT_FOR_ROOM", 0.05)
    monkeypatch.setattr(flush_module, "BETWEEN_TRIES", 0.005)
    return FakeLayer()


def sends(layer: FakeLayer, *pairs: tuple[str, dict[str, Any]]) -> list[tuple[FakeLayer, Send]]:
    """Return sends to channels, as a consumer collects them."""
    return [(layer, layer.prepare(channel, content)) for channel, content in pairs]


def broken(error: Exception) -> Any:
    """Return what raises an error, whatever it is called with."""

    def call(*args: Any) -> Any:
        raise error

    return call


def test_given_all_kinds_expect_queues_first_then_replies_and_groups_in_the_order_of_the_calls(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item 36."""
    order: list[str] = []
    publish, deliver = layer.publisher.publish, layer.replies.deliver
    monkeypatch.setattr(layer.publisher, "publish", lambda *args: (order.append("queues"), publish(*args))[1])
    monkeypatch.setattr(layer.replies, "deliver", lambda *args: (order.append("replies"), deliver(*args))[1])
    waiting = sends(layer, (REPLY, {"text": "1"}), ("a", {"n": 1}), ("b", {"n": 2}), ("a", {"n": 3}))
    waiting += [(layer, layer.prepare_group("room", {"text": "2"})), *sends(layer, (REPLY, {"text": "3"}))]
    assert not flush(waiting)
    assert order == ["queues", "queues", "replies"], "one call for each channel, and one for all replies"
    assert layer.publisher.queues == {"a": [{"n": 1}, {"n": 3}], "b": [{"n": 2}]}
    assert layer.replies.delivered == [(REPLY, {"text": "1"}), ("room", {"text": "2"}), (REPLY, {"text": "3"})]


def test_given_two_layers_expect_each_to_get_its_own(layer: FakeLayer) -> None:
    """Item 48."""
    other = FakeLayer("other")
    assert not flush(sends(layer, ("a", {"n": 1})) + sends(other, ("a", {"n": 2})) + sends(layer, ("a", {"n": 3})))
    assert layer.publisher.queues == {"a": [{"n": 1}, {"n": 3}]}
    assert other.publisher.queues == {"a": [{"n": 2}]}


def test_given_nothing_expect_nothing(layer: FakeLayer) -> None:
    assert not flush([])


def test_expect_room_to_be_waited_for_as_long_as_in_1_x() -> None:
    """Item 38: a look every 0.2 s, for two seconds."""
    assert (flush_module.BETWEEN_TRIES, flush_module.WAIT_FOR_ROOM) == (0.2, 2.0)


def test_given_several_channels_with_room_expect_no_wait_between_them(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(flush_module.time, "sleep", waits.append)
    assert not flush(sends(layer, ("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})))
    assert (layer.publisher.calls, waits) == (["a", "b", "c"], [])


class TestFullQueue:
    def test_expect_it_tried_again_then_dropped_counted_and_logged_with_the_mend(
        self, layer: FakeLayer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Item 38, and defects 1 and 3."""
        layer.publisher.full.add("a")
        dropped = flush(sends(layer, ("a", {"n": 1}), ("b", {"n": 2}), ("a", {"n": 3}), (REPLY, {"text": "x"})))
        assert dropped == {"channel_full": 2}
        assert layer.publisher.calls.count("a") > 2
        assert layer.publisher.calls.count("b") == 1, "what was taken is not sent again"
        assert layer.publisher.queues == {"b": [{"n": 2}]}
        assert layer.replies.delivered == [(REPLY, {"text": "x"})], "replies do not wait for ever"
        assert "2 messages were dropped since a stayed at capacity for 0.05 s: run more workers" in caplog.text

    def test_if_there_is_room_again_expect_it_sent_once_and_in_order(self, layer: FakeLayer) -> None:
        """Item 38."""
        layer.publisher.full.add("a")
        publish = layer.publisher.publish

        def make_room_after_two_tries(channel: str, items: Any) -> None:
            if layer.publisher.calls.count("a") == 2:
                layer.publisher.full.clear()
            publish(channel, items)

        layer.publisher.publish = make_room_after_two_tries  # type: ignore[method-assign]
        assert not flush(sends(layer, ("a", {"n": 1}), ("a", {"n": 2})))
        assert layer.publisher.queues == {"a": [{"n": 1}, {"n": 2}]}


class TestFullInbox:
    def test_expect_its_replies_dropped_at_once_counted_and_logged(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        layer.replies.full.add(REPLY)
        calls: list[Any] = []
        deliver = layer.replies.deliver
        monkeypatch.setattr(layer.replies, "deliver", lambda found: (calls.append(found), deliver(found))[1])
        dropped = flush(sends(layer, (REPLY, {"text": "1"}), (OTHER, {"text": "2"}), (REPLY, {"text": "3"})))
        assert dropped == {"inbox_full": 2}
        assert len(calls) == 1
        assert layer.replies.delivered == [(OTHER, {"text": "2"})]
        assert "an inbox is not read" in caplog.text


class TestServersAway:
    def test_if_the_broker_is_away_then_replies_leave_all_the_same(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(layer.publisher, "publish", broken(BrokerUnavailable("on purpose")))
        dropped = flush(sends(layer, ("a", {}), ("b", {}), (REPLY, {"text": "x"})))
        assert dropped == {"broker_unavailable": 2}
        assert layer.replies.delivered == [(REPLY, {"text": "x"})]
        assert "2 messages were dropped: the broker did not take the message: on purpose" in caplog.text

    def test_if_the_broker_goes_away_in_the_middle_then_what_left_before_is_not_counted(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish = layer.publisher.publish

        def take_one_channel(channel: str, items: Any) -> None:
            if layer.publisher.queues:
                raise BrokerUnavailable("on purpose")
            publish(channel, items)

        monkeypatch.setattr(layer.publisher, "publish", take_one_channel)
        dropped = flush(sends(layer, ("a", {"n": 1}), ("b", {}), ("a", {"n": 2}), ("c", {}), ("b", {})))
        assert layer.publisher.queues == {"a": [{"n": 1}, {"n": 2}]}
        assert dropped == {"broker_unavailable": 3}

    def test_if_redis_is_away_then_messages_leave_all_the_same(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(layer.replies, "deliver", broken(LayerUnavailable("on purpose")))
        dropped = flush([*sends(layer, ("a", {"n": 1}), (REPLY, {})), (layer, layer.prepare_group("room", {}))])
        assert dropped == {"layer_unavailable": 2}
        assert layer.publisher.queues == {"a": [{"n": 1}]}
        assert "2 replies and group sends were dropped: the channel layer's Redis did not answer" in caplog.text

    def test_if_one_layer_is_away_then_the_other_gets_its_own(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = FakeLayer("other")
        monkeypatch.setattr(layer.publisher, "publish", broken(BrokerUnavailable("on purpose")))
        monkeypatch.setattr(layer.replies, "deliver", broken(LayerUnavailable("on purpose")))
        dropped = flush(sends(layer, ("a", {}), (REPLY, {})) + sends(other, ("a", {"n": 1}), (REPLY, {"n": 2})))
        assert dropped == {"broker_unavailable": 1, "layer_unavailable": 1}
        assert (other.publisher.queues, other.replies.delivered) == ({"a": [{"n": 1}]}, [(REPLY, {"n": 2})])

    def test_if_the_broker_is_away_for_a_queue_in_a_group_expect_it_counted(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        layer.group_add("room", "archive")
        monkeypatch.setattr(layer.publisher, "publish", broken(BrokerUnavailable("on purpose")))
        assert flush([(layer, layer.prepare_group("room", {"text": "x"}))]) == {"broker_unavailable": 1}
        assert layer.replies.delivered == [("room", {"text": "x"})]
        assert "a group's queue got nothing" in caplog.text


class TestPuttingBack:
    def test_if_the_broker_does_not_answer_for_one_batch_expect_that_counted_and_the_rest_put_back(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        put_back, tries = layer.publisher.put_back, []

        def hang_once(channel: str, items: Any) -> None:
            tries.append(len(items))
            if len(tries) == 1:
                put_back(channel, items[:1])
                error = BrokerUnanswered("it hangs")
                error.taken, error.in_doubt = 1, 2
                raise error
            put_back(channel, items)

        monkeypatch.setattr(layer.publisher, "put_back", hang_once)
        assert flush_module.put_back(layer, "a", contents(5)) == {"broker_unanswered": 2}
        assert layer.publisher.queues == {"a": [{"n": 0}, {"n": 3}, {"n": 4}]}
        assert "2 messages of a may be lost" in caplog.text

    def test_if_the_broker_goes_away_expect_what_it_took_not_counted(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = BrokerUnavailable("on purpose")
        error.taken = 3
        monkeypatch.setattr(layer.publisher, "put_back", broken(error))
        assert flush_module.put_back(layer, "a", contents(5)) == {"broker_unavailable": 2}
        assert "2 messages of a are lost" in caplog.text

    def test_if_a_client_library_raises_what_nobody_knows_expect_it_counted(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(layer.publisher, "put_back", broken(KeyError("on purpose")))
        assert flush_module.put_all_back([(layer, "a", contents(2)), (layer, "b", contents(1))]) == {
            "broker_unavailable": 3
        }
        assert "2 messages of a are lost: KeyError('on purpose')" in caplog.text

    def test_if_some_channels_take_all_the_time_expect_the_others_counted_and_not_tried(
        self, layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A worker that ends has a process manager that waits for so long only."""
        now = [100.0]
        monkeypatch.setattr(flush_module.time, "monotonic", lambda: now[0])
        put_back = layer.publisher.put_back

        def take_long(channel: str, items: Any) -> None:
            now[0] += 8.0
            put_back(channel, items)

        monkeypatch.setattr(layer.publisher, "put_back", take_long)
        waiting = [(layer, channel, contents(1)) for channel in "abc"]
        assert flush_module.put_all_back(waiting) == {"broker_unavailable": 1}
        assert sorted(layer.publisher.queues) == ["a", "b"]
        assert "1 messages of c are lost" in caplog.text


def contents(count: int) -> list[bytes]:
    """Return encoded items."""
    return [encode_item(encode_content({"n": number}, 100), 2**50) for number in range(count)]
