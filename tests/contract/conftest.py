"""Fixtures for tests of normal channels on each broker."""

from collections.abc import Iterator

import pytest

from tests.contract.brokers import Broker


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker with queues of the test's own: the parameter is "memory", "redis" or "amqp".

    It shares its server's first vhost or database, since a new one for each test would take half of the time.
    """
    server = {"redis": "redis_server_shared", "amqp": "rabbit_shared"}.get(request.param)
    made = Broker(request.getfixturevalue(server).url if server else "memory://")
    yield made
    made.close()
