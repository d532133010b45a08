"""What a worker says for interface processes that died: each connection's end, once, by its own channel."""

from collections.abc import Sequence

import pytest

from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import BrokerUnanswered, BrokerUnavailable
from channelcelery.layers.base import Orphan
from channelcelery.layers.upkeep import reap
from tests.fakes import FakeLayer

SOCKET, REQUEST = ReplyAddress("n", "t"), ReplyAddress("n", "http.u")


def test_sockets_and_requests_end_by_their_own_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items 94 and 116."""
    layer = FakeLayer()
    monkeypatch.setattr(
        layer.replies, "reap", lambda: [Orphan(SOCKET, "/a"), Orphan(REQUEST, "/b"), Orphan(SOCKET, "/c")]
    )
    assert reap(layer) == 3
    ended = {"reply_channel": "websocket.send!n.t", "code": 1006}
    assert layer.publisher.queues == {
        "websocket.disconnect": [{**ended, "path": "/a"}, {**ended, "path": "/c"}],
        "http.disconnect": [{"reply_channel": "http.response!n.http.u", "path": "/b"}],
    }


def test_what_the_broker_did_not_take_is_said_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given that Redis has forgotten them: expect each of them once, whichever channel failed."""
    layer = FakeLayer()
    found = [[Orphan(SOCKET, "/a"), Orphan(REQUEST, "/b")], []]
    monkeypatch.setattr(layer.replies, "reap", lambda: found.pop(0))
    put_back = layer.publisher.put_back

    def fail(channel: str, items: object) -> None:
        if channel == "http.disconnect":
            raise BrokerUnavailable("it was taken away")
        put_back(channel, items)  # type: ignore[arg-type]

    monkeypatch.setattr(layer.publisher, "put_back", fail)
    with pytest.raises(BrokerUnavailable):
        reap(layer)
    monkeypatch.setattr(layer.publisher, "put_back", put_back)
    assert reap(layer) == 0
    assert {channel: len(sent) for channel, sent in layer.publisher.queues.items()} == {
        "websocket.disconnect": 1,
        "http.disconnect": 1,
    }


def test_of_what_the_broker_took_or_may_have_nothing_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = FakeLayer()
    found = [[Orphan(SOCKET, path) for path in ("/a", "/b", "/c")], []]
    monkeypatch.setattr(layer.replies, "reap", lambda: found.pop(0))
    put_back = layer.publisher.put_back

    def answer_one(channel: str, items: Sequence[bytes]) -> None:
        put_back(channel, items[:1])
        error = BrokerUnanswered("it hangs")
        error.taken, error.in_doubt = 1, 1
        raise error

    monkeypatch.setattr(layer.publisher, "put_back", answer_one)
    with pytest.raises(BrokerUnanswered):
        reap(layer)
    monkeypatch.setattr(layer.publisher, "put_back", put_back)
    assert reap(layer) == 0
    assert [content["path"] for content in layer.publisher.queues["websocket.disconnect"]] == ["/a", "/c"]
    assert layer.dropped == {"broker_unanswered": 1}
