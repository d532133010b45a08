"""What the management commands say, and how they fail."""

import io
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from click import ClickException
from django.core.management import CommandError, call_command

from channelcelery.broker import connection
from channelcelery.conf import LayerConfig
from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable
from channelcelery.interface import server
from channelcelery.management.commands import rundelay, runserver, runworker
from channelcelery.worker.embedded import EmbeddedWorker


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://u:S3cret@a//;amqp://u:S3cret2@b//", "broker amqp://a:5672//;amqp://b:5672//."),
        ("sentinel://:S3cret@a:1;sentinel://:S3cret@b:2", "broker sentinel://a:1/0;sentinel://b:2/0."),
    ],
)
def test_runinterface_says_which_broker_without_passwords(
    monkeypatch: pytest.MonkeyPatch, settings: Any, url: str, shown: str
) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.setattr(connection, "_app", Celery("broker", broker=url, set_as_current=False))
    monkeypatch.setattr(server, "serve", lambda server: True)
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channelcelery.layers.RedisChannelLayer"}}
    said = io.StringIO()
    call_command("runinterface", skip_checks=True, stdout=said)
    assert shown in said.getvalue()
    assert "S3cret" not in said.getvalue()


def test_runserver_says_why_its_worker_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(worker: EmbeddedWorker) -> None:
        raise ClickException("the routing is wrong")

    monkeypatch.setattr(EmbeddedWorker, "start", start)
    monkeypatch.setattr(EmbeddedWorker, "stop", lambda worker: None)
    command = runserver.Command()
    monkeypatch.setattr(command, "_preflight", lambda *given: None)
    command.addr, command.port = "127.0.0.1", "8000"
    with pytest.raises(CommandError, match="the routing is wrong"):
        command.inner_run(layer="default", verbosity=0, use_threading=True, noworker=False, noasgi=False)


class Served:
    """What runinterface made of its options, instead of serving it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
        monkeypatch.setattr(connection, "_app", Celery("broker", broker="redis://", set_as_current=False))
        monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
        monkeypatch.setattr(server, "make_server", self._make)
        monkeypatch.setattr(server, "serve", lambda server: True)
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channelcelery.layers.RedisChannelLayer"}}

    def _make(self, application: Any, config: LayerConfig, binding: server.Binding, **more: Any) -> Any:
        self.application, self.config, self.binding, self.more = application, config, binding, more
        self.server = SimpleNamespace(started=False)
        return self.server

    def by(self, *arguments: str) -> "Served":
        call_command("runinterface", *arguments, skip_checks=True, stdout=io.StringIO())
        return self


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Served:
    return Served(monkeypatch, settings)


def test_runinterface_is_ready_once_it_listens(served: Served) -> None:
    application = served.by().application
    assert not application.listens()
    served.server.started = True
    assert application.listens()


class TestOptionsOfRuninterface:
    """Item 225: those of daphne, beside those of uvicorn."""

    @pytest.mark.parametrize(
        ("arguments", "binding"),
        [
            ([], server.Binding("127.0.0.1", 8000)),
            (["-b", "::1", "-p", "81"], server.Binding("::1", 81)),
            (["--bind", "10.0.0.1", "--port", "0"], server.Binding("10.0.0.1", 0)),
            (["--host", "10.0.0.1"], server.Binding("10.0.0.1", 8000)),
            (["-u", "/run/a"], server.Binding(uds="/run/a")),
            (["--unix-socket", "/run/a"], server.Binding(uds="/run/a")),
            (["--uds", "/run/a"], server.Binding(uds="/run/a")),
            (["--fd", "3"], server.Binding(fd=3)),
        ],
    )
    def test_where_it_listens(self, served: Served, arguments: list[str], binding: server.Binding) -> None:
        assert served.by(*arguments).binding == binding

    @pytest.mark.parametrize(
        ("option", "key"),
        [
            ("-t", "http_timeout"),
            ("--http-timeout", "http_timeout"),
            ("--http_timeout", "http_timeout"),
            ("--websocket_connect_timeout", "connect_timeout"),
            ("--websocket-connect-timeout", "connect_timeout"),
            ("--websocket_timeout", "connection_lifetime"),
            ("--websocket-timeout", "connection_lifetime"),
            ("--ping-interval", "ping_interval"),
            ("--ping-timeout", "ping_timeout"),
        ],
    )
    def test_times_take_the_place_of_config(self, served: Served, option: str, key: str) -> None:
        plain = served.by().config
        changed = served.by(option, "7.5").config
        assert changed == replace(plain, **{key: 7.5}) != plain

    @pytest.mark.parametrize(
        ("arguments", "proxies"),
        [
            ([], []),
            (["--proxy-headers"], ["127.0.0.1", "::1"]),
            (["--proxy-headers", "--forwarded-allow-ips", "10.0.0.1, fd00::/8"], ["10.0.0.1", "fd00::/8"]),
            (["--proxy-headers", "--forwarded-allow-ips", "10.0.0.1,*"], ["*"]),
        ],
    )
    def test_no_proxy_is_believed_unless_it_is_listed(
        self, served: Served, arguments: list[str], proxies: list[str]
    ) -> None:
        assert served.by(*arguments).more["proxies"] == proxies

    @pytest.mark.parametrize(("arguments", "logged"), [([], False), (["--access-log"], True)])
    def test_requests_are_logged_if_asked_for(self, served: Served, arguments: list[str], logged: bool) -> None:
        assert served.by(*arguments).more["access_log"] is logged

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--port", "65536"], "write a port from 0 to 65535, not '65536'"),
            (["--port", "http"], "write a port from 0 to 65535, not 'http'"),
            (["--fd", "-1"], "write the number of an open file descriptor"),
            (["--http-timeout", "0"], "write seconds, a number above 0, not '0'"),
            (["--ping-interval", "nan"], "write seconds, a number above 0, not 'nan'"),
            (["--ping-timeout", "inf"], "write seconds, a number above 0, not 'inf'"),
            (["--websocket_timeout", "day"], "write seconds, a number above 0, not 'day'"),
            (["--root-path", "here"], "write a path that begins with a slash, not 'here'"),
            (["--proxy-headers", "--forwarded-allow-ips", "proxy"], "write addresses or networks"),
            (["--proxy-headers", "--forwarded-allow-ips", ""], "write addresses or networks"),
            (["--forwarded-allow-ips", "10.0.0.1"], "add --proxy-headers"),
            (["--access-log", "/no/such/folder/log"], "No such file or directory"),
            (["--layer", "other"], "CHANNEL_LAYERS has no 'other'"),
        ],
    )
    def test_what_makes_no_sense_is_said(self, served: Served, arguments: list[str], says: str) -> None:
        with pytest.raises(CommandError, match=re.escape(says)):
            served.by(*arguments)


@pytest.mark.parametrize(("sleep", "right"), [("0.05", True), ("0", False), ("-1", False), ("often", False)])
def test_how_often_rundelay_looks(monkeypatch: pytest.MonkeyPatch, sleep: str, right: bool) -> None:
    """Item 223."""
    parser = rundelay.Command().create_parser("manage.py", "rundelay")
    monkeypatch.setattr(parser, "called_from_command_line", False)
    if right:
        assert parser.parse_args(["--sleep", sleep]).sleep == float(sleep)
    else:
        with pytest.raises(CommandError, match="write seconds"):
            parser.parse_args([f"--sleep={sleep}"])


def test_given_servers_that_are_away_expect_rundelay_to_say_so_rest_and_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Item 207; without a rest it would fill a log and a CPU."""
    outcomes: list[Exception | None] = [BrokerUnavailable("no broker"), LayerUnavailable("no Redis"), None]
    rests: list[float] = []

    def send_due(layer: Any) -> None:
        if not outcomes:
            raise KeyboardInterrupt
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    monkeypatch.setattr(rundelay, "shared_layer", lambda alias, command: None)
    monkeypatch.setattr(rundelay, "send_due", send_due)
    monkeypatch.setattr(rundelay.time, "sleep", rests.append)
    complaints = io.StringIO()
    call_command("rundelay", sleep=0.05, stdout=io.StringIO(), stderr=complaints)
    assert rests == [1, 0.05, 1, 0.05, 0.05]
    first, second = complaints.getvalue().splitlines()
    assert "no broker" in first
    assert "no Redis" in second


