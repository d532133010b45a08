"""`install(app)`, and what a worker is refused for before it starts."""

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import get_implementation
from celery.concurrency.base import BasePool
from click import ClickException
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channelcelery.broker import connection
from channelcelery.broker.connection import broker_app, broker_url, use_app
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.routing import route
from channelcelery.worker import install as installed_from_the_package
from channelcelery.worker.install import install
from channelcelery.worker.preflight import Preflight, queues_to_consume

MEMORY = "channelcelery.layers.InMemoryChannelLayer"


def nothing(message: Message) -> None: ...


@pytest.fixture(autouse=True)
def broker_app_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the app whose broker holds the channels back after each test."""
    monkeypatch.setattr(connection, "_app", None)


class TestInstall:
    def test_expect_the_app_itself_with_its_steps_and_its_broker_used(self) -> None:
        app = Celery("project", broker="memory://project")
        assert install(app) is app
        assert app.steps["worker"] == {
            "channelcelery.worker.preflight:Preflight",
            "channelcelery.worker.reliable_stop:Acceptance",
        }
        assert app.steps["consumer"] == {
            "channelcelery.worker.bootstep:ChannelsStep",
            "channelcelery.worker.reliable_step:ReliableStep",
            "channelcelery.worker.observe_step:ObserveStep",
        }
        assert broker_app() is app
        assert broker_url() == "memory://project"
        assert installed_from_the_package is install

    def test_given_it_twice_expect_it_once(self) -> None:
        app = Celery("project", broker="memory://")
        app.steps["worker"].add("project.steps:Own")
        for _ in range(2):
            install(app)
        assert len(app.steps["worker"]) == 3
        assert len(app.steps["consumer"]) == 3
        names = sorted(name for option in app.user_options["worker"] for name in option.opts)
        assert names == ["--exclude-channels", "--metrics", "--only-channels"]

    def test_given_two_apps_expect_each_installed_and_the_last_one_s_broker(self) -> None:
        first, second = (install(Celery(name, broker=f"memory://{name}")) for name in ("first", "second"))
        assert first.steps["consumer"] == second.steps["consumer"]
        assert len(first.user_options["worker"]) == len(second.user_options["worker"]) == 3
        assert broker_url() == "memory://second"

    def test_expect_its_workers_to_know_the_task_that_sends(self) -> None:
        """By finding its module, as they find those of the project."""
        app = install(Celery("project", broker="memory://"))
        app.loader.import_default_modules()
        assert "channelcelery.send_to_channel" in app.tasks

    def test_the_options_may_be_repeated(self) -> None:
        app = install(Celery("project", broker="memory://"))
        for option in app.user_options["worker"]:
            assert option.multiple or "--metrics" in option.opts


@pytest.fixture
def layers() -> Iterator[Callable[..., None]]:
    """Set CHANNEL_LAYERS: for each alias the channels that it routes, and a prefix."""
    settings = override_settings()
    settings.enable()

    def set_layers(**aliases: tuple[list[str], str]) -> None:
        nonlocal settings
        settings.disable()
        entries = {
            alias: {"BACKEND": MEMORY, "CONFIG": {"prefix": prefix}, "ROUTING": [route(channels, nothing)]}
            for alias, (channels, prefix) in aliases.items()
        }
        settings = override_settings(CHANNEL_LAYERS=entries)
        settings.enable()
        for alias in aliases:
            channel_layers.set(alias, None)

    yield set_layers
    settings.disable()
    for alias in ("default", "other"):
        channel_layers.set(alias, None)


class TestQueues:
    SOCKET = frozenset({"websocket.connect", "websocket.receive", "websocket.disconnect"})
    HTTP = frozenset({"http.request", "http.disconnect"})

    @pytest.mark.parametrize(
        ("only", "exclude", "expected"),
        [
            ([], [], {"chat", "chat-log", "Chat", *SOCKET, *HTTP}),
            (["chat"], [], {"chat"}),
            (["chat*"], [], {"chat", "chat-log"}),
            (["chat-*", "websocket.c*"], [], {"chat-log", "websocket.connect"}),
            ([], ["websocket.*", "http.*"], {"chat", "chat-log", "Chat"}),
            (["chat*"], ["*-log"], {"chat"}),
            ([], ["[!C]*"], {"Chat"}),
        ],
    )
    def test_given_globs_expect_what_they_choose_case_counted(
        self, layers: Callable[..., None], only: list[str], exclude: list[str], expected: set[str]
    ) -> None:
        """Item 88."""
        layers(default=(["chat", "chat-log", "Chat"], "p:"))
        queues = queues_to_consume(only, exclude)
        assert queues == {f"p:{channel}": ("default", channel) for channel in expected}

    def test_given_several_layers_expect_the_queues_of_each(self, layers: Callable[..., None]) -> None:
        """Item 48."""
        layers(default=(["chat"], "a:"), other=(["chat"], "b:"))
        queues = queues_to_consume(["chat"], [])
        assert queues == {"a:chat": ("default", "chat"), "b:chat": ("other", "chat")}

    @pytest.mark.parametrize(("only", "exclude"), [(["nothing"], []), ([], ["*"]), (["chat"], ["chat"])])
    def test_if_no_channel_is_left_expect_a_refusal(
        self, layers: Callable[..., None], only: list[str], exclude: list[str]
    ) -> None:
        layers(default=(["chat"], "a:"))
        with pytest.raises(ImproperlyConfigured, match="no channel is left to run: check --only-channels"):
            queues_to_consume(only, exclude)

    def test_given_no_layer_at_all_expect_nothing_to_read(self, layers: Callable[..., None]) -> None:
        layers()
        assert queues_to_consume([], []) == {}

    def test_given_two_layers_with_one_prefix_expect_a_refusal(self, layers: Callable[..., None]) -> None:
        """Whose messages a queue holds could not be told."""
        layers(default=(["chat"], "a:"), other=(["log"], "a:"))
        with pytest.raises(ImproperlyConfigured, match=r"'default' and 'other' share.*CONFIG\['prefix'\]"):
            queues_to_consume([], [])


def make_worker(pool: Any = "prefork", loglevel: int | None = None) -> Any:
    """Return what `Preflight` looks at of a worker."""
    return SimpleNamespace(pool_cls=get_implementation(pool) if isinstance(pool, str) else pool, loglevel=loglevel)


class OtherPool(BasePool):
    """A pool that is none of Celery's."""


