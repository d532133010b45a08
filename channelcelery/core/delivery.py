"""How replies and group sends become inbox entries, and what became of them: decided here, carried out by a layer."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from channelcelery.core.sends import GroupSend, ReplySend

__all__ = [
    "ENTRY_BYTES",
    "ENTRY_REPLIES",
    "Operation",
    "Outcome",
    "Replies",
    "Tally",
    "host_of",
    "plan",
    "spread",
    "tally",
]

#: Replies that share an inbox entry at most, in number and in bytes, so that an inbox's bounds mean something.
ENTRY_REPLIES = 256
ENTRY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Replies:
    """Replies to one interface process that share an inbox entry."""

    node: str
    sends: tuple[ReplySend, ...]


Operation = Replies | GroupSend


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operation.

    Args:
        full: inboxes that had no room for it.
        gone: interface processes that it was for and that are dead.
        forward: normal channels among the group's members.
    """

    full: int = 0
    gone: int = 0
    forward: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of many operations.

    Args:
        full: reply channels whose replies were dropped for want of room, each once.
        dropped: counts by reason: "inbox_full", "node_gone".
        forward: (normal channel, encoded content) pairs for the caller to publish.
        again: replies that must pass although the inbox is full: they accept or close a connection.
    """

    full: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    forward: tuple[tuple[str, bytes], ...] = ()
    again: tuple[ReplySend, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            tuple(dict.fromkeys(self.full + other.full)),
            dict(Counter(self.dropped) + Counter(other.dropped)),
            self.forward + other.forward,
            self.again + other.again,
        )


def host_of(name: str, hosts: int) -> int:
    """Return which of several Redis hosts keeps a node's inbox, or a group's normal channels.

    Args:
        name: the node or the group; ASCII.
        hosts: how many there are.
    """
    return crc32(name.encode("ascii")) % hosts if hosts > 1 else 0


def spread(sends: Sequence[ReplySend | GroupSend], hosts: int) -> list[Sequence[ReplySend | GroupSend]]:
    """Return what goes to each Redis host, in order: replies to their node's host, group sends to all.

    Args:
        sends: in the order of the calls.
        hosts: how many there are.
    """
    if hosts == 1:
        return [sends]
    parts: list[list[ReplySend | GroupSend]] = [[] for _ in range(hosts)]
    for send in sends:
        if isinstance(send, ReplySend):
            parts[host_of(send.node, hosts)].append(send)
        else:
            for part in parts:
                part.append(send)
    return list(parts)


def plan(sends: Iterable[ReplySend | GroupSend]) -> list[Operation]:
    """Return the operations that carry out sends in the fewest inbox entries, the order within each node kept.

    Replies to one node share an entry up to the next group send, which may be for that node too.
    """
    operations: list[Operation] = []
    pending: dict[str, list[ReplySend]] = {}
    for send in sends:
        if isinstance(send, ReplySend):
            pending.setdefault(send.node, []).append(send)
        else:
            operations += _entries(pending)
            operations.append(send)
            pending = {}
    operations += _entries(pending)
    return operations


def _entries(pending: Mapping[str, Sequence[ReplySend]]) -> Iterator[Replies]:
    for node, sends in pending.items():
        start = size = 0
        for index, send in enumerate(sends):
            length = len(send.content)
            if index > start and (index - start >= ENTRY_REPLIES or size + length > ENTRY_BYTES):
                yield Replies(node, tuple(sends[start:index]))
                start, size = index, 0
            size += length
        yield Replies(node, tuple(sends[start:]))


def tally(outcomes: Iterable[tuple[Operation, Outcome]]) -> Tally:
    """Add up what became of operations.

    Args:
        outcomes: each operation with its outcome, in order.
    """
    full: dict[str, None] = {}
    dropped: Counter[str] = Counter()
    forward: list[tuple[str, bytes]] = []
    again: list[ReplySend] = []
    for operation, outcome in outcomes:
        if isinstance(operation, GroupSend):
            dropped["inbox_full"] += outcome.full
            forward += ((channel, operation.content) for channel in outcome.forward)
            dropped["node_gone"] += outcome.gone
        elif outcome.full:
            again += (send for send in operation.sends if send.control)
            refused = [send.channel for send in operation.sends if not send.control]
            full |= dict.fromkeys(refused)
            dropped["inbox_full"] += len(refused)
        elif outcome.gone:
            dropped["node_gone"] += len(operation.sends)
    return Tally(tuple(full), dict(+dropped), tuple(forward), tuple(again))
