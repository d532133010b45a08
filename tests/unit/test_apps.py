"""The application by its names in INSTALLED_APPS (Channels 1.x, item 227)."""

import pytest
from django.apps.registry import Apps

from channelcelery.apps import ChannelCeleryConfig


@pytest.mark.parametrize(
    "entry", ["channelcelery", "channelcelery.apps.ChannelCeleryConfig", "channelcelery.apps.ChannelsConfig"]
)
def test_given_an_entry_as_in_1x_expect_the_application(entry: str) -> None:
    """Item 227: the package's name is enough; where it says more, only that word changes."""
    (app,) = Apps([entry]).get_app_configs()
    assert isinstance(app, ChannelCeleryConfig)
    assert (app.name, app.label) == ("channelcelery", "channelcelery")


def test_given_the_application_of_delayed_messages_expect_it_beside() -> None:
    """Item 227: `channelcelery.delay`, which projects may have."""
    for entry in ("channelcelery.delay", "channelcelery.delay.apps.DelayConfig"):
        names = [app.name for app in Apps(["channelcelery", entry]).get_app_configs()]
        assert names == ["channelcelery", "channelcelery.delay"]
