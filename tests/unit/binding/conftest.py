"""A layer to look at, and bindings that end with their test."""

from collections.abc import Iterator

import pytest
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from channelcelery.layers import channel_layers
from tests.fakes import FakeLayer


@pytest.fixture(autouse=True)
def _bindings_end() -> Iterator[None]:
    """Let go of what a test declared, which would go on telling of later tests' changes."""
    signals = (pre_save, post_save, pre_delete, post_delete)
    before = [list(signal.receivers) for signal in signals]
    yield
    for signal, receivers in zip(signals, before, strict=True):
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


@pytest.fixture
def layer() -> Iterator[FakeLayer]:
    """The default layer."""
    fake = FakeLayer()
    former = channel_layers.set("default", fake)
    yield fake
    channel_layers.set("default", former)
