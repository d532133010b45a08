"""What the management commands say, and how they fail."""

import io
from typing import Any

import pytest
from celery import Celery
from click import ClickException
from django.core.management import CommandError, call_command

from channelcelery.broker import connection
from channelcelery.interface import server
from channelcelery.management.commands import runserver
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
