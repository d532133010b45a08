"""What the sockets and requests of one interface process share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from channelcelery.conf import LayerConfig
from channelcelery.interface.errands import Errands
from channelcelery.interface.faults import Faults
from channelcelery.interface.feed import Turns
from channelcelery.interface.hub import Hub
from channelcelery.interface.intake import Intake
from channelcelery.interface.limits import Gate
from channelcelery.interface.origins import Origins
from channelcelery.interface.spool import Room
from channelcelery.layers.pieces import InterfacePieces

__all__ = ["Holder", "Surroundings"]


class Holder(Protocol):
    """The node that holds the connections."""

    @property
    def name(self) -> str:
        """Its part of reply channels' names."""

    @property
    def ready(self) -> bool:
        """Whether replies can reach it."""

    @property
    def takes_sockets(self) -> bool:
        """Whether new sockets are to come to it."""

    @property
    def pieces(self) -> InterfacePieces:
        """What carries HTTP bodies that do not fit one message."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every socket and request of a process shares.

    Args:
        config: the layer's settings.
        node: the process's name, and whether it can be reached.
        hub: holds connections while they are open.
        intake: takes their messages.
        faults: counts what goes wrong.
        errands: tell Redis that a request is over.
        origins: says which handshakes are answered.
        gate: says how many sockets there may be, by the addresses that proxies give.
        subprotocols: those that the project speaks (CHANNELS_WS_PROTOCOLS, item 124).
        room: what HTTP bodies may take.
        turns: whose body may be handed on.
    """

    config: LayerConfig
    node: Holder
    hub: Hub
    intake: Intake
    faults: Faults
    errands: Errands
    origins: Origins
    gate: Gate
    subprotocols: Sequence[str] = ()
    room: Room = field(default_factory=Room)
    turns: Turns = field(default_factory=Turns)
