"""Which connections of one interface process are in which groups, and what Redis has yet to be told about them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Changes", "Memberships"]

_NOBODY: frozenset[str] = frozenset()


class Memberships:
    """The groups of each connection and the connections of each group; neither side keeps empty ones."""

    __slots__ = ("_groups", "_members")

    def __init__(self) -> None:
        self._groups: dict[str, set[str]] = {}
        self._members: dict[str, set[str]] = {}

    def join(self, group: str, token: str) -> None:
        """Make a connection a member; joining twice changes nothing (Channels 1.x, item 29)."""
        self._members.setdefault(group, set()).add(token)
        self._groups.setdefault(token, set()).add(group)

    def leave(self, group: str, token: str) -> None:
        """End a membership; one that does not exist changes nothing."""
        _discard(self._members, group, token)
        _discard(self._groups, token, group)

    def remove(self, token: str) -> tuple[str, ...]:
        """End every membership of a connection and return the groups it was in."""
        groups = tuple(self._groups.pop(token, ()))
        for group in groups:
            _discard(self._members, group, token)
        return groups

    def members(self, group: str) -> Collection[str]:
        """Return the connections in a group: a live view, to be copied by who changes memberships meanwhile."""
        return self._members.get(group, _NOBODY)

    def snapshot(self) -> dict[str, tuple[str, ...]]:
        """Return group -> members, as of now."""
        return {group: tuple(tokens) for group, tokens in self._members.items()}

    def clear(self) -> None:
        """Forget every membership."""
        self._groups.clear()
        self._members.clear()


def _discard(index: dict[str, set[str]], key: str, value: str) -> None:
    if (values := index.get(key)) is not None:
        values.discard(value)
        if not values:
            del index[key]


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

    def close(self, token: str, groups: Iterable[str]) -> None:
        """Take note of the end of a connection and of its memberships."""
        if self.opened.pop(token, None) is None:
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
