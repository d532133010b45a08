"""The consumer of `asgi.delay`: what is malformed is said, and goes no further."""

from typing import Any

import pytest

from channelcelery.core.sends import DelayedSend
from channelcelery.delay.consumers import delay
from tests.fakes import make_message

GOOD: dict[str, Any] = {"channel": "chat", "delay": 20, "content": {"n": 1}}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[DelayedSend]:
    """What is to wait."""
    added: list[DelayedSend] = []
    monkeypatch.setattr("tests.fakes.MemoryDelayStore.add", lambda store, sends: not added.extend(sends))
    return added


def test_given_channel_delay_and_content_expect_it_to_wait(added: list[DelayedSend]) -> None:
    """Item 206."""
    delay(make_message("asgi.delay", **GOOD))
    assert [(send.channel, send.delay) for send in added] == [("chat", 20)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({key: value for key, value in GOOD.items() if key != "channel"}, "lacks 'channel'"),
        ({key: value for key, value in GOOD.items() if key != "delay"}, "lacks 'delay'"),
        ({key: value for key, value in GOOD.items() if key != "content"}, "lacks 'content'"),
        (GOOD | {"channel": "no name"}, "cannot be delayed"),
        (GOOD | {"delay": "soon"}, "cannot be delayed"),
        (GOOD | {"delay": 0}, "cannot be delayed"),
        (GOOD | {"content": "text"}, "cannot be delayed"),
    ],
)
def test_given_a_malformed_one_expect_it_said_and_no_error(
    added: list[DelayedSend], content: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Item 208, and defect 8."""
    delay(make_message("asgi.delay", **content))
    assert added == []
    [record] = caplog.records
    assert (record.name, record.levelname) == ("django.channels.delay", "ERROR")
    assert said in record.getMessage()