class TestPreflight:
    @pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "processes"])
    def test_given_a_worker_in_the_same_process_expect_it_to_start_in_memory(
        self, layers: Callable[..., None], pool: str
    ) -> None:
        layers(default=(["chat"], "a:"))
        use_app(Celery("project", broker="memory://"))
        Preflight(make_worker(pool), channels_embedded=True)

    def test_given_a_worker_of_its_own_in_memory_expect_a_refusal_that_says_both_mends(
        self, layers: Callable[..., None]
    ) -> None:
        layers(default=(["chat"], "a:"))
        use_app(Celery("project", broker="memory://"))
        with pytest.raises(ClickException) as caught:
            Preflight(make_worker())
        text = caught.value.format_message()
        assert "celery worker could not reach any other process" in text
        assert "set CELERY_BROKER_URL to amqp://… or redis://…" in text
        assert "set CHANNEL_LAYER_URL to redis://…" in text

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"BACKEND": "nowhere"}, "'nowhere' is unknown"),
            ({"BACKEND": MEMORY, "ROUTING": "no.such.module"}, "no.such.module"),
            ({"BACKEND": MEMORY, "CONFIG": {"expiry": -1}}, "CONFIG['expiry']"),
        ],
    )
    def test_given_wrong_settings_expect_a_refusal_in_words(
        self, layers: Callable[..., None], entry: dict[str, Any], words: str
    ) -> None:
        with (
            override_settings(CHANNEL_LAYERS={"default": entry}),
            pytest.raises(ClickException) as caught,
        ):
            Preflight(make_worker(), channels_embedded=True)
        assert words in caught.value.format_message()

    def test_given_globs_that_leave_nothing_expect_a_refusal(self, layers: Callable[..., None]) -> None:
        layers(default=(["chat"], "a:"))
        with pytest.raises(ClickException, match="no channel is left"):
            Preflight(make_worker(), only_channels=("nothing",), channels_embedded=True)

    @pytest.mark.parametrize(
        ("chosen", "used"),
        [
            ("celery.worker.autoscale:Autoscaler", "channelcelery.worker.autoscale:ChannelsAutoscaler"),
            ("project.scale:Own", "project.scale:Own"),
        ],
    )
    def test_expect_an_autoscaler_that_counts_messages_unless_the_project_has_its_own(
        self, layers: Callable[..., None], chosen: str, used: str
    ) -> None:
        layers(default=(["chat"], "a:"))
        worker = make_worker()
        worker.autoscaler_cls = chosen
        Preflight(worker, channels_embedded=True)
        assert worker.autoscaler_cls == used

    def test_given_a_pool_that_is_not_tested_expect_a_refusal_that_names_those_that_are(
        self, layers: Callable[..., None]
    ) -> None:
        layers(default=(["chat"], "a:"))
        with pytest.raises(ClickException) as caught:
            Preflight(make_worker(OtherPool), channels_embedded=True)
        assert "tested on the pools prefork, threads, solo, not on" in caught.value.format_message()
        assert "use -P prefork" in caught.value.format_message()

    @pytest.mark.parametrize("loglevel", [logging.DEBUG, logging.INFO, None])
    def test_given_l_debug_expect_the_channels_logged_in_detail(
        self, layers: Callable[..., None], loglevel: int | None
    ) -> None:
        layers(default=(["chat"], "a:"))
        channels = logging.getLogger("django.channels")
        before = channels.level
        try:
            Preflight(make_worker(loglevel=loglevel), channels_embedded=True)
            assert channels.level == (logging.DEBUG if loglevel == logging.DEBUG else before)
        finally:
            channels.setLevel(before)
