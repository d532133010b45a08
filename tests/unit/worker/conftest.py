"""Fixtures for tests of what workers do."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.test import override_settings

from channelcelery.layers import channel_layers
from channelcelery.routing import route
from tests.fakes import FakeLayer


@pytest.fixture
def eager_switching() -> Iterator[None]:
    """Let threads interrupt each other between any two bytecodes rather than every 5 ms."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def layer() -> Iterator[FakeLayer]:
    """The layer of the alias "default"."""
    layer = FakeLayer()
    old = channel_layers.set("default", layer)
    yield layer
    channel_layers.set("default", old)


@pytest.fixture
def routed(layer: FakeLayer, db: None) -> Iterator[Callable[..., None]]:
    """Set the routing of "default": route objects, or a consumer for the channel "chat".

    With the database, since a runner looks at the connections that other tests left open.
    """
    with ExitStack() as stack:

        def set_routing(*entries: Any) -> None:
            routes = [entry if hasattr(entry, "match") else route("chat", entry) for entry in entries]
            backend = "channelcelery.layers.InMemoryChannelLayer"
            stack.enter_context(override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "ROUTING": routes}}))

        yield set_routing
