"""`channel_layers`: TEST_CONFIG, and layers made beside those in use (items 42 to 44)."""

import re
import threading
from typing import Any

import pytest
from django.test import override_settings

from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.layers import channel_layers
from channelcelery.layers.registry import ChannelLayers

MEMORY = "channelcelery.layers.InMemoryChannelLayer"


def layers(**entry: Any) -> Any:
    return override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY, **entry}})


def test_make_backend_and_make_test_backend() -> None:
    """Items 42 and 43: new layers, those of TEST_CONFIG with nothing of CONFIG."""
    with layers(CONFIG={"prefix": "shop:", "expiry": 5}, TEST_CONFIG={"prefix": "test:"}, ROUTING="a.b"):
        made, tested = channel_layers.make_backend("default"), channel_layers.make_test_backend("default")
    assert made is not channel_layers["default"]
    assert (made.config.prefix, made.config.expiry) == ("shop:", 5)
    assert (tested.config.prefix, tested.config.expiry, tested.config.routing) == ("test:", 60, "a.b")
    assert tested.alias == "default"


@pytest.mark.parametrize(("kind", "local"), [("InMemory", True), ("Redis", False)])
def test_what_each_says_of_itself(kind: str, local: bool) -> None:
    """Item 45."""
    path = f"channelcelery.layers.{kind}ChannelLayer"
    with override_settings(CHANNEL_LAYERS={"other": {"BACKEND": path, "ROUTING": "a.b"}}):
        made = channel_layers.make_backend("other")
    assert (made.alias, made.routing, made.local_only()) == ("other", "a.b", local)
    assert re.fullmatch(rf"other \(channelcelery\.layers\.\w+\.{kind}ChannelLayer\)", str(made))


def test_without_test_config() -> None:
    """Expect an error that names the alias (item 44)."""
    for entry in ({}, {"TEST_CONFIG": None}):
        with (
            layers(**entry),
            pytest.raises(InvalidChannelLayerError, match=r"\['default'\], TEST_CONFIG: there is none"),
        ):
            channel_layers.make_test_backend("default")
        with layers(**entry):
            assert not channel_layers.has_test_config("default")


def test_an_empty_one_is_one() -> None:
    with layers(TEST_CONFIG={}):
        assert channel_layers.make_test_backend("default").config.prefix == "cc:"


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"colour": "red"}, r"TEST_CONFIG\['colour'\]: no such key"),
        ({"expiry": 0}, r"TEST_CONFIG\['expiry'\]"),
        (5, "TEST_CONFIG: "),
    ],
)
def test_errors_name_test_config(config: Any, key: str) -> None:
    with layers(TEST_CONFIG=config), pytest.raises(InvalidChannelLayerError, match=key):
        channel_layers.test_config("default")


def test_unknown_aliases_and_wrong_entries() -> None:
    with pytest.raises(KeyError, match="unknown"):
        channel_layers.make_test_backend("unknown")
    with override_settings(CHANNEL_LAYERS={"default": "text"}):
        assert not channel_layers.has_test_config("default")
        with pytest.raises(InvalidChannelLayerError, match="the entry"):
            channel_layers.make_test_backend("default")


def test_layers_are_made_when_first_used_and_kept() -> None:
    """Item 43."""
    layers_of_their_own = ChannelLayers()
    with layers():
        assert "default" in layers_of_their_own
        assert "other" not in layers_of_their_own
        assert list(layers_of_their_own) == ["default"]
        assert layers_of_their_own["default"] is layers_of_their_own["default"]
        with pytest.raises(KeyError, match="no 'other'; it has default"):
            layers_of_their_own["other"]


def test_given_threads_that_want_one_at_the_same_time_expect_one_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 43: two would have two connections, and in memory two sets of channels."""
    layers_of_their_own = ChannelLayers()
    both, found = threading.Barrier(2), []

    class Missing(dict[str, Any]):
        def __getitem__(self, alias: str) -> Any:
            if alias not in self:
                both.wait(20)
                raise KeyError(alias)  # as it was, though the other may have made one since
            return super().__getitem__(alias)

    monkeypatch.setattr(layers_of_their_own, "_made", Missing())
    threads = [threading.Thread(target=lambda: found.append(layers_of_their_own["default"])) for _ in range(2)]
    with layers():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    first, second = found
    assert first is second


def test_set_swaps_and_returns_the_old_one() -> None:
    """Item 43."""
    layers_of_their_own = ChannelLayers()
    with layers():
        assert layers_of_their_own.set("default", None) is None
        first = layers_of_their_own["default"]
        other = layers_of_their_own.make_backend("default")
        assert layers_of_their_own.set("default", other) is first
        assert layers_of_their_own["default"] is other
        assert layers_of_their_own.set("default", None) is other
        assert layers_of_their_own["default"] not in (first, other)