@pytest.mark.parametrize(
    ("options", "argv"),
    [
        ([], ["--pool=prefork", "--loglevel=INFO"]),
        (["--threads", "4", "-v", "2"], ["--pool=threads", "--loglevel=DEBUG", "--concurrency=4"]),
        (["--concurrency", "3", "-v", "0"], ["--pool=prefork", "--loglevel=WARNING", "--concurrency=3"]),
        (["--pool", "prefork", "--threads", "4"], ["--pool=prefork", "--loglevel=INFO"]),
        (
            [
                "--only-channels",
                "a.*",
                "--only-channels",
                "b",
                "--exclude-channels",
                "a.x",
                "--exclude-channels",
                "a.y",
            ],
            [
                "--pool=prefork",
                "--loglevel=INFO",
                "--only-channels=a.*",
                "--only-channels=b",
                "--exclude-channels=a.x",
                "--exclude-channels=a.y",
            ],
        ),
        (["--metrics", "9464"], ["--pool=prefork", "--loglevel=INFO", "--metrics=9464"]),
    ],
)
def test_given_options_of_runworker_expect_those_of_celery(
    monkeypatch: pytest.MonkeyPatch, options: list[str], argv: list[str]
) -> None:
    """Item 222."""
    given: list[list[str]] = []
    monkeypatch.setattr(runworker, "shared_layer", lambda alias, command: None)
    monkeypatch.setattr(runworker, "install", lambda app: SimpleNamespace(worker_main=given.append))
    call_command("runworker", *options)
    assert given == [["worker", *argv]]


def test_if_autoreload_ends_the_process_expect_its_worker_ended_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a message that comes just then finds that Python has taken the pool's threads away already."""
    ended: list[float] = []

    class Worker:
        def stop(self, timeout: float) -> None:
            ended.append(timeout)

    def reload(self: runserver.Command, **options: Any) -> None:
        self._worker = Worker()  # type: ignore[assignment]
        raise SystemExit(3)

    monkeypatch.setattr(runserver.DjangoCommand, "run", reload)
    with pytest.raises(SystemExit):
        runserver.Command().run()
    assert ended == [1.0]
