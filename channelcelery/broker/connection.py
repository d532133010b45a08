"""Which broker: that of the Celery app given to `install(app)`, or else of one made from the settings."""

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from celery import Celery
from django.conf import settings
from kombu import Connection
from kombu.utils.url import parse_url

from channelcelery.broker.safe_app import make_safe
from channelcelery.conf import LayerConfig
from channelcelery.exceptions import InvalidChannelLayerError

__all__ = [
    "broker_app",
    "broker_identity",
    "broker_url",
    "connect",
    "default_app",
    "is_local_broker",
    "require_shared",
    "use_app",
]

#: Names of one transport that Kombu knows several of.
_SAME_TRANSPORT = {"pyamqp": "amqp"}
#: What Kombu's transports take where a URL leaves out the port and the virtual host, or the database.
_DEFAULTS = {
    "amqp": (5672, "/"),
    "amqps": (5671, "/"),
    "redis": (6379, "0"),
    "rediss": (6379, "0"),
    "sentinel": (26379, "0"),
}

_app: Celery | None = None


def use_app(app: Celery) -> None:
    """Make an app the one whose broker holds the channels; `install(app)` calls this."""
    global _app
    _app = app


def broker_app() -> Celery:
    """Return the Celery app whose broker holds the channels."""
    app = _app
    if app is None:
        app = default_app()
        use_app(app)
    return app


def default_app() -> Celery:
    """Make a Celery app from Django's CELERY_* settings, and `celeryconfig` for what these leave out.

    With neither, queues are in memory, which only a single process can use.
    """
    os.environ.setdefault("CELERY_LOADER", "app")
    values: dict[str, Any] = {"broker_url": "memory://localhost/", "broker_connection_retry_on_startup": True}
    if find_spec("celeryconfig") is not None:
        module = import_module("celeryconfig")
        values |= {
            key: value
            for key, value in vars(module).items()
            if key.islower() and not key.startswith("_") and not isinstance(value, ModuleType)
        }
    for name in dir(settings):
        if name.startswith("CELERY_"):
            values[name.removeprefix("CELERY_").lower()] = getattr(settings, name)
    # Celery lets this variable win over every setting
    if str(os.environ.get("CELERY_BROKER_URL") or values["broker_url"]).startswith("memory:"):
        # Kombu looks once a second by itself
        values.setdefault("broker_transport_options", {"polling_interval": 0.01})
    app = Celery("channelcelery")
    app.config_from_object(values)
    return make_safe(app)


def broker_url() -> str:
    """Return the broker's URL, or those of several with ";" between them, passwords included: not for logs."""
    url: Any = broker_app().conf.broker_url
    return (";".join(map(str, url)) if isinstance(url, list | tuple) else str(url or "")) or "amqp://"


def broker_identity() -> str:
    """Return what tells one broker from another, the same however it is written, without users and passwords."""
    return ";".join(sorted(_identity(url) for url in broker_url().split(";")))


def _identity(url: str) -> str:
    found = parse_url(url)
    transport = _SAME_TRANSPORT.get(found["transport"], found["transport"])
    host = "127.0.0.1" if found["hostname"] in {None, "localhost"} else found["hostname"]
    port, virtual_host = _DEFAULTS.get(transport, (None, None))
    return f"{transport}://{host}:{found['port'] or port}/{found['virtual_host'] or virtual_host}"


def is_local_broker() -> bool:
    """Tell whether the queues are in this process's memory."""
    return broker_url().startswith("memory:")


def connect() -> Connection:
    """Return a new, lazy connection for publishing."""
    return broker_app().connection_for_write()


def require_shared(config: LayerConfig, command: str) -> None:
    """Refuse to start a process that could not reach the others.

    Args:
        config: the layer's settings.
        command: what is being started, for the error.

    Raises:
        InvalidChannelLayerError: queues or replies are in this process's memory.
    """
    missing = []
    if is_local_broker():
        missing.append("the broker is memory:// (set CELERY_BROKER_URL to amqp://… or redis://…)")
    if config.kind == "memory":
        missing.append("the layer is in memory (set CHANNEL_LAYER_URL to redis://…, or BACKEND to RedisChannelLayer)")
    if missing:
        raise InvalidChannelLayerError(
            config.alias,
            "BACKEND",
            f"{command} could not reach any other process: {', and '.join(missing)}. "
            "`manage.py runserver` runs everything in one process and needs neither",
        )
