"""Which pages may open a socket: decorators of connect consumers that look at the Origin (Channels 1.x, N).

Browsers send a site's cookies along with a socket that any other site's page opens. The interface process already
checks every handshake; these are for rules of one consumer's own, and for projects that move from Channels 1.x.
"""

from collections.abc import Callable
from copy import copy
from functools import update_wrapper
from typing import Any, Self
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from channelcelery.around import find_message
from channelcelery.core.headers import header_values
from channelcelery.exceptions import DenyConnection
from channelcelery.message import Message

__all__ = ["AllowedHostsOnlyOriginValidator", "BaseOriginValidator", "allowed_hosts_only"]

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


class BaseOriginValidator:
    """A decorator of connect consumers, functions or methods, that refuses origins; subclasses say which (item 176).

    Args:
        func: the consumer.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        update_wrapper(self, func)
        self.func = func
        if iscoroutinefunction(func):
            markcoroutinefunction(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        message = find_message(type(self).__name__, args, kwargs)
        if not self.validate_origin(message, self.get_origin(message)):
            raise DenyConnection
        return self.func(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        if instance is None:
            return self
        bound = copy(self)
        bound.func = self.func.__get__(instance, owner)
        return bound

    def get_header(self, message: Message, name: bytes) -> list[bytes]:
        """Return the values of a header.

        Args:
            message: the connect message.
            name: the header's name in lower case.

        Raises:
            KeyError: there is none.
        """
        values = header_values(message.content["headers"], name)
        if not values:
            raise KeyError(f"No header named {name!r}")
        return values

    def get_origin(self, message: Message) -> str:
        """Return the Origin of a connect message.

        Raises:
            DenyConnection: there is none, or several, or it is not ASCII (item 175).
        """
        try:
            (origin,) = self.get_header(message, b"origin")
            return origin.decode("ascii")
        except (KeyError, ValueError):
            raise DenyConnection from None

    def validate_origin(self, message: Message, origin: str) -> bool:
        """Tell whether a socket is welcome; subclasses say so.

        Args:
            message: the connect message.
            origin: the Origin header.
        """
        raise NotImplementedError(f"{type(self).__name__} must define validate_origin(message, origin)")


class AllowedHostsOnlyOriginValidator(BaseOriginValidator):
    """Refuses origins whose host is not in ALLOWED_HOSTS; the port does not count (items 173 to 175)."""

    def validate_origin(self, message: Message, origin: str) -> bool:
        try:
            host, _ = split_domain_port(urlsplit(origin).netloc)
        except ValueError:
            return False
        allowed = settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else ())
        return bool(host) and validate_host(host, allowed)


# lower case as decorators are, and as Channels 1.x has it
allowed_hosts_only = AllowedHostsOnlyOriginValidator
