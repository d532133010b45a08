"""What a live site refuses before it starts anything (item 217)."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import SimpleTestCase, modify_settings, override_settings

from channelcelery import route
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.test import ChannelLiveServerTestCase, apply_routes, live
from channelcelery.test.live import LiveSite, overridden
from channelcelery.test.live_main import Orders

REDIS = "channelcelery.layers.RedisChannelLayer"
MEMORY = "channelcelery.layers.InMemoryChannelLayer"
ENTRY: dict[str, Any] = {"BACKEND": REDIS, "CONFIG": {"prefix": "shop:"}, "TEST_CONFIG": {"prefix": "test:"}}


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the broker and the database be ones that other processes reach."""
    monkeypatch.setattr(live, "require_shared", lambda config, command: None)
    monkeypatch.setattr(live, "_databases", lambda: {"default": "a file"})


def refusal(layers: dict[str, Any]) -> str:
    with override_settings(CHANNEL_LAYERS=layers), pytest.raises(ImproperlyConfigured) as refused:
        LiveSite()
    return str(refused.value)


def test_several_layers() -> None:
    """Item 217: an error that says what to do."""
    text = refusal({"default": ENTRY, "other": ENTRY})
    assert "CHANNEL_LAYERS has 2: override the setting for the test's class" in text
    assert "CHANNEL_LAYERS has 0" in refusal({})


def test_no_test_config() -> None:
    """Item 44."""
    with (
        override_settings(CHANNEL_LAYERS={"default": {"BACKEND": REDIS}}),
        pytest.raises(InvalidChannelLayerError, match=r"\['default'\], TEST_CONFIG: there is none"),
    ):
        LiveSite()


def test_layer_and_broker_in_memory() -> None:
    with (
        override_settings(CHANNEL_LAYERS={"default": {"BACKEND": MEMORY, "TEST_CONFIG": {}}}),
        pytest.raises(
            InvalidChannelLayerError, match="a live site could not reach any other process: the broker is mem"
        ),
    ):
        LiveSite()


@pytest.mark.usefixtures("shared")
class TestOtherwise:
    def test_a_site_has_a_prefix_of_its_own(self) -> None:
        with override_settings(CHANNEL_LAYERS={"default": ENTRY}):
            first, second = LiveSite(), LiveSite()
        assert first.config.prefix.startswith("test:")
        assert first.config.prefix != second.config.prefix
        assert first.config.kind == "redis"

    def test_long_prefixes_leave_room(self) -> None:
        with override_settings(CHANNEL_LAYERS={"default": {**ENTRY, "TEST_CONFIG": {"prefix": "x" * 40}}}):
            assert len(LiveSite().config.prefix) <= 40

    def test_applied_routes(self) -> None:
        with apply_routes(route("things", print)):
            assert "apply_routes reaches no other process" in refusal({"default": ENTRY})

    def test_settings_that_no_other_process_can_get(self) -> None:
        with (
            override_settings(CHANNEL_LAYERS={"default": ENTRY}),
            pytest.raises(ImproperlyConfigured, match="the overridden setting HOOK cannot be handed"),
        ):
            LiveSite(changed={"FINE": [1, {"a": None}], "HOOK": print})


def test_overridden_settings_of_a_class() -> None:
    """Expect those of override_settings and modify_settings, as they are inside the class."""

    @override_settings(GREETING="hello")
    @modify_settings(ALLOWED_HOSTS={"append": "example.com"})
    class Case(SimpleTestCase):
        pass

    Case.setUpClass()
    try:
        found = overridden(Case)
    finally:
        Case.doClassCleanups()
    assert found["GREETING"] == "hello"
    assert found["ALLOWED_HOSTS"][-1] == "example.com"
    assert overridden(SimpleTestCase) == {}


def test_orders_travel_whole() -> None:
    orders = Orders("worker", "default", "test:", "localhost", 3, True, 2, {"default": "name"}, {"A": ["é", 1]})
    assert Orders.from_json(orders.to_json()) == orders
    assert "\n" not in orders.to_json()


def test_the_defaults_are_those_of_1_x() -> None:
    """Item 217."""
    case = ChannelLiveServerTestCase
    assert (case.host, case.port, case.serve_static, case.worker_threads) == ("localhost", 0, True, 1)
