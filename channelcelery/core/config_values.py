"""The values of CONFIG that are no plain numbers: each reader returns what one means, or says what to write instead."""

import re
from collections.abc import Mapping
from fnmatch import translate
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from channelcelery.exceptions import InvalidChannelLayerError

__all__ = [
    "read_channel_capacity",
    "read_connection_kwargs",
    "read_hosts",
    "read_http",
    "read_keys",
    "read_origins",
    "read_prefix",
    "read_reliable_channels",
    "wrong",
]

#: Arguments of redis-py's connections that `layers.redis_clients` sets itself.
_FIXED_ARGUMENTS = frozenset(
    {
        "decode_responses",
        "encoding",
        "max_connections",
        "protocol",
        "retry",
        "retry_on_error",
        "socket_timeout",
        "timeout",
    }
)


#: Characters of an encryption key, at least.
_KEY_BYTES = 32


def wrong(alias: str, key: str, mend: str) -> InvalidChannelLayerError:
    """Return the error for a value of CONFIG.

    Args:
        alias: the layer's alias in CHANNEL_LAYERS.
        key: the key of CONFIG.
        mend: what to write instead.
    """
    return InvalidChannelLayerError(alias, f"CONFIG[{key!r}]", mend)


def read_hosts(alias: str, key: str, value: Any) -> tuple[str, ...]:
    """Return the URLs of the layer's Redis servers, given URLs or (host, port) pairs."""
    if isinstance(value, list | tuple) and value:
        urls = [_url_of(host) for host in value]
        if None not in urls:
            return tuple(url for url in urls if url)
    # the value is not shown: it may hold a password
    raise wrong(
        alias,
        key,
        "write a list of URLs such as 'redis://127.0.0.1:6379/0' or of (host, port) pairs; a password in a URL is "
        "percent-encoded",
    )


def _url_of(host: Any) -> str | None:
    if isinstance(host, str):
        try:
            parts = urlsplit(host)
            return host if parts.scheme in {"redis", "rediss", "unix"} and parts.port != 0 else None
        except ValueError:
            return None
    if not isinstance(host, list | tuple) or len(host) != 2:
        return None
    name, port = host
    if (
        not isinstance(name, str)
        or not re.fullmatch(r"[\w.:-]+", name)
        or type(port) is not int
        or not 0 < port < 65536
    ):
        return None
    return f"redis://[{name}]:{port}/0" if ":" in name else f"redis://{name}:{port}/0"


def read_connection_kwargs(alias: str, key: str, value: Any) -> Mapping[str, Any]:
    """Return more arguments of the connections to them."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise wrong(alias, key, "write a dict of arguments for redis-py's connections, such as {'username': 'chat'}")
    if fixed := sorted(value.keys() & _FIXED_ARGUMENTS):
        raise wrong(alias, key, f"{fixed[0]!r} cannot be chosen, the layer depends on its own")
    return dict(value)


def read_keys(alias: str, key: str, value: Any) -> tuple[bytes, ...]:
    """Return the keys that encrypt messages, given text or bytes."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, str | bytes) for each in value):
        raise wrong(alias, key, "write a list of keys, such as [secrets.token_urlsafe(32)]")
    keys = tuple(each.encode() if isinstance(each, str) else each for each in value)
    # none is shown
    if any(len(each) < _KEY_BYTES for each in keys):
        raise wrong(alias, key, f"a key has at least {_KEY_BYTES} characters: make one by secrets.token_urlsafe(32)")
    if keys and not find_spec("cryptography"):
        raise wrong(alias, key, "it needs a library: pip install 'channelcelery[cryptography]'")
    return keys


def read_prefix(alias: str, key: str, value: Any) -> str:
    """Return what every queue and key begins with."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._:-]{1,40}", value):
        raise wrong(alias, key, f"write 1 to 40 letters, digits, '.', '_', ':' or '-', not {value!r}")
    return value


def read_channel_capacity(alias: str, key: str, value: Any) -> tuple[tuple[re.Pattern[str], int], ...]:
    """Return pairs of a compiled pattern and a capacity, in the order of the dict (item 52)."""
    if not isinstance(value, Mapping):
        raise wrong(alias, key, "write a dict of globs (or compiled patterns) and whole numbers")
    rules = []
    for pattern, capacity in value.items():
        glob = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        if not isinstance(glob, str):
            raise wrong(alias, key, f"write a dict of globs (or compiled patterns) of text, not {pattern!r}")
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise wrong(alias, key, f"the capacity of {pattern!r} must be a whole number above 0, not {capacity!r}")
        rules.append((pattern if isinstance(pattern, re.Pattern) else re.compile(translate(glob)), capacity))
    return tuple(rules)


def read_reliable_channels(alias: str, key: str, value: Any) -> tuple[re.Pattern[str], ...]:
    """Return compiled patterns of channels that are reliable, given globs."""
    if not isinstance(value, list | tuple) or not all(isinstance(glob, str) for glob in value):
        raise wrong(alias, key, f"write a list of globs such as ['orders.*'], not {value!r:.200}")
    return tuple(re.compile(translate(glob)) for glob in value)


def read_http(alias: str, key: str, value: Any) -> str:
    """Return who answers HTTP requests."""
    if value not in ("worker", "inline", "off"):
        raise wrong(alias, key, f"write 'worker', 'inline' or 'off', not {value!r}")
    return str(value)


def read_origins(alias: str, key: str, value: Any) -> tuple[str, ...] | None:
    """Return the hosts that an Origin may name, or None."""
    if value is None:
        return None
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(host, str) for host in value):
        raise wrong(alias, key, "write a list of hosts as in ALLOWED_HOSTS, or None to use ALLOWED_HOSTS")
    for host in value:
        # what may hold colons is an address in brackets
        if "/" in host or ":" in re.sub(r"^\[[^\]]*\]", "", host):
            raise wrong(alias, key, f"hosts only, as in ALLOWED_HOSTS: no scheme, path or port as in {host!r}")
    return tuple(value)
