"""The consumer of `asgi.delay`: what is malformed is said, and goes no further."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from channelcelery.consumers import ConsumerRegistry
from channelcelery.core.sends import DelayedSend
from tests.fakes import make_message

MODULE = "channelcelery.delay.consumers"
GOOD: dict[str, Any] = {"channel": "chat", "delay": 20, "content": {"n": 1}}


@pytest.fixture
def delay(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The consumer, imported anew, so that it is not registered for the tests that follow."""
    monkeypatch.setattr("channelcelery.consumers.registry", ConsumerRegistry())
    # as it was before the test, there or not
    monkeypatch.setitem(sys.modules, MODULE, ModuleType(MODULE))
    del sys.modules[MODULE]
    consumer: Callable[..., None] = import_module(MODULE).delay
    return consumer


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[DelayedSend]:
    """What is to wait."""
    added: list[DelayedSend] = []
    monkeypatch.setattr("tests.fakes.MemoryDelayStore.add", lambda store, sends: not added.extend(sends))
    return added


def test_given_channel_delay_and_content_expect_it_to_wait(
    delay: Callable[..., None], added: list[DelayedSend]
) -> None:
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
    delay: Callable[..., None],
    added: list[DelayedSend],
    content: dict[str, Any],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Item 208, and defect 8."""
    delay(make_message("asgi.delay", **content))
    assert added == []
    [record] = caplog.records
    assert (record.name, record.levelname) == ("django.channels.delay", "ERROR")
    assert said in record.getMessage()
