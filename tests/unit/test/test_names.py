"""Where the test tools are found (item 209)."""

import importlib
import sys

import pytest

from channelcelery import test


def test_every_name_is_there() -> None:
    """Item 209."""
    names = {
        *("ChannelTestCase", "TransactionChannelTestCase", "ChannelLiveServerTestCase"),
        *("Client", "WSClient", "HttpClient", "apply_routes"),
    }
    assert set(test.__all__) == names
    for name in names:
        assert getattr(test, name).__name__ == name
    assert names <= set(dir(test))
    with pytest.raises(AttributeError, match="has no attribute 'Cient'"):
        _ = test.Cient


def test_the_deprecated_name() -> None:
    """Item 209."""
    sys.modules.pop("channelcelery.tests", None)
    with pytest.warns(DeprecationWarning, match=r"use channelcelery\.test"):
        tests = importlib.import_module("channelcelery.tests")
    assert tests.__all__ == test.__all__
    assert all(getattr(tests, name) is getattr(test, name) for name in test.__all__)


def test_the_modules_of_channels_1() -> None:
    """Item 209: where 1.1.8 defined them, and projects import them from."""
    assert issubclass(test.ChannelTestCase, importlib.import_module("channelcelery.test.base").ChannelTestCaseMixin)
    homes = {
        "base": ("ChannelTestCase", "TransactionChannelTestCase", "Client", "apply_routes"),
        "http": ("HttpClient",),
        "liveserver": ("ChannelLiveServerTestCase",),
        "websocket": ("WSClient", "HttpClient"),
    }
    for home, names in homes.items():
        module = importlib.import_module(f"channelcelery.test.{home}")
        assert set(names) <= set(module.__all__)
        assert all(getattr(module, name) is getattr(test, name) for name in names)
