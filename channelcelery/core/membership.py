"""Which connections of one interface process are in which groups, and what Redis has yet to be told about them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Changes", "Memberships"]

#: Groups that one call of `Memberships.expired` looks at, about a millisecond's.
_LOOKED_AT = 2_000

#: What is in groups: anything that a dict takes as a key.
Connection = TypeVar("Connection")


class Memberships(Generic[Connection]):
    """The groups of each connection and the connections of each group; neither side keeps empty ones."""

    __slots__ = ("_groups", "_members", "_unseen")

    def __init__(self) -> None:
        # groups that `expired` has not looked at yet in this round
        self._unseen: list[str] = []
        self._groups: dict[Connection, set[str]] = {}
        # when each was added, the one that was not for the longest time first
        self._members: dict[str, dict[Connection, float]] = {}

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self._members)

    def join(self, group: str, connection: Connection, now: float) -> None:
        """Make a connection a member; joining again renews it (Channels 1.x, items 29 and 58).

        Args:
            group: the group's name.
            connection: the new member.
            now: a monotonic time in seconds.
        """
        members = self._members.setdefault(group, {})
        members.pop(connection, None)
        members[connection] = now
        self._groups.setdefault(connection, set()).add(group)

    def groups_of(self, connection: Connection) -> Collection[str]:
        """Return the groups that a connection is in: a live view."""
        return self._groups.get(connection, frozenset())

    def leave(self, group: str, connection: Connection) -> None:
        """End a membership; one that does not exist changes nothing."""
        members = self._members.get(group, {})
        members.pop(connection, None)
        if not members:
            self._members.pop(group, None)
        groups = self._groups.get(connection, set())
        groups.discard(group)
        if not groups:
            self._groups.pop(connection, None)

    def expired(self, before: float, limit: int) -> list[tuple[str, Connection]]:
        """Return (group, connection) memberships that were last renewed before a time; they end when someone ends them.

        A call looks at some of very many groups and the next one at those after them, so that none takes long.

        Args:
            before: a monotonic time in seconds.
            limit: how many are returned at most.
        """
        found: list[tuple[str, Connection]] = []
        if not self._unseen:
            self._unseen = list(self._members)
        for _ in range(min(_LOOKED_AT, len(self._unseen))):
            group = self._unseen.pop()
            for connection, renewed in self._members.get(group, {}).items():
                if renewed >= before or len(found) == limit:
                    break
                found.append((group, connection))
            if len(found) == limit:
                break
        return found

    def remove(self, connection: Connection) -> tuple[str, ...]:
        """End every membership of a connection and return the groups it was in."""
        groups = tuple(self._groups.get(connection, ()))
        for group in groups:
            self.leave(group, connection)
        return groups

    def members(self, group: str) -> Collection[Connection]:
        """Return the connections in a group: a live view, to be copied by who changes memberships meanwhile."""
        return self._members.get(group, {}).keys()

    def snapshot(self) -> dict[str, tuple[Connection, ...]]:
        """Return group -> members, as of now."""
        return {group: tuple(members) for group, members in self._members.items()}

    def clear(self) -> None:
        """Forget every membership."""
        self._groups.clear()
        self._members.clear()


@dataclass(slots=True)
class Changes:
    """What happened to connections since Redis was last told: gathered, so that one round trip tells of many.

    Args:
        opened: token -> path of new connections.
        closed: tokens of connections that ended.
        left: (group, token) memberships that ended.
    """

    opened: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    left: set[tuple[str, str]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.left)

    def open(self, token: str, path: str) -> None:
        """Take note of a new connection."""
        self.opened[token] = path

    def close(self, token: str, groups: Iterable[str], *, known: bool = False) -> None:
        """Take note of the end of a connection and of its memberships.

        Args:
            token: the connection.
            groups: those that it was in.
            known: others may keep something of it although it was not told of: its end is told in any case.
        """
        if self.opened.pop(token, None) is None or known:
            self.closed.add(token)
        self.leave((group, token) for group in groups)

    def leave(self, memberships: Iterable[tuple[str, str]]) -> None:
        """Take note of (group, token) memberships that ended."""
        self.left.update(memberships)

    def take(self) -> "Changes":
        """Return what has been gathered and begin anew."""
        taken = Changes(self.opened, self.closed, self.left)
        self.opened, self.closed, self.left = {}, set(), set()
        return taken

    def put_back(self, taken: "Changes") -> None:
        """Undo `take` after a failure, however far that got; what closed meanwhile is told as closed."""
        still_open: Mapping[str, str] = {t: path for t, path in taken.opened.items() if t not in self.closed}
        self.opened = {**still_open, **self.opened}
        self.closed |= taken.closed
        self.left |= taken.left
