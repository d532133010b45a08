"""What a worker with reliable channels is refused for before it starts."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from celery import Celery
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from channelcelery.broker.safe_app import make_safe
from channelcelery.checks import check_routing, check_tables
from channelcelery.core.reliable import Reliable
from channelcelery.layers import channel_layers
from channelcelery.message import Message
from channelcelery.routing import Router, replace_router, route
from channelcelery.worker.reliable_channels import check_reliable, label_of, prefetch_of, reliable_channels
from tests.fakes import FakeLayer
from tests.unit.worker.test_forward import Recorder


def charge(message: Message) -> None: ...


def post(message: Message) -> None: ...


pytestmark = pytest.mark.django_db

ROUTES = [
    route("orders.paid", charge, reliable=Reliable(time_limit=5)),
    route("orders.sent", charge, reliable=True, by="post"),
    route("orders.sent", post, reliable=True),
    route("mail", charge),
]


@pytest.fixture(autouse=True)
def layer() -> Iterator[FakeLayer]:
    made = FakeLayer(reliable_channels=["else.*"])
    recorder = Recorder()
    made.make_reliable = lambda config: recorder
    former, router = channel_layers.set("default", made), replace_router("default", Router(ROUTES))
    yield made
    channel_layers.set("default", former)
    replace_router("default", router)


def check(app: Any = None, pool: str = "prefork", *only: str) -> None:
    app = app or Celery("project", broker="amqp://127.0.0.1")
    check_reliable(app, pool, reliable_channels(only, []))


def test_given_all_that_is_needed_expect_no_refusal() -> None:
    check()
    check(make_safe(Celery("project", broker="redis://127.0.0.1")))
    check(None, "threads", "orders.sent")


def test_if_the_transport_loses_messages_expect_a_refusal() -> None:
    with pytest.raises(ImproperlyConfigured, match="which lose messages: call"):
        check(Celery("project", broker="redis://127.0.0.1"))


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_if_the_pool_enforces_no_time_limit_expect_a_refusal(pool: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"orders\.paid has a time limit of 5 s.*prefork"):
        check(None, pool)


def test_if_the_worker_of_runserver_enforces_no_time_limit_expect_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    app: Any = Celery("project", broker="memory://")
    check_reliable(app, "threads", reliable_channels([], []), embedded=True)
    (text,) = caplog.messages
    assert text.startswith("orders.paid has a time limit of 5 s")
    assert text.endswith("here it has none")


def test_if_there_is_no_table_expect_a_refusal_and_an_error_of_the_checks() -> None:
    with override_settings(INSTALLED_APPS=["channelcelery"]):
        with pytest.raises(ImproperlyConfigured, match=r"put 'channelcelery\.reliable' into INSTALLED_APPS"):
            check()
        former = replace_router("default", Router(ROUTES))
        assert [error.id for error in check_routing()] == ["channelcelery.E004"]
        replace_router("default", former)


def test_if_a_table_is_not_migrated_expect_a_refusal_and_a_warning_of_the_checks() -> None:
    """A warning, since `migrate` makes the check before it makes the table."""
    table = "channelcelery_reliable_outboxrow"
    assert check_tables(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO away")
    assert [(found.id, found.level) for found in check_tables(databases=["default"])] == [("channelcelery.W005", 30)]
    assert check_tables(databases=None) == []
    with patch.object(MigrationRecorder, "has_table", return_value=False):  # as before the first `migrate`
        assert check_tables(databases=["default"]) == []
    with pytest.raises(ImproperlyConfigured, match=rf"there is no table {table} in default: run manage\.py migrate"):
        check()


def test_given_an_outbox_for_all_channels_and_no_tables_expect_an_error_of_the_checks(settings: Any) -> None:
    """As in a project that sends to reliable channels and has not their consumers."""
    backend = "channelcelery.layers.InMemoryChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"outbox": True}}}
    settings.INSTALLED_APPS = ["channelcelery"]
    replace_router("default", Router([]))
    (error,) = check_routing()
    assert (error.id, "CONFIG['outbox'] is set" in error.msg) == ("channelcelery.E004", True)


def test_if_json_is_not_taken_expect_a_refusal() -> None:
    app = Celery("project", broker="amqp://127.0.0.1")
    app.conf.accept_content = ["pickle"]
    with pytest.raises(ImproperlyConfigured, match="accept_content"):
        check(app)


def test_if_config_and_routing_disagree_expect_a_refusal() -> None:
    replace_router("default", Router([route("else.where", charge)]))
    with pytest.raises(ImproperlyConfigured, match=r"else\.where is reliable, its consumers do not"):
        check()


def test_given_one_consumer_expect_its_name_and_of_several_the_channel_s() -> None:
    assert label_of("default", "orders.paid") == f"{__name__}.charge"
    assert label_of("default", "orders.sent") == "orders.sent"


@pytest.mark.parametrize(
    ("processes", "waits", "attempts", "expected"),
    [(1, True, 5, 4), (4, True, 2, 7), (4, True, 1, 4), (4, False, 5, 4), (0, True, 1, 1)],
)
def test_expect_a_few_messages_ahead_but_where_one_that_is_given_back_would_be_dead_or_run_twice(
    processes: int, waits: bool, attempts: int, expected: int
) -> None:
    """Given pools, of which prefork alone hands over what can run / Expect as many of a queue as may be under way."""
    routes = [*ROUTES, route("orders.lost", charge, reliable=Reliable(max_attempts=attempts))]
    replace_router("default", Router(routes))
    pool = SimpleNamespace(num_processes=processes, uses_semaphore=waits)
    assert prefetch_of(pool, reliable_channels([], [])) == expected
