"""`Channel` and `Group`, and the sends that a running consumer holds back (items 24, 27 to 32 and 36 to 41)."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from channelcelery.channel import Channel, CollectedSends, Group, collect_sends
from channelcelery.core.sends import Send
from channelcelery.exceptions import ChannelFull, InvalidContent, InvalidName, MessageTooLarge
from channelcelery.layers import channel_layers
from channelcelery.layers.base import Publisher, ReplyStore
from channelcelery.layers.layer import ChannelLayer
from tests.fakes import FakeLayer, FakePublisher, FakeReplies

REPLY = "websocket.send!node.token"


@pytest.fixture
def layer() -> FakeLayer:
    return FakeLayer()


@pytest.fixture
def default_layer(layer: FakeLayer) -> Iterator[FakeLayer]:
    """The same layer as that of the alias "default"."""
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


@pytest.mark.parametrize(("fake", "protocol"), [(FakePublisher, Publisher), (FakeReplies, ReplyStore)])
def test_the_fakes_do_all_that_the_halves_of_a_layer_must(fake: type, protocol: type) -> None:
    expected = {name: method for name, method in vars(protocol).items() if not name.startswith("_")}
    assert expected.keys() <= set(dir(fake))
    for name, method in expected.items():
        assert inspect.signature(getattr(fake, name)) == inspect.signature(method)


def flush(collected: CollectedSends) -> None:
    """Send what was held back, as a worker does after its consumer."""
    by_layer: dict[ChannelLayer, list[Send]] = {}
    for layer, send in collected.sends:
        by_layer.setdefault(layer, []).append(send)
    for layer, sends in by_layer.items():
        layer.flush_sends(sends)


class TestNamesAndLayers:
    def test_given_an_alias_expect_its_layer(self, default_layer: FakeLayer) -> None:
        """Items 21, 27 and 29."""
        for made in (Channel("a"), Group("a"), Channel(b"a", "default"), Group(b"a", alias="default")):
            assert made.channel_layer is default_layer
            assert (made.name, str(made)) == ("a", "a")

    def test_given_a_layer_expect_it_to_win_over_the_alias(self, default_layer: FakeLayer) -> None:
        """Items 27 and 29."""
        other = FakeLayer("other")
        assert Channel("a", "default", other).channel_layer is other
        assert Group("a", alias="nowhere", channel_layer=other).channel_layer is other

    def test_given_an_unknown_alias_expect_a_key_error_with_the_known_ones(self) -> None:
        """Item 44."""
        for kind in (Channel, Group):
            with pytest.raises(KeyError, match="no 'nowhere'; it has default"):
                kind("a", "nowhere")

    def test_given_a_bad_name_expect_a_type_error(self, layer: FakeLayer) -> None:
        """Items 19 and 20."""
        for kind, name in ((Channel, "a b"), (Channel, "a!"), (Group, "a!b"), (Group, "")):
            with pytest.raises(TypeError) as caught:
                kind(name, channel_layer=layer)
            assert isinstance(caught.value, InvalidName)

    def test_they_show_name_and_layer(self, layer: FakeLayer) -> None:
        assert repr(Channel("a", channel_layer=layer)) == "Channel('a', channel_layer=default (tests.fakes.FakeLayer))"
        assert repr(Group("a", channel_layer=layer)) == "Group('a', channel_layer=default (tests.fakes.FakeLayer))"


class TestSendingOutsideAConsumer:
    def test_given_a_normal_channel_expect_it_in_its_queue_at_once(self, layer: FakeLayer) -> None:
        """Items 28 and 37."""
        Channel("chat", channel_layer=layer).send({"text": "a"})
        Channel("chat", channel_layer=layer).send({"text": "b"}, immediately=True)
        assert layer.publisher.queues == {"chat": [{"text": "a"}, {"text": "b"}]}

    def test_given_a_reply_channel_expect_it_delivered_at_once(self, layer: FakeLayer) -> None:
        """Item 37."""
        Channel(REPLY, channel_layer=layer).send({"text": "a"})
        assert layer.replies.delivered == [(REPLY, {"text": "a"})]
        assert layer.publisher.queues == {}

    def test_given_a_group_expect_it_delivered_at_once(self, layer: FakeLayer) -> None:
        """Items 30 and 37."""
        Group("room", channel_layer=layer).send({"text": "a"})
        assert layer.replies.delivered == [("room", {"text": "a"})]

    @pytest.mark.parametrize("content", [{"accept": True}, {"close": 4001}, {"accept": False, "text": "a"}])
    def test_given_a_reply_that_accepts_or_closes_expect_it_to_pass_a_full_inbox(
        self, layer: FakeLayer, content: dict[str, Any]
    ) -> None:
        layer.replies.full.add(REPLY)
        Channel(REPLY, channel_layer=layer).send(content)
        with pytest.raises(ChannelFull, match=REPLY):
            Channel(REPLY, channel_layer=layer).send({"text": "a"})
        assert layer.replies.delivered == [(REPLY, content)]

    def test_given_a_full_channel_expect_channel_full_with_its_name(self, layer: FakeLayer) -> None:
        """Items 39 and 54."""
        layer.publisher.full.add("chat")
        with pytest.raises(ChannelFull) as caught:
            Channel("chat", channel_layer=layer).send({"text": "a"})
        assert caught.value.channels == ("chat",)
        assert isinstance(caught.value, layer.ChannelFull)

    def test_given_a_full_member_expect_no_error_and_a_count(self, layer: FakeLayer) -> None:
        """Items 31 and 32."""
        layer.publisher.full.add("archive")
        group = Group("room", channel_layer=layer)
        group.add("archive")
        group.add("copies")
        group.send({"text": "a"})
        assert layer.publisher.queues == {"copies": [{"text": "a"}]}
        assert layer.dropped["channel_full"] == 1

    @pytest.mark.parametrize("content", [None, "text", ["a"], b"x", 5])
    def test_given_no_dict_expect_an_error_of_both_types(self, layer: FakeLayer, content: Any) -> None:
        """Items 28 and 30."""
        for target in (Channel("a", channel_layer=layer), Channel(REPLY, channel_layer=layer)):
            with pytest.raises(InvalidContent):
                target.send(content)
        with pytest.raises(ValueError, match="a message is a dict"):
            Group("a", channel_layer=layer).send(content)

    def test_given_too_much_expect_message_too_large(self) -> None:
        """Items 23 and 31."""
        layer = FakeLayer(message_size=100)
        for target in (Channel("a", channel_layer=layer), Group("a", channel_layer=layer)):
            with pytest.raises(layer.MessageTooLarge) as caught:
                target.send({"text": "x" * 100})
            assert isinstance(caught.value, MessageTooLarge)

    def test_given_a_reply_channel_that_no_interface_made_expect_a_type_error(self, layer: FakeLayer) -> None:
        with pytest.raises(InvalidName):
            Channel("websocket.send!abc", channel_layer=layer).send({"text": "a"})

    def test_given_a_channel_for_a_body_expect_its_messages_there_and_no_more_than_eight(
        self, layer: FakeLayer
    ) -> None:
        """Items 49 and 91: names with a '?' are for one reader, made by an interface process or by hand."""
        for name in ("http.request.body?abc", "http.request.body?node.http.token"):
            channel = Channel(name, channel_layer=layer)
            for number in range(8):
                channel.send({"content": b"%d" % number, "more_content": True})
            with pytest.raises(ChannelFull):
                channel.send({"content": b"8"})
            assert layer.receive([name]) == (name, {"content": b"0", "more_content": True})
            assert layer.receive(["other", name], block=True)[1] == {"content": b"1", "more_content": True}
        assert layer.receive(["http.request.body?other"]) == (None, None)


class TestMembership:
    def test_given_channels_or_names_expect_members(self, layer: FakeLayer) -> None:
        """Items 29 and 32."""
        group = Group("room", channel_layer=layer)
        group.add(REPLY)
        group.add(Channel(REPLY, channel_layer=layer))
        group.add(Channel("archive", channel_layer=layer))
        assert group.channels() == ["archive", REPLY]
        group.discard(Channel(REPLY, channel_layer=layer))
        group.discard(REPLY)
        group.discard("never-added")
        assert group.channels() == ["archive"]

    def test_given_a_consumer_expect_membership_at_once(self, layer: FakeLayer) -> None:
        """Item 29."""
        with collect_sends() as collected:
            Group("room", channel_layer=layer).add(REPLY)
            assert layer.replies.groups == {"room": {REPLY}}
            Group("room", channel_layer=layer).discard(REPLY)
            assert layer.replies.groups == {"room": set()}
        assert collected.sends == []

    @pytest.mark.parametrize("name", ["a b", "", "websocket.send!node", None, 5])
    def test_given_a_bad_member_expect_a_type_error(self, layer: FakeLayer, name: Any) -> None:
        with pytest.raises(InvalidName):
            Group("room", channel_layer=layer).add(name)
        assert layer.replies.groups == {}


class TestHoldingBack:
    def test_given_a_consumer_expect_nothing_sent_before_its_end(self, layer: FakeLayer) -> None:
        """Item 36."""
        with collect_sends() as collected:
            Channel("chat", channel_layer=layer).send({"n": 1})
            Channel(REPLY, channel_layer=layer).send({"n": 2})
            Group("room", channel_layer=layer).send({"n": 3})
            Channel(REPLY, channel_layer=layer).send({"n": 4})
            assert layer.publisher.calls == []
            assert layer.replies.delivered == []
        flush(collected)
        assert layer.publisher.queues == {"chat": [{"n": 1}]}
        assert layer.replies.delivered == [(REPLY, {"n": 2}), ("room", {"n": 3}), (REPLY, {"n": 4})]

    def test_given_several_channels_expect_one_publish_each_and_order_kept(self, layer: FakeLayer) -> None:
        with collect_sends() as collected:
            for number in range(6):
                Channel("ab"[number % 2], channel_layer=layer).send({"n": number})
        flush(collected)
        assert layer.publisher.calls == ["a", "b"]
        assert layer.publisher.queues == {"a": [{"n": 0}, {"n": 2}, {"n": 4}], "b": [{"n": 1}, {"n": 3}, {"n": 5}]}

    def test_given_a_full_channel_at_the_flush_expect_its_name_and_the_rest_sent(self, layer: FakeLayer) -> None:
        layer.publisher.full.add("a")
        layer.replies.full.add(REPLY)
        with collect_sends() as collected:
            for name in ("a", "b", REPLY, "a"):
                Channel(name, channel_layer=layer).send({"n": 1})
            Group("room", channel_layer=layer).send({"n": 1})
        assert layer.flush_sends([send for _, send in collected.sends]) == ("a", REPLY)
        assert layer.publisher.queues == {"b": [{"n": 1}]}
        assert layer.replies.delivered == [("room", {"n": 1})]

    def test_given_immediately_expect_it_sent_inside_the_consumer(self, layer: FakeLayer) -> None:
        """Items 28, 36 and 39."""
        layer.publisher.full.add("full")
        with collect_sends() as collected:
            Channel("chat", channel_layer=layer).send({"n": 1}, immediately=True)
            Group("room", channel_layer=layer).send({"n": 2}, immediately=True)
            assert layer.publisher.queues == {"chat": [{"n": 1}]}
            assert layer.replies.delivered == [("room", {"n": 2})]
            with pytest.raises(ChannelFull):
                Channel("full", channel_layer=layer).send({"n": 3}, immediately=True)
        assert collected.sends == []

    def test_given_a_change_after_the_call_expect_what_was_sent(self, layer: FakeLayer) -> None:
        """Item 24."""
        with collect_sends() as collected:
            content: dict[str, Any] = {"list": [1]}
            Channel("chat", channel_layer=layer).send(content)
            content["list"].append(2)
        flush(collected)
        assert layer.publisher.queues == {"chat": [{"list": [1]}]}

    def test_given_no_message_expect_the_error_at_the_call(self, layer: FakeLayer) -> None:
        """Item 28."""
        with collect_sends() as collected, pytest.raises(InvalidContent):
            Channel("chat", channel_layer=layer).send({"a": object()})
        assert collected.sends == []

    def test_given_a_consumer_that_raises_expect_its_sends_kept(self, layer: FakeLayer) -> None:
        """Item 36."""
        with suppress(ZeroDivisionError), collect_sends() as collected:
            Channel("chat", channel_layer=layer).send({"n": 1})
            raise ZeroDivisionError
        assert len(collected.sends) == 1
        # and what follows is not held back for ever (defect 3 of Channels 1.1.8)
        Channel("chat", channel_layer=layer).send({"n": 2})
        assert layer.publisher.queues == {"chat": [{"n": 2}]}

    def test_given_several_layers_expect_each_send_with_its_own(self, layer: FakeLayer) -> None:
        """Item 48."""
        other = FakeLayer("other")
        with collect_sends() as collected:
            Channel("chat", channel_layer=layer).send({"n": 1})
            Channel("chat", channel_layer=other).send({"n": 2})
        flush(collected)
        assert layer.publisher.queues == {"chat": [{"n": 1}]}
        assert other.publisher.queues == {"chat": [{"n": 2}]}

    def test_given_a_block_in_a_block_expect_each_to_hold_its_own(self, layer: FakeLayer) -> None:
        with collect_sends() as outer:
            Channel("a", channel_layer=layer).send({})
            with collect_sends() as inner:
                Channel("b", channel_layer=layer).send({})
            Channel("c", channel_layer=layer).send({})
        assert [len(outer.sends), len(inner.sends)] == [2, 1]

    def test_given_another_thread_expect_its_sends_at_once(self, layer: FakeLayer) -> None:
        """Item 37."""
        with collect_sends() as collected:
            thread = threading.Thread(target=Channel("chat", channel_layer=layer).send, args=({"n": 1},))
            thread.start()
            thread.join()
        assert collected.sends == []
        assert layer.publisher.queues == {"chat": [{"n": 1}]}

    def test_given_an_async_consumer_expect_its_threads_and_tasks_held_back_too(self, layer: FakeLayer) -> None:
        channel = Channel("chat", channel_layer=layer)

        async def consumer() -> None:
            channel.send({"n": 1})
            await asyncio.to_thread(channel.send, {"n": 2})
            await asyncio.create_task(asyncio.to_thread(channel.send, {"n": 3}))

        with collect_sends() as collected:
            asyncio.run(consumer())
        assert layer.publisher.queues == {}
        flush(collected)
        assert layer.publisher.queues == {"chat": [{"n": 1}, {"n": 2}, {"n": 3}]}

    def test_given_replies_expect_their_channels_noted_as_answered(self, layer: FakeLayer) -> None:
        with collect_sends() as collected:
            Channel("chat", channel_layer=layer).send({})
            Group("room", channel_layer=layer).send({})
            assert collected.answered == set()
            Channel(REPLY, channel_layer=layer).send({"text": "a"})
            Channel("websocket.send!node.other", channel_layer=layer).send({"close": True}, immediately=True)
        assert collected.answered == {REPLY, "websocket.send!node.other"}

    def test_given_a_reply_that_comes_later_expect_nothing_noted_as_answered(self, layer: FakeLayer) -> None:
        with collect_sends() as collected:
            Channel(REPLY, channel_layer=layer).send({"close": True}, delay=1000)
        assert collected.answered == set()

    @pytest.mark.parametrize("reply", [{"text": ""}, {"id": 1}, {}, {"accept": None}, {"close": False}, {"text": 5}])
    def test_given_a_reply_that_answers_no_handshake_expect_it_not_noted(
        self, layer: FakeLayer, reply: dict[str, object]
    ) -> None:
        with collect_sends() as collected:
            Channel(REPLY, channel_layer=layer).send(reply)
        assert collected.answered == set()


class TestTheLayerItself:
    def test_it_sends_by_name(self, layer: FakeLayer) -> None:
        """Items 49 and 50."""
        layer.send("chat", {"n": 1})
        layer.send(REPLY, {"n": 2})
        layer.send_group("room", {"n": 3})
        assert layer.publisher.queues == {"chat": [{"n": 1}]}
        assert layer.replies.delivered == [(REPLY, {"n": 2}), ("room", {"n": 3})]
        layer.publisher.full.add("chat")
        with pytest.raises(ChannelFull):
            layer.send("chat", {})

    def test_it_checks_names(self, layer: FakeLayer) -> None:
        """Item 20."""
        for call in (
            lambda: layer.send("a b", {}),
            lambda: layer.send_group("a!b", {}),
            lambda: layer.group_add("a!b", "c"),
            lambda: layer.group_add("a", "b c"),
            lambda: layer.group_discard("a", "b c"),
            lambda: layer.group_channels("a b"),
        ):
            with pytest.raises(InvalidName):
                call()

    def test_it_says_who_it_is(self, layer: FakeLayer) -> None:
        """Item 45."""
        assert str(layer) == "default (tests.fakes.FakeLayer)"
        assert layer.local_only()
        assert len({layer.new_node() for _ in range(100)}) == 100
        assert all("." not in layer.new_node() for _ in range(100))

    def test_closing_it_closes_both_halves(self, layer: FakeLayer) -> None:
        layer.group_add("room", REPLY)
        layer.close()
        assert layer.publisher.calls == ["close"]
        assert layer.replies.groups == {}
