"""The hub: the sockets and HTTP requests that this process holds, the groups they are in, and the fan-out to them.

It is the authority on both; what Redis keeps is a copy, brought up to date by `Changes`. All of it runs on the event
loop, and nothing in it waits.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from channelcelery.core.inbox import Entry, GroupEntry, JoinEntry, LeaveEntry, RepliesEntry
from channelcelery.core.membership import Changes, Memberships
from channelcelery.core.names import is_http_token
from channelcelery.core.websocket import State, decide
from channelcelery.interface.events import Plan
from channelcelery.interface.faults import Faults

__all__ = ["Hub", "LocalSocket"]

#: Sockets written to before a fan-out lets others have a turn.
_SLICE = 256
#: Memberships that are ended in one go.
_EXPIRED_AT_ONCE = 500
#: What closes a socket that is in too many groups (RFC 6455, section 7.4.1).
_AGAINST_POLICY = 1008


class LocalSocket(Protocol):
    """A socket, or an HTTP request that waits for its response, as the hub sees it; none of this waits.

    It is itself alone, whatever it has in common with others, and is not open any more when the hub lets it go.
    """

    @property
    def token(self) -> str:
        """What names it within this process."""

    @property
    def path(self) -> str:
        """The path that it was opened at."""

    @property
    def state(self) -> State:
        """How far it has come."""

    def deliver(self, reply: Mapping[str, Any]) -> None:
        """Do what a reply asks for."""

    def execute(self, plan: Plan) -> None:
        """Do what was planned for a socket in its state."""

    def close(self, code: int, *, quietly: bool = False) -> None:
        """Close or refuse it; quietly, if another process tells consumers that it ended."""

    def lose(self) -> None:
        """Take note that Redis lost what was under way."""

    def sweep(self) -> None:
        """End the connection if it is too old, or its client holds it up."""

    def end(self) -> None:
        """Let go of it, whatever its server and client still wait for."""


class Hub:
    """Holds the sockets of one interface process.

    Args:
        faults: where what cannot be delivered is counted.
        changed: called after every change that Redis has to be told of.
        group_expiry: seconds that a membership lasts unless it is renewed.
        most_groups: that one socket may be in.
    """

    def __init__(
        self,
        faults: Faults,
        changed: Callable[[], None],
        group_expiry: float = float("inf"),
        most_groups: float = float("inf"),
    ) -> None:
        self.changes = Changes()
        self._faults = faults
        self._changed = changed
        self._group_expiry = group_expiry
        self._most_groups = most_groups
        self._sockets: dict[str, LocalSocket] = {}
        self._memberships: Memberships[LocalSocket] = Memberships()
        #: what came for connections and for groups
        self.replies = self.group_sends = 0

    def __len__(self) -> int:
        return len(self._sockets)

    @property
    def group_count(self) -> int:
        """How many groups hold any of its sockets."""
        return len(self._memberships)

    def counts(self) -> dict[str, int]:
        """Return how many sockets and how many HTTP requests it holds; may be called on any thread."""
        requests = sum(map(is_http_token, tuple(self._sockets)))
        return {"websocket": len(self._sockets) - requests, "http": requests}

    def add(self, socket: LocalSocket) -> None:
        """Hold a socket: what is sent to its reply channel reaches it from now on."""
        self._sockets[socket.token] = socket
        self.changes.open(socket.token, socket.path)
        self._changed()

    def remove(self, token: str, *, published: bool = True) -> None:
        """Let a socket go, and leave every group for it.

        Args:
            token: the socket's.
            published: whether any message of it may have been read.
        """
        if (socket := self._sockets.pop(token, None)) is not None:
            # the messages of a socket may have an order, whose state ends some time after the socket does
            known = published and not is_http_token(token)
            self.changes.close(token, self._memberships.remove(socket), known=known)
            self._changed()

    def channels(self) -> dict[str, str]:
        """Return token -> path of every socket, as of now."""
        return {token: socket.path for token, socket in self._sockets.items()}

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return group -> tokens of its local members, as of now."""
        members = self._memberships.snapshot()
        return {group: tuple(socket.token for socket in sockets) for group, sockets in members.items()}

    def expired(self) -> list[tuple[str, str]]:
        """Return (group, token) memberships that are to end since nobody renewed them (item 58); some of very many."""
        found = self._memberships.expired(time.monotonic() - self._group_expiry, _EXPIRED_AT_ONCE)
        return [(group, socket.token) for group, socket in found]

    def apply(self, entry: Entry) -> Iterator[None]:
        """Do what an inbox entry says, pausing between slices of a large fan-out; never raises.

        Args:
            entry: the next one; entries are applied one after the other, in order.
        """
        match entry:
            case RepliesEntry(replies):
                self.replies += len(replies)
                for token, reply in replies:
                    self._deliver(token, reply)
            case GroupEntry(group, content):
                self.group_sends += 1
                yield from self._fan_out(group, content)
            case JoinEntry(group, token):
                self._join(group, token)
            case LeaveEntry(group, token):
                if (socket := self._sockets.get(token)) is not None:
                    self._memberships.leave(group, socket)

    def _deliver(self, token: str, reply: Mapping[str, Any]) -> None:
        if (socket := self._sockets.get(token)) is None:
            # its client is gone (item 63)
            self._faults.note("socket_gone", "a reply came for a connection that is gone", level=logging.DEBUG)
            return
        try:
            socket.deliver(reply)
        except Exception:  # one socket must not end the others
            self._blame(socket)

    def _join(self, group: str, token: str) -> None:
        if (socket := self._sockets.get(token)) is None:
            # it closed while the join was under way: nobody else will end this membership
            self.changes.leave([(group, token)])
            self._changed()
        elif len(groups := self._memberships.groups_of(socket)) >= self._most_groups and group not in groups:
            text = "a socket of %.200a was closed: it is in CONFIG['socket_groups'] groups, and %.100a is one more"
            self._faults.note("socket_groups", text, socket.path, group)
            self.changes.leave([(group, token)])
            self._changed()
            socket.close(_AGAINST_POLICY)
        else:
            self._memberships.join(group, socket, time.monotonic())

    def _fan_out(self, group: str, content: Mapping[str, Any]) -> Iterator[None]:
        members: Sequence[LocalSocket] = tuple(self._memberships.members(group))
        if not members:
            return
        decided = decide(State.OPEN, content)
        if isinstance(decided, str):
            # what is for no socket may be the response that requests in the group wait for (item 97)
            requests = [socket for socket in members if is_http_token(socket.token)]
            if len(requests) < len(members):
                self._faults.note("bad_reply", "a send to the group %.100a was dropped: %s", group, decided)
            members, decided = requests, ()
        plan, opened = Plan(decided), State.OPEN
        for start in range(0, len(members), _SLICE):
            if start:
                yield
            for socket in members[start : start + _SLICE]:
                try:
                    if socket.state is opened:
                        socket.execute(plan)
                    elif socket.token in self._sockets:
                        socket.deliver(content)
                except Exception:
                    self._blame(socket)

    def websockets(self) -> list[LocalSocket]:
        """Return the sockets, without requests, as of now."""
        return [socket for token, socket in self._sockets.items() if not is_http_token(token)]

    def close_all(self, code: int) -> None:
        """Close every socket; each is removed when its connection ends."""
        self._each(lambda socket: socket.close(code))

    def abandon(self, code: int) -> None:
        """Close every socket and forget it at once, since others have cleared its name and groups.

        Those that Redis knew of close quietly: who cleared up tells consumers that they ended.
        """
        unknown = self.changes.take().opened
        self._memberships.clear()
        self._each(lambda socket: socket.close(code, quietly=socket.token not in unknown))
        self._sockets.clear()

    def lose(self) -> None:
        """Take note that Redis lost what was under way to this process."""
        self._each(lambda socket: socket.lose())

    def sweep(self) -> None:
        """End connections that are too old, or that their clients hold up."""
        self._each(lambda socket: socket.sweep())

    def end_all(self) -> None:
        """Let go of every socket that is still there."""
        self._each(lambda socket: socket.end())

    def _each(self, call: Callable[[LocalSocket], None]) -> None:
        for socket in tuple(self._sockets.values()):
            try:
                call(socket)
            except Exception:  # as above
                self._blame(socket)

    def _blame(self, socket: LocalSocket) -> None:
        self._faults.note("socket_error", "the socket of %.200a raised", socket.path, trace=True)
