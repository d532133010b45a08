"""How many and how fast: counting what clients open and send, and deciding what is too much. No clock: time is passed.

Rates are kept as the one moment at which all that was taken would be through at an even pace (the generic cell rate
algorithm: a token bucket without the filling), so that taking note of a message costs an addition and two comparisons.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address, ip_network

__all__ = ["BURST", "Door", "Networks", "Pace", "Rate", "Refusal", "counted"]

#: Seconds' worth of a rate that may come at once.
BURST = 2.0
#: Addresses that a door remembers although nothing of them is open, before it forgets those that are quiet.
_REMEMBERED = 10_000
#: Characters of an address at most, with an IPv6 zone.
_LONGEST = 64


class Refusal(StrEnum):
    """Why a connection is turned away: the key of CONFIG that says how many there may be."""

    CONNECTIONS = "connections"
    ADDRESS_CONNECTIONS = "address_connections"
    CONNECT_RATE = "connect_rate"
    ADDRESS_CONNECT_RATE = "address_connect_rate"


class Rate:
    """So many a second, and twice as many at once.

    Args:
        rate: how many a second.
    """

    __slots__ = ("_each", "_through")

    def __init__(self, rate: float) -> None:
        self._each = 1 / rate
        self._through = float("-inf")

    def admits(self, now: float) -> bool:
        """Take one if it is not too many, and tell whether it was taken.

        Args:
            now: a monotonic time in seconds.
        """
        through = max(self._through, now) + self._each
        # one is never too many, however low the rate
        if through - now > max(BURST, self._each):
            return False
        self._through = through
        return True

    def is_quiet(self, now: float) -> bool:
        """Tell whether it would be the same if it were made now."""
        return self._through <= now


class Pace:
    """How fast one socket's messages are taken.

    Args:
        frame_rate: messages a second.
        byte_rate: bytes a second.
    """

    __slots__ = ("_byte", "_bytes_through", "_frame", "_frames_through")

    def __init__(self, frame_rate: float, byte_rate: float) -> None:
        self._frame, self._byte = 1 / frame_rate, 1 / byte_rate
        self._frames_through = self._bytes_through = float("-inf")

    def take(self, size: int, now: float) -> float:
        """Take note of a message, and return the seconds to wait before the next one is read; mostly 0.

        Args:
            size: bytes of the message; one above what may come at once is taken, and waited for.
            now: a monotonic time in seconds.
        """
        frames, bytes_ = self._frames_through, self._bytes_through
        self._frames_through = frames = (frames if frames > now else now) + self._frame
        self._bytes_through = bytes_ = (bytes_ if bytes_ > now else now) + size * self._byte
        behind = (frames if frames > bytes_ else bytes_) - now - BURST
        return behind if behind > 0 else 0.0


def counted(address: str | None) -> str | None:
    """Return what stands for an address among those that are limited one by one, or None where it is not.

    An IPv6 client has a network of 64 bits for itself. Behind addresses that are not public (loopback, private
    networks, a Unix socket) there may be a proxy that nobody listed: its limits would be those of all its clients.

    Args:
        address: a client's, or None if it has none.
    """
    # from a proxy that is believed whatever it says, it may be any text of the client's
    return _counted(address) if address is not None and len(address) <= _LONGEST else None


@lru_cache(maxsize=_REMEMBERED)
def _counted(address: str) -> str | None:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if not parsed.is_global:
        return None
    return str(parsed) if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))


@dataclass(slots=True)
class _Address:
    rate: Rate
    open: int = 0


class Door:
    """Counts connections, and turns away those that are too many.

    Args:
        connections: that may be open.
        address_connections: that may be open from one address.
        connect_rate: new ones a second.
        address_connect_rate: new ones a second from one address.
    """

    def __init__(
        self, connections: int, address_connections: int, connect_rate: float, address_connect_rate: float
    ) -> None:
        #: how many are open
        self.open = 0
        self._connections, self._address_connections = connections, address_connections
        self._rate, self._address_rate = Rate(connect_rate), address_connect_rate
        self._addresses: dict[str, _Address] = {}

    def enter(self, address: str | None, now: float) -> Refusal | None:
        """Let a connection in, or return why it is turned away; who was let in leaves by `leave`.

        Args:
            address: what `counted` returned for it.
            now: a monotonic time in seconds.
        """
        if self.open >= self._connections:
            return Refusal.CONNECTIONS
        # the address first: what one client is refused must not use up what all have
        known = None if address is None else self._known(address, now)
        if known is not None:
            if known.open >= self._address_connections:
                return Refusal.ADDRESS_CONNECTIONS
            if not known.rate.admits(now):
                return Refusal.ADDRESS_CONNECT_RATE
        if not self._rate.admits(now):
            return Refusal.CONNECT_RATE
        self.open += 1
        if known is not None:
            known.open += 1
        return None

    def leave(self, address: str | None) -> None:
        """Take note of the end of a connection that was let in.

        Args:
            address: the same as at `enter`.
        """
        self.open -= 1
        if address is not None:
            self._addresses[address].open -= 1

    def _known(self, address: str, now: float) -> _Address:
        if address not in self._addresses:
            if len(self._addresses) - self.open >= _REMEMBERED:
                quiet = [name for name, known in self._addresses.items() if not known.open and known.rate.is_quiet(now)]
                for name in quiet:
                    del self._addresses[name]
            self._addresses[address] = _Address(Rate(self._address_rate))
        return self._addresses[address]


class Networks:
    """Addresses and networks that are believed.

    Args:
        listed: each an address or a network, or "*" for all callers, also those without an address.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        names = set(listed)
        self._all = "*" in names
        self._networks = [ip_network(name, strict=False) for name in names - {"*"}]

    def __contains__(self, address: str | None) -> bool:
        if self._all:
            return True
        try:
            parsed = ip_address(address or "")
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
