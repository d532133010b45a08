"""Fixtures for tests that run the example site."""

import shutil
from collections.abc import Iterator
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
def demo_site(memory_site: Site) -> Iterator[Site]:
    """The example site in one process, in memory."""
    with memory_site.demo():
        yield memory_site


@pytest.fixture
def shared_site(database: Path, broker_url: str, redis_url: str) -> Site:
    """The example site on a broker (once Redis, once RabbitMQ) and Redis, not yet started."""
    return Site(database.parent, broker=broker_url, layer=redis_url)


@pytest.fixture
def production_site(shared_site: Site) -> Iterator[Site]:
    """The example site as interface and worker, once with Redis as its broker and once with RabbitMQ."""
    with shared_site.production():
        yield shared_site
