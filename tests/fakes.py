"""A channel layer without servers: both halves keep what they were given, for a test to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from channelcelery.conf import layer_config
from channelcelery.core.envelope import decode_content, decode_item, encode_content, encode_item
from channelcelery.core.sends import GroupSend, ReplySend
from channelcelery.exceptions import ChannelFull
from channelcelery.layers.attempts import MemoryAttemptStore
from channelcelery.layers.base import Delivered, NodeStatus, Orphan
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.memory_delays import MemoryDelayStore
from channelcelery.layers.memory_order import MemoryOrderStore
from channelcelery.layers.memory_pieces import MemoryWorkerPieces
from channelcelery.message import Message


@dataclass
class FakePublisher:
    """Normal channels as lists of contents."""

    queues: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def publish(self, channel: str, items: Sequence[bytes]) -> None:
        self.calls.append(channel)
        if channel in self.full:
            raise ChannelFull([channel])
        self.put_back(channel, items)

    def put_back(self, channel: str, items: Sequence[bytes]) -> None:
        self.queues.setdefault(channel, []).extend(decode_item(item).content for item in items)

    def take(self, channel: str) -> bytes | None:
        waiting = self.queues.get(channel)
        return encode_item(encode_content(waiting.pop(0), 10**6), 10**13) if waiting else None

    def depth(self, channel: str) -> int:
        return len(self.queues.get(channel, []))

    def purge(self, channel: str) -> None:
        self.queues.pop(channel, None)

    def close(self) -> None:
        self.calls.append("close")


@dataclass
class FakeReplies:
    """Replies and group sends as a list of (name, content) in order, and groups as sets."""

    delivered: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    groups: dict[str, set[str]] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    controls: list[str] = field(default_factory=list)

    def deliver(self, sends: Sequence[ReplySend | GroupSend]) -> Delivered:
        refused: list[str] = []
        forward: list[tuple[str, bytes]] = []
        for send in sends:
            if isinstance(send, GroupSend):
                self.delivered.append((send.group, decode_content(send.content)))
                queues = sorted(name for name in self.groups.get(send.group, ()) if "!" not in name)
                forward += [(name, send.content) for name in queues]
            elif send.channel in self.full and not send.control:
                refused.append(send.channel)
            else:
                self.delivered.append((send.channel, decode_content(send.content)))
                self.controls += [send.channel] * send.control
        return Delivered(full=tuple(refused), dropped={"inbox_full": len(refused)}, forward=tuple(forward))

    def group_add(self, group: str, channel: str) -> None:
        self.groups.setdefault(group, set()).add(channel)

    def group_discard(self, group: str, channel: str) -> None:
        self.groups.get(group, set()).discard(channel)

    def group_channels(self, group: str) -> list[str]:
        return sorted(self.groups.get(group, ()))

    def check_fingerprint(self, value: str) -> None:
        """There is no other process that could give another one."""

    def reap(self) -> list[Orphan]:
        return []

    def status(self, node: str = "") -> list[NodeStatus]:
        return []

    def flush(self) -> None:
        self.delivered.clear()
        self.groups.clear()

    def close(self) -> None:
        self.groups.clear()


class FakeLayer(ChannelLayer):
    """A real `ChannelLayer` on fake halves.

    Args:
        alias: its alias.
        config: its CONFIG.
    """

    replies: FakeReplies
    publisher: FakePublisher

    def __init__(self, alias: str = "default", **config: Any) -> None:
        entry = {"BACKEND": "channelcelery.layers.InMemoryChannelLayer", "CONFIG": config}
        made = layer_config(alias, entry)
        #: the interface processes that are alive
        self.nodes = {"node"}
        super().__init__(
            made,
            FakeReplies(),
            FakePublisher(),
            MemoryDelayStore(1_000),
            MemoryOrderStore(made.order_stall),
            MemoryAttemptStore(),
            MemoryWorkerPieces(made.expiry, lambda node: node in self.nodes),
            _no_inbox,
            _no_inbox,
        )


def _no_inbox(node: str) -> NoReturn:
    raise AssertionError("a fake layer has no inbox: nothing of an interface process is tested with it")


def make_message(channel: str = "websocket.receive", /, **content: Any) -> Message:
    """Return a message on a channel of a fake layer."""
    return Message(content, channel, FakeLayer())
