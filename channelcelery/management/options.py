"""What the commands have in common: values of options, and settings that do not fit."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from channelcelery.conf import LayerConfig
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.observe.endpoint import address_of

__all__ = [
    "addresses",
    "changes",
    "command_errors",
    "count",
    "descriptor",
    "metrics",
    "port",
    "root_path",
    "seconds",
    "shared_layer",
]

Number = TypeVar("Number", int, float)

#: Keys of CONFIG that an option of the same destination replaces for one run.
_CHANGED = ("http_timeout", "connect_timeout", "connection_lifetime", "ping_interval", "ping_timeout")
#: More than a year is a slip.
_MOST_SECONDS = 366 * 86400


def seconds(text: str) -> float:
    """Read a time."""
    value = _number(float, text)
    if value is None or not 0 < value <= _MOST_SECONDS:  # so written that not-a-number is refused
        raise ArgumentTypeError(f"write seconds, a number above 0, not {text!r}")
    return value


def count(text: str) -> int:
    """Read a number of threads or processes."""
    value = _number(int, text)
    if value is None or not 1 <= value <= 10_000:
        raise ArgumentTypeError(f"write a whole number from 1, not {text!r}")
    return value


def port(text: str) -> int:
    """Read a TCP port; 0 lets the system choose."""
    value = _number(int, text)
    if value is None or not 0 <= value <= 65_535:
        raise ArgumentTypeError(f"write a port from 0 to 65535, not {text!r}")
    return value


def descriptor(text: str) -> int:
    """Read the number of an inherited file descriptor."""
    value = _number(int, text)
    if value is None or value < 0:
        raise ArgumentTypeError(f"write the number of an open file descriptor, not {text!r}")
    return value


def metrics(text: str) -> str:
    """Read where metrics are to be had; nothing means nowhere."""
    try:
        if text:
            address_of(text)
    except ImproperlyConfigured as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def addresses(text: str) -> list[str]:
    """Read addresses and networks with commas between them, or "*" for all."""
    found = [part.strip() for part in text.split(",")]
    for part in found:
        try:
            if part != "*":
                ip_network(part)
        except ValueError as error:
            raise ArgumentTypeError(f"write addresses or networks with commas between them, or *: {error}") from error
    # a list with a star among others would be taken for a name
    return ["*"] if "*" in found else found


def root_path(text: str) -> str:
    """Read where a site is mounted."""
    if text and not text.startswith("/"):
        raise ArgumentTypeError(f"write a path that begins with a slash, not {text!r}")
    return text.rstrip("/")


def _number(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None


def changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of CONFIG that a command's options replace."""
    return {key: options[key] for key in _CHANGED if options.get(key) is not None}


def shared_layer(alias: str, command: str) -> LayerConfig:
    """Return the settings of a layer that other processes reach too.

    Args:
        alias: its alias in CHANNEL_LAYERS.
        command: what is being started, for the error.

    Raises:
        CommandError: there is none, or it is in this process's memory.
    """
    # imported here, so that `manage.py help` needs no broker's library
    from channelcelery.broker.connection import require_shared
    from channelcelery.layers import channel_layers

    with command_errors():
        config = channel_layers.config(alias)
        require_shared(config, command)
    return config


@contextmanager
def command_errors() -> Iterator[None]:
    """Say what is wrong with settings or files as Django's commands do: in a sentence and without a traceback."""
    try:
        yield
    except KeyError as error:  # an alias that does not exist; its own text would be quoted
        raise CommandError(error.args[0]) from error
    except (InvalidChannelLayerError, OSError) as error:
        raise CommandError(str(error)) from error
