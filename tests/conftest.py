"""Fixtures for all tests: real servers, started once, with an empty corner of them for each test."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.postgres import postgres_server
from tests.servers import RabbitServer, RedisServer, find_program, rabbitmq_server, redis_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_configure() -> None:
    """Heed Ctrl-C even in the background of a shell, which has it ignored: what tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_server_shared() -> Iterator[RedisServer]:
    """One Redis server for all tests that leave it running; never stop it."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def rabbit_shared() -> Iterator[RabbitServer]:
    """One RabbitMQ node for all tests that leave it running; never stop it."""
    with rabbitmq_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, Any]]:
    """One PostgreSQL server for all tests, as DATABASES says it; the database that it names does not exist yet."""
    with postgres_server() as database:
        yield database


@pytest.fixture
def new_redis() -> Iterator[Callable[..., RedisServer]]:
    """Start a Redis server of the test's own, to stop, kill or freeze; arguments as `redis_server`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(redis_server(**options))


@pytest.fixture
def new_rabbit() -> Iterator[Callable[[], RabbitServer]]:
    """Start a RabbitMQ node of the test's own, to stop or kill."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(rabbitmq_server())


@pytest.fixture(scope="session")
def _redis_databases() -> Iterator[int]:
    # Not always the same one: what an earlier test left running must not write into this test's database.
    return itertools.cycle(range(1, 16))


def _empty_database(server: RedisServer, numbers: Iterator[int]) -> str:
    url = server.database(next(numbers))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def redis_url(redis_server_shared: RedisServer, _redis_databases: Iterator[int]) -> str:
    """URL of an empty Redis database."""
    return _empty_database(redis_server_shared, _redis_databases)


@pytest.fixture
def rabbit_url(rabbit_shared: RabbitServer) -> str:
    """URL of an empty RabbitMQ vhost."""
    return rabbit_shared.new_vhost()


@pytest.fixture(params=["redis", "amqp"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty broker, once for Redis and once for RabbitMQ; never the database of `redis_url`.

    Choose others with `@pytest.mark.parametrize("broker_url", ["memory", "redis"], indirect=True)`.
    """
    match request.param:
        case "memory":
            return "memory://"
        case "redis":
            server = request.getfixturevalue("redis_server_shared")
            return _empty_database(server, request.getfixturevalue("_redis_databases"))
        case "amqp":
            return str(request.getfixturevalue("rabbit_url"))
        case other:
            raise AssertionError(f"broker_url knows memory, redis and amqp, not {other!r}")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of the system's Chromium."""
    if os.access("/usr/bin/chromium", os.X_OK):
        return "/usr/bin/chromium"
    return find_program("chromium", package="chromium")


@pytest.fixture
def browser(chromium_path: str) -> Iterator["Browser"]:
    """A headless Chromium; for two people open `browser.new_context()` twice.

    It is made for each test, since asyncio.run() and Django's ORM refuse to work in a thread in which playwright is
    active: browser tests drive real processes and touch neither.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=list(CHROMIUM_ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working copy."""
    return Path(__file__).resolve().parent.parent
