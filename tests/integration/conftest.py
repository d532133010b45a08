"""Fixtures for tests that run the test project's processes."""

from pathlib import Path

import pytest

from tests.integration.workers import WorkerSetup


@pytest.fixture
def setup(broker_url: str, redis_url: str, tmp_path: Path) -> WorkerSetup:
    """A broker (once Redis, once RabbitMQ), a Redis and an empty directory for one test."""
    return WorkerSetup(broker=broker_url, layer=redis_url, directory=tmp_path)
