"""What the sockets of one interface process share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from channelcelery.conf import LayerConfig
from channelcelery.interface.faults import Faults
from channelcelery.interface.hub import Hub
from channelcelery.interface.intake import Intake
from channelcelery.interface.origins import Origins

__all__ = ["Holder", "Surroundings"]


class Holder(Protocol):
    """The node that holds the sockets."""

    @property
    def name(self) -> str:
        """Its part of reply channels' names."""

    @property
    def ready(self) -> bool:
        """Whether replies can reach it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every socket of a process shares.

    Args:
        config: the layer's settings.
        node: the process's name, and whether it can be reached.
        hub: holds the socket while it is open.
        intake: takes its messages.
        faults: counts what goes wrong.
        origins: says which handshakes are answered.
        subprotocols: those that the project speaks (CHANNELS_WS_PROTOCOLS, item 124).
    """

    config: LayerConfig
    node: Holder
    hub: Hub
    intake: Intake
    faults: Faults
    origins: Origins
    subprotocols: Sequence[str] = ()
