"""The interface for any ASGI server, with nothing set but DJANGO_SETTINGS_MODULE:

    uvicorn channelcelery.asgi:application --ws websockets-sansio --host 127.0.0.1 --port 8000 \\
        --ws-max-size 2097152 --ws-per-message-deflate false --no-server-header --no-access-log

`manage.py runinterface` is the same in short. `--ws-max-size` is what the server itself takes: leave it above
CONFIG["frame_size"], which the application enforces on any server.
"""

import os
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps

from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.interface.access_log import hide_session_keys
from channelcelery.interface.app import InterfaceApplication
from channelcelery.layers.layer import ChannelLayer
from channelcelery.observe.endpoint import VARIABLE

if TYPE_CHECKING:
    from channelcelery.layers import channel_layers

__all__ = ["InvalidChannelLayerError", "application", "channel_layers", "get_channel_layer"]

#: Cheap to import: settings are read and Redis is reached when a server starts it.
application = InterfaceApplication(metrics=os.environ.get(VARIABLE, ""))
hide_session_keys()


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> ChannelLayer:
    """Set Django up if need be, and return a layer (Channels 1.x, item 46).

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.

    Raises:
        KeyError: CHANNEL_LAYERS has no such alias.
        InvalidChannelLayerError: its entry is wrong.
    """
    if not apps.ready:
        django.setup()
    from channelcelery.layers import channel_layers

    return channel_layers[alias]


def __getattr__(name: str) -> Any:
    # where Channels 1.x has it; not imported with this module, since it brings Kombu along
    if name == "channel_layers":
        from channelcelery.layers import channel_layers

        return channel_layers
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
