"""Fixtures for tests of normal channels on each broker, and of what reliable channels keep in each database."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from channelcelery.broker import connection
from channelcelery.broker.connection import use_app
from channelcelery.layers import channel_layers
from channelcelery.reliable.sending import ReliableSender
from tests.contract.brokers import Broker
from tests.contract.databases import (
    SQLITE,
    Shop,
    ShopRouter,
    database_at,
    empty_tables,
    make_tables,
    new_postgres_database,
)
from tests.fakes import FakeLayer


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker with queues of the test's own: the parameter is "memory", "redis" or "amqp".

    It shares its server's first vhost or database, since a new one for each test would take half of the time.
    """
    server = {"redis": "redis_server_shared", "amqp": "rabbit_shared"}.get(request.param)
    made = Broker(request.getfixturevalue(server).url if server else "memory://")
    yield made
    made.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop_entry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> dict[str, Any]:
    """What DATABASES says of a database with the tables of reliable channels, once of each kind."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("shop") / "shop.sqlite3"
        entry = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": dict(SQLITE)}
    else:
        entry = new_postgres_database(request.getfixturevalue("postgres"))
    with django_db_blocker.unblock(), database_at(entry):
        make_tables()
    return entry


@pytest.fixture
def shop(shop_entry: dict[str, Any], django_db_blocker: Any, settings: Any) -> Iterator[Shop]:
    """That database, empty; the tables of reliable channels are there and nowhere else."""
    settings.DATABASE_ROUTERS = [ShopRouter()]
    with django_db_blocker.unblock(), database_at(shop_entry):
        empty_tables()
        yield Shop()


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ReliableSender]:
    """What sends reliably by the layer "default", on a broker in memory."""
    monkeypatch.setattr(connection, "_app", None)
    use_app(Celery("project", broker="memory://"))
    config = {"prefix": f"{abs(hash(request.node.name))}:", "channel_capacity": {"small": 2}}
    layer = FakeLayer(**config)
    made = ReliableSender(layer.config, lambda: Connection("memory://"))
    layer.make_reliable = lambda _: made
    former = channel_layers.set("default", layer)
    yield made
    made.close()
    channel_layers.set("default", former)
