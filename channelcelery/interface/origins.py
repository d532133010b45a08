"""Which handshakes are answered at all: the Origin and Host of a browser, checked before anything is queued.

Browsers send cookies along with a socket to any site, whatever page opens it, so that without this check every site
could act as the user (Channels 1.x, items 173 to 177; RFC 6455, section 10.2).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from channelcelery.conf import LayerConfig

__all__ = ["Origins", "origins_of"]

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is allowed (RFC 9110, section 5.5)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_LOCAL = (".localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Origins:
    """What a handshake may name.

    Args:
        hosts: patterns as in ALLOWED_HOSTS for the Host header.
        origins: such patterns for the Origin header.
        host_header: the header that says which host the client asked for.
        header_count: headers that a handshake may have.
        header_size: bytes of all their names and values together.
    """

    hosts: Sequence[str]
    origins: Sequence[str]
    host_header: bytes = b"host"
    header_count: int = 128
    header_size: int = 64 * 1024

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return why a handshake is to be refused, for the log, or None if it is welcome.

        Args:
            headers: as in an ASGI scope.
        """
        values: dict[bytes, list[bytes]] = {b"host": [], b"origin": [], b"cookie": [], self.host_header: []}
        size = 0
        for number, (name, value) in enumerate(headers, 1):
            size += len(name) + len(value)
            if size > self.header_size or number > self.header_count:
                return f"it has more than {self.header_count} headers, or these take more than {self.header_size} bytes"
            if _CONTROL.search(value):
                return f"its header {name!r:.50} holds control characters"
            if (known := values.get(name.lower())) is not None:
                known.append(value)
        if len(values[b"host"]) > 1:
            return f"it has {len(values[b'host'])} Host headers"
        # behind a proxy that Django is told to trust, the client's host is in another header
        hosts = values[self.host_header] or values[b"host"]
        return self._wrong_host(hosts) or self._wrong_origin(values[b"origin"], bool(values[b"cookie"]))

    def _wrong_host(self, hosts: list[bytes]) -> str | None:
        if len(hosts) != 1:
            return f"it names {len(hosts)} hosts"
        domain, _ = split_domain_port(hosts[0].decode("latin-1"))
        if domain and validate_host(domain, self.hosts):
            return None
        return f"its Host {hosts[0]!r:.100} is not in ALLOWED_HOSTS"

    def _wrong_origin(self, origins: list[bytes], has_cookie: bool) -> str | None:
        if not origins:
            return "it has a Cookie but no Origin" if has_cookie else None
        if len(origins) > 1:
            return f"it has {len(origins)} Origin headers"
        scheme, separator, netloc = origins[0].decode("latin-1").partition("://")
        # what Django takes for a host has no user, path, space or character above ASCII: "null" fails as well
        domain, _ = split_domain_port(netloc)
        if not (separator and _SCHEME.fullmatch(scheme) and domain):
            return f"its Origin {origins[0]!r:.100} cannot be read"
        if validate_host(domain, self.origins):
            return None
        return f"its Origin {origins[0]!r:.100} is neither in ALLOWED_HOSTS nor in CONFIG['allowed_origins']"


def origins_of(config: LayerConfig) -> Origins:
    """Return what Django's settings and a layer's allow.

    Args:
        config: the layer's settings.
    """
    hosts = tuple(settings.ALLOWED_HOSTS)
    if settings.DEBUG and not hosts:
        hosts = _LOCAL
    origins = hosts if config.allowed_origins is None else config.allowed_origins
    host_header = b"x-forwarded-host" if settings.USE_X_FORWARDED_HOST else b"host"
    return Origins(hosts, origins, host_header, config.header_count, config.header_size)
