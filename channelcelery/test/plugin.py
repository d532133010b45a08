"""Fixtures for pytest, there as soon as the package is installed; nothing of Django is imported before one is used."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from channelcelery.test.base import Client
    from channelcelery.test.layer import ReadableLayer
    from channelcelery.test.live import LiveSite
    from channelcelery.test.websocket import WSClient

__all__ = [
    "channel_layer",
    "channel_live_server",
    "channel_live_site",
    "channels_client",
    "pytest_runtest_makereport",
    "ws_client",
]

#: Characters of what a live site's processes wrote that are shown beside a failure.
_SHOWN = 20_000


@pytest.fixture
def channel_layer() -> "Iterator[ReadableLayer]":
    """The layer "default" of this test: fresh, in memory, and so is every other of CHANNEL_LAYERS."""
    _require_settings()
    from channelcelery.layers import channel_layers
    from channelcelery.test.base import readable_layers

    with readable_layers(channel_layers) as layers:
        if "default" not in layers:
            pytest.fail("CHANNEL_LAYERS has no 'default'", pytrace=False)
        yield layers["default"]


@pytest.fixture
def channels_client(channel_layer: "ReadableLayer") -> "Client":
    """A client that sends messages and runs their consumers."""
    from channelcelery.test.base import Client

    return Client()


@pytest.fixture
def ws_client(channel_layer: "ReadableLayer") -> "WSClient":
    """A client with cookies, headers, a session and a user; it needs the database where sessions are kept there."""
    from channelcelery.test.websocket import WSClient

    return WSClient()


@pytest.fixture(scope="session")
def channel_live_site(django_db_setup: None) -> "Iterator[LiveSite]":
    """The processes behind `channel_live_server`, started once, when first needed."""
    from channelcelery.test.live import LiveSite

    with LiveSite() as site:
        yield site


@pytest.fixture
def channel_live_server(transactional_db: None, channel_live_site: "LiveSite") -> "Iterator[LiveSite]":
    """The real interface and a real worker on the test database: `url`, `ws_url`."""
    with channel_live_site.layer():
        yield channel_live_site


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Show what a live site's processes wrote beside a failure of its test."""
    report = yield
    site = getattr(item, "funcargs", {}).get("channel_live_server")
    if site is not None and report.when == "call" and report.failed:
        report.sections.append(("live site", site.output()[-_SHOWN:]))
    return report


def _require_settings() -> None:
    from django.conf import settings

    if not settings.configured and "DJANGO_SETTINGS_MODULE" not in os.environ:
        pytest.fail(
            "channels need Django's settings: install pytest-django and name DJANGO_SETTINGS_MODULE", pytrace=False
        )
