"""Fixtures of the chaos suite."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.system import System


@pytest.fixture
def new_system(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Makes a system on a broker and a layer's Redis; arguments as `System`."""
    made: list[System] = []

    def make(broker: str, layer: str, **options: Any) -> System:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(System(broker, layer, directory, **options))
        made[-1].migrate()
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def system(new_system: Callable[..., System], broker_url: str, redis_url: str) -> System:
    """A system on an empty broker, once Redis and once RabbitMQ."""
    return new_system(broker_url, redis_url)
