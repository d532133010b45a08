"""Replies and groups as plain data: the inboxes, who is a member of what, and which interface processes are alive.

The in-memory layer is this state behind a lock. What the Lua scripts of the Redis layer decide is decided
here likewise, and both run the same tests.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from channelcelery.core.delivery import Operation, Outcome, Replies
from channelcelery.core.inbox import encode_replies

__all__ = ["Fields", "ReplyState"]

#: An inbox entry as `core.inbox.decode_entry` reads it.
Fields = Mapping[bytes, bytes]

#: Dead interface processes whose names are remembered.
_TOMBSTONES = 1000


@dataclass(slots=True)
class _Node:
    seen: float
    entries: deque[Fields] = field(default_factory=deque)
    unread: int = 0
    channels: dict[str, str] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)

    def put(self, entry: Fields) -> None:
        self.entries.append(entry)
        self.unread += _size(entry)


def _size(entry: Fields) -> int:
    return sum(map(len, entry.values()))


class ReplyState:
    """The state of one layer; not safe to share between threads.

    Args:
        inbox_capacity: entries that an inbox may hold.
        inbox_bytes: bytes that an inbox may hold; a single larger entry passes when the inbox is empty.
        node_expiry: seconds without a sign of life after which an interface process counts as dead.

    Every `now` is a monotonic time in seconds.
    """

    def __init__(self, inbox_capacity: int, inbox_bytes: int, node_expiry: float) -> None:
        self._capacity, self._bytes, self._expiry = inbox_capacity, inbox_bytes, node_expiry
        self._tombs: dict[str, None] = {}
        self.forget()

    def forget(self) -> None:
        """Lose everything, as Redis does when it is emptied."""
        self._nodes: dict[str, _Node] = {}
        self._members: dict[str, dict[str, set[str]]] = {}
        self._queues: dict[str, set[str]] = {}

    def flush(self) -> None:
        """Drop every inbox entry and every group."""
        self._members.clear()
        self._queues.clear()
        for node in self._nodes.values():
            node.entries.clear()
            node.groups.clear()
            node.unread = 0

    # interface processes

    def _alive(self, node: str, now: float) -> _Node | None:
        known = self._nodes.get(node)
        return known if known is not None and now - known.seen < self._expiry else None

    def is_alive(self, node: str, now: float) -> bool:
        """Tell whether an interface process gave a sign of life in time."""
        return self._alive(node, now) is not None

    def is_buried(self, node: str) -> bool:
        """Tell whether others took an interface process for dead and cleared its keys."""
        return node in self._tombs

    def status(self, now: float, nodes: Iterable[str] | None = None) -> list[tuple[str, bool, int, int, int, int]]:
        """Return of interface processes: the name, whether it is alive, connections, groups, unread entries and bytes.

        Args:
            now: the time.
            nodes: which; None means all.
        """
        found = []
        for node in self._nodes if nodes is None else nodes:
            known = self._nodes.get(node, _Node(now))
            sizes = len(known.channels), len(known.groups), len(known.entries), known.unread
            found.append((node, self._alive(node, now) is not None, *sizes))
        return found

    def refresh(self, node: str, now: float) -> None:
        """Take note of a sign of life."""
        self._nodes.setdefault(node, _Node(now)).seen = now

    def clear(self, node: str) -> dict[str, str]:
        """Remove all that is known of an interface process and return its connections: token -> path."""
        self._tombs.pop(node, None)
        known = self._nodes.pop(node, None)
        if known is None:
            return {}
        for group in known.groups:
            self._drop_node(group, node)
        return known.channels

    def reap(self, now: float) -> dict[str, dict[str, str]]:
        """Clear the interface processes that died and return their connections: node -> token -> path."""
        dead = [node for node in self._nodes if self._alive(node, now) is None]
        orphans = {node: self.clear(node) for node in dead}
        self._tombs |= dict.fromkeys(dead)
        for oldest in list(islice(self._tombs, max(0, len(self._tombs) - _TOMBSTONES))):
            del self._tombs[oldest]
        return orphans

    def take(self, node: str, count: int) -> list[Fields]:
        """Take the oldest entries out of an inbox.

        Args:
            node: whose inbox.
            count: how many at most.
        """
        known = self._nodes.get(node)
        if known is None:
            return []
        taken = [known.entries.popleft() for _ in range(min(count, len(known.entries)))]
        known.unread -= sum(map(_size, taken))
        return taken

    def put(self, node: str, entry: Fields) -> None:
        """Put an entry into an inbox, whatever is in it."""
        self._nodes[node].put(entry)

    def has_unread(self, node: str) -> bool:
        """Tell whether something waits in an inbox."""
        return node in self._nodes and bool(self._nodes[node].entries)

    def record(
        self,
        node: str,
        now: float,
        opened: Mapping[str, str],
        closed: Collection[str],
        left: Iterable[tuple[str, str]],
        joined: Iterable[tuple[str, str]] = (),
        *,
        fresh: bool = False,
    ) -> None:
        """Take note of what an interface process says of its connections.

        Args:
            node: the interface process.
            now: the time.
            opened: token -> path of new connections.
            closed: tokens of connections that ended.
            left: (group, token) memberships that ended.
            joined: (group, token) memberships that began.
            fresh: forget the connections that were known.
        """
        known, alive = self._nodes.get(node), self._alive(node, now)
        if known is not None:
            if fresh:
                known.channels.clear()
            if alive is not None:
                known.channels |= opened
            for token in closed:
                known.channels.pop(token, None)
        for group, token in left:
            self._discard(group, node, token)
        for group, token in joined if alive is not None else ():
            self._add(group, node, token)

    # groups

    def join(self, group: str, node: str, token: str, now: float) -> bool:
        """Make a connection a member; False if its interface process is dead, and then nothing is written."""
        if (alive := self._alive(node, now)) is None:
            return False
        self._add(group, node, token)
        alive.put({b"j": group.encode("ascii"), b"k": token.encode("ascii")})
        return True

    def leave(self, group: str, node: str, token: str, now: float) -> None:
        """End a connection's membership."""
        self._discard(group, node, token)
        if (alive := self._alive(node, now)) is not None:
            alive.put({b"l": group.encode("ascii"), b"k": token.encode("ascii")})

    def add_queue(self, group: str, channel: str) -> None:
        """Make a normal channel a member."""
        self._queues.setdefault(group, set()).add(channel)

    def discard_queue(self, group: str, channel: str) -> None:
        """End a normal channel's membership."""
        queues = self._queues.get(group, set())
        queues.discard(channel)
        if not queues:
            self._queues.pop(group, None)

    def members(self, group: str, now: float) -> tuple[set[str], dict[str, set[str]]]:
        """Return a group's normal channels, and the tokens of its other members by node."""
        nodes = self._members.get(group, {})
        alive = {node: set(tokens) for node, tokens in nodes.items() if self._alive(node, now) is not None}
        return set(self._queues.get(group, ())), alive

    def _add(self, group: str, node: str, token: str) -> None:
        self._members.setdefault(group, {}).setdefault(node, set()).add(token)
        self._nodes[node].groups.add(group)

    def _discard(self, group: str, node: str, token: str) -> None:
        tokens = self._members.get(group, {}).get(node, set())
        tokens.discard(token)
        if not tokens:
            self._drop_node(group, node)

    def _drop_node(self, group: str, node: str) -> None:
        nodes = self._members.get(group, {})
        nodes.pop(node, None)
        if not nodes:
            self._members.pop(group, None)
        if node in self._nodes:
            self._nodes[node].groups.discard(group)

    # sending

    def deliver(self, operations: Sequence[Operation], now: float, *, force: bool = False) -> list[Outcome]:
        """Carry out operations in order and return what became of each.

        Args:
            operations: what `core.delivery.plan` made.
            now: the time.
            force: write where an inbox is full too.
        """
        return [self._deliver(operation, now, force) for operation in operations]

    def _deliver(self, operation: Operation, now: float, force: bool) -> Outcome:
        if isinstance(operation, Replies):
            packed = encode_replies([(send.token, send.content) for send in operation.sends])
            return self._offer(operation.node, {b"r": packed}, now, force)
        entry = {b"g": operation.group.encode("ascii"), b"b": operation.content}
        full = gone = 0
        for node in list(self._members.get(operation.group, ())):
            outcome = self._offer(node, entry, now, force)
            full += outcome.full
            gone += outcome.gone
            if outcome.gone:
                self._drop_node(operation.group, node)
        return Outcome(full, gone, tuple(self._queues.get(operation.group, ())))

    def _offer(self, node: str, entry: Fields, now: float, force: bool) -> Outcome:
        if (alive := self._alive(node, now)) is None:
            return Outcome(gone=1)
        fits = len(alive.entries) < self._capacity and alive.unread + _size(entry) <= self._bytes
        if not (force or fits or not alive.entries):
            return Outcome(full=1)
        alive.put(entry)
        return Outcome()
