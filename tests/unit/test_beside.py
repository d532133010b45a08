"""Threads beside the jobs of a process: how many, with what context, and how they end with it."""

import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar

import pytest
from django.utils import timezone, translation

from channelcelery import Channel
from channelcelery.beside import Beside
from channelcelery.channel import collect_sends
from tests.fakes import FakeLayer
from tests.processes import wait_until

LANGUAGE: ContextVar[str] = ContextVar("language", default="none")


def nothing() -> None:
    """Do nothing when abandoned."""


def test_given_room_expect_a_call_in_a_thread_with_the_context_of_the_caller() -> None:
    seen: list[object] = []
    LANGUAGE.set("de")

    def call(stopping: Callable[[], bool]) -> None:
        seen.extend([LANGUAGE.get(), threading.current_thread() is not threading.main_thread(), stopping()])

    assert Beside(1).run(call, nothing)
    wait_until(lambda: seen == ["de", True, False], what=f"the call, not {seen}")


def test_expect_language_and_time_zone_of_the_request_there_too() -> None:
    """Django keeps them in asgiref's locals, which another thread does not see even in the same context."""
    seen: list[object] = []

    def call(stopping: Callable[[], bool]) -> None:
        seen.extend([translation.get_language(), timezone.get_current_timezone_name()])

    with translation.override("de"), timezone.override("Europe/Berlin"):
        assert Beside(1).run(call, nothing)
        wait_until(lambda: seen, what="the call")
        assert translation.get_language() == "de"
    assert seen == ["de", "Europe/Berlin"]


def test_what_is_sent_in_it_leaves_at_once_since_its_consumer_has_ended() -> None:
    layer, beside = FakeLayer(), Beside(1)
    with collect_sends() as collected:
        assert beside.run(lambda stopping: Channel("later", channel_layer=layer).send({"n": 1}), nothing)
        beside.finish(10)
    assert collected.sends == []
    assert layer.publisher.queues == {"later": [{"n": 1}]}


def test_given_no_room_expect_false_and_later_room() -> None:
    beside, go_on = Beside(2), threading.Event()
    assert beside.run(lambda stopping: bool(go_on.wait(10)) and None, nothing)
    assert beside.run(lambda stopping: bool(go_on.wait(10)) and None, nothing)
    assert not beside.run(lambda stopping: None, nothing)
    go_on.set()
    wait_until(lambda: beside.run(lambda stopping: None, nothing), what="room")


def test_if_no_thread_can_be_started_expect_false_and_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as many threads as the system lets this process have."""
    beside = Beside(1)

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        assert not beside.run(lambda stopping: None, nothing)
    assert beside.run(lambda stopping: None, nothing)


@pytest.mark.parametrize("error", [RuntimeError("on purpose"), SystemExit(3)])
def test_if_a_call_raises_expect_it_in_the_log_and_room(caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    beside = Beside(1)

    def call(stopping: Callable[[], bool]) -> None:
        raise error

    with caplog.at_level(logging.ERROR, "django.channels.worker"):
        assert beside.run(call, nothing)
        wait_until(lambda: beside.run(lambda stopping: None, nothing), what="room")
    assert type(error).__name__ in caplog.text


class TestTheEnd:
    def test_given_a_call_that_ends_in_time_expect_it_waited_for(self) -> None:
        beside, done = Beside(1), threading.Event()
        go_on = threading.Event()

        def call(stopping: Callable[[], bool]) -> None:
            go_on.wait(10)
            assert not stopping()
            done.set()

        beside.run(call, nothing)
        threading.Timer(0.1, go_on.set).start()
        beside.finish(10)
        assert done.is_set()

    def test_given_one_that_goes_on_expect_it_asked_to_stop_and_nothing_more_taken(self) -> None:
        beside, abandoned = Beside(2), threading.Event()

        def call(stopping: Callable[[], bool]) -> None:
            wait_until(stopping, what="the end")

        beside.run(call, abandoned.set)
        beside.finish(0.05)
        assert not abandoned.is_set()
        assert not beside.run(call, nothing)

    def test_given_one_that_does_not_stop_expect_it_abandoned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("channelcelery.beside._LAST_GRACE", 0.05)
        beside, go_on, abandoned = Beside(2), threading.Event(), threading.Event()

        def fails() -> None:
            raise RuntimeError("on purpose")

        beside.run(lambda stopping: bool(go_on.wait(10)) and None, fails)
        beside.run(lambda stopping: bool(go_on.wait(10)) and None, abandoned.set)
        beside.finish(0.05)
        assert abandoned.is_set()
        go_on.set()
