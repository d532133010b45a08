"""Which brokers are the same, however their URLs are written."""

from typing import Any

import pytest
from celery import Celery

from channelcelery.broker import connection
from channelcelery.broker.connection import broker_identity, use_app


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)
    monkeypatch.setattr(connection, "_app", None)


def identity(url: Any) -> str:
    use_app(Celery("broker", broker=url, set_as_current=False))
    return broker_identity()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("amqp://h//", "amqp://h:5672//"),
        ("amqp://h", "amqp://u:p@h//"),
        ("pyamqp://h/v", "amqp://h:5672/v"),
        ("amqps://h", "amqps://h:5671//"),
        ("redis://h/", "redis://h:6379/0"),
        ("rediss://:p@h", "rediss://h:6379/0"),
        ("amqp://localhost", "amqp://127.0.0.1"),
        (["amqp://a//", "amqp://b//"], "amqp://b:5672;amqp://u:p@a"),
    ],
)
def test_the_same_broker(one: Any, other: Any) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("amqp://h//", "amqp://h/v"),
        ("redis://h/0", "redis://h/1"),
        ("redis://h/0", "redis://h:6380/0"),
        ("amqp://a", "amqp://b"),
        (["amqp://a", "amqp://b"], ["amqp://a", "amqp://c"]),
    ],
)
def test_another_broker(one: Any, other: Any) -> None:
    assert identity(one) != identity(other)
