"""The worker of `runserver` and the demo: how it is made, without one."""

from types import SimpleNamespace
from typing import Any

import pytest

from channelcelery.worker import embedded
from channelcelery.worker.embedded import EmbeddedWorker


class App:
    """A Celery app that notes how a worker is made, and whose worker ends at once."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.started = False
        self.conf = SimpleNamespace(broker_transport_options={"max_retries": 3})

    def WorkController(self, **options: Any) -> "App":
        self.options = options
        return self

    def start(self) -> None:
        self.started = True
        self.options["ready_callback"](self)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    made = App()
    monkeypatch.setattr(embedded, "broker_app", lambda: made)
    monkeypatch.setattr(embedded, "install", lambda given: given)
    monkeypatch.setattr(embedded, "is_local_broker", lambda: True)
    return made


def test_expect_threads_and_an_end_that_does_not_wait_for_celery_s_timer(app: App) -> None:
    worker = EmbeddedWorker(threads=3)
    worker.start()
    worker.stop()
    assert app.started
    assert (app.options["pool"], app.options["concurrency"]) == ("threads", 3)
    # the timer's thread sleeps for so long before it sees the end: Ctrl-C would take 2 s
    assert app.options["timer_precision"] <= 0.2


def test_given_queues_in_memory_expect_it_to_look_often_unless_the_project_says_how_often(app: App) -> None:
    """Given a Celery app of the project's own, which knows of no demo / Expect messages without a second's wait."""
    EmbeddedWorker().start()
    assert app.conf.broker_transport_options == {"polling_interval": 0.01, "max_retries": 3}
    app.conf.broker_transport_options["polling_interval"] = 0.5
    EmbeddedWorker().start()
    assert app.conf.broker_transport_options["polling_interval"] == 0.5


def test_if_it_cannot_start_expect_the_error_where_it_was_started(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("the routing is wrong")

    monkeypatch.setattr(app, "start", fail)
    worker = EmbeddedWorker()
    with pytest.raises(ValueError, match="the routing is wrong"):
        worker.start()
    worker.stop()
