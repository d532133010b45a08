"""Fixtures for tests that run the example site."""

import shutil
from pathlib import Path

import pytest

from tests.acceptance.sites import Site


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows, to be copied."""
    site = Site(tmp_path_factory.mktemp("migrated"))
    site.run(site.manage("migrate", "--noinput", "--verbosity", "0"))
    return site.database


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Path:
    """An empty, migrated database in the test's own directory, where `Site` looks for it."""
    return Path(shutil.copy(migrated, tmp_path / "db.sqlite3"))


@pytest.fixture
def memory_site(database: Path) -> Site:
    """The example site in memory, not yet started."""
    return Site(database.parent)


@pytest.fixture
def shared_site(database: Path, broker_url: str, redis_url: str) -> Site:
    """The example site on a broker (once Redis, once RabbitMQ) and Redis, not yet started."""
    return Site(database.parent, broker=broker_url, layer=redis_url)
