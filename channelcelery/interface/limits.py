"""The limits of one interface process on what its clients open: the decisions are those of `core.limits`."""

import time
from collections.abc import Sequence

from channelcelery.conf import LayerConfig
from channelcelery.core.limits import Door, Networks, Refusal, counted
from channelcelery.interface.faults import Faults

__all__ = ["FILES_BESIDE", "STATUS", "Gate", "files_allow"]

#: Files that an interface process needs beside those of its connections.
FILES_BESIDE = 64

#: What a client that is turned away is answered: 503 comes to everybody now, 429 to this address.
STATUS = {
    Refusal.CONNECTIONS: 503,
    Refusal.CONNECT_RATE: 503,
    Refusal.ADDRESS_CONNECTIONS: 429,
    Refusal.ADDRESS_CONNECT_RATE: 429,
}


class Gate:
    """Lets connections in, or counts why not.

    Args:
        config: the layer's settings.
        faults: where those that are turned away are counted.
        proxies: addresses and networks whose forwarded headers are believed.
        connections: how many may be open, if they are fewer than CONFIG says.
    """

    def __init__(
        self, config: LayerConfig, faults: Faults, proxies: Sequence[str] = (), connections: int | None = None
    ) -> None:
        self.config = config
        self.faults = faults
        self._listed = bool(proxies)
        self._proxies = Networks(proxies)
        self._door = Door(
            min(config.connections, connections or config.connections),
            config.address_connections,
            config.connect_rate,
            config.address_connect_rate,
        )

    @property
    def open(self) -> int:
        """How many connections are open."""
        return self._door.open

    def enter(self, address: str | None) -> int | None:
        """Let a connection in, or return the status with which it is turned away.

        Args:
            address: of the client; that of a listed proxy does not count, since it speaks for many.
        """
        refusal = self._door.enter(self._counted(address), time.monotonic())
        if refusal is None:
            return None
        text = "connections from %.60a are turned away: CONFIG[%r] is %g"
        self.faults.note(refusal, text, address, str(refusal), getattr(self.config, refusal))
        return STATUS[refusal]

    def leave(self, address: str | None) -> None:
        """Take note of the end of a connection that was let in."""
        self._door.leave(self._counted(address))

    def _counted(self, address: str | None) -> str | None:
        return None if self._listed and address in self._proxies else counted(address)

    def believes(self, address: str | None) -> bool:
        """Tell whether forwarded headers of this peer may reach the application: where no proxy is listed, as it likes.

        Args:
            address: of the peer, or None at a Unix socket.
        """
        return not self._listed or address in self._proxies


def files_allow() -> int | None:
    """Return how many connections this process may have open besides its other files, or None if nobody says."""
    try:
        import resource
    except ImportError:  # not on this platform
        return None
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if allowed == resource.RLIM_INFINITY else max(1, allowed - FILES_BESIDE)
