"""What a worker does beside running consumers: how often it looks, by a clock of the test's own."""

import threading
from collections import Counter
from typing import Any

import pytest

from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.worker import chores
from channelcelery.worker.chores import Chores


class Looks(threading.Event):
    """Stands for the end of a worker: notes for how long each wait was meant, and ends after some of them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._count = count

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        return len(self.waits) >= self._count


def look(monkeypatch: pytest.MonkeyPatch, count: int, send_due: Any) -> list[float]:
    """Let a worker look so many times, and return the seconds between its looks."""
    monkeypatch.setattr(chores, "send_due", send_due)
    looks = Looks(count)
    Chores(["default"], lambda alias: lambda channel, item: False)._run(looks)
    return looks.waits


def test_expect_a_look_for_delayed_messages_often_enough_for_100_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 206: a message waits for one look, and as long again is left for the rest of its way."""
    seen: list[ChannelLayer] = []
    waits = look(monkeypatch, 5, lambda layer: seen.append(layer) or 0)
    assert len(seen) == 4
    assert max(waits) <= 0.05


def test_if_redis_is_away_expect_a_rest_between_the_looks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(layer: ChannelLayer) -> int:
        raise LayerUnavailable("gone")

    fail.__name__ = "send_due"
    waits = look(monkeypatch, 5, fail)
    assert waits == [0.05, 1.0, 0.05, 1.0, 0.05]
    assert caplog.text.count("send_due has to wait") == 1, "once per burst"


def test_expect_the_end_to_wait_for_what_was_taken_and_to_say_what_nobody_will_hear(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a look that has messages which are nowhere else, and disconnects that the broker did not take."""
    taken, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def send_due(layer: ChannelLayer) -> int:
        taken.set()
        go_on.wait(10)
        done.set()
        return 0

    monkeypatch.setattr(chores, "send_due", send_due)
    monkeypatch.setitem(channel_layers["default"].owed, "websocket.disconnect", [b"1", b"2"])
    made = Chores(["default"], lambda alias: lambda channel, item: False)
    made.start()
    assert taken.wait(10)
    ending = threading.Thread(target=lambda: (made.stop(), ended.append(done.is_set())))
    ended: list[bool] = []
    ending.start()
    ending.join(0.1)
    assert ending.is_alive()
    go_on.set()
    ending.join(10)
    assert ended == [True]
    assert "2 disconnects of dead interface processes are lost" in caplog.text


def test_if_the_worker_ends_between_two_layers_expect_no_more_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is begun then might not come to its end."""
    stopped, seen = threading.Event(), []

    def send_due(layer: ChannelLayer) -> int:
        seen.append(layer.alias)
        stopped.set()
        return 0

    monkeypatch.setattr(chores, "send_due", send_due)
    monkeypatch.setattr(chores, "reap", lambda layer: seen.append("reap"))
    Chores(["default", "default"], lambda alias: lambda channel, item: False)._run(stopped)
    assert seen == ["default"]


def test_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(layer: ChannelLayer) -> int:
        layer.dropped["delayed_lost"] += 2
        raise LayerUnavailable("gone")

    counts: Counter[str] = Counter()
    monkeypatch.setattr(chores, "send_due", lose)
    made = Chores(["default"], lambda alias: lambda channel, item: False, counts.update)
    made._run(Looks(2))
    assert counts == {"delayed_lost": 2}
    assert not channel_layers["default"].dropped
