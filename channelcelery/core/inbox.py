"""The entries of an interface process's inbox: what is to be delivered to it, in order.

Each entry of the stream is a flat map of fields; the field that is there says what it is:

    r            replies: a msgpack array [token, content, token, content, …], contents nested
    g + b        a group send: the group's name and the content, once however many members there are
    j + k        a join: the group's name and the connection's token
    l + k        a leave: likewise

Where messages are encrypted, `r` and `b` are, and a join has a proof `s` that one of us wrote it.
Unknown fields are ignored; an entry with none of these is unreadable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from channelcelery.core.envelope import decode_content, unpack
from channelcelery.core.sealing import NoSeal, Seal
from channelcelery.exceptions import InvalidEnvelope

__all__ = ["Entry", "GroupEntry", "JoinEntry", "LeaveEntry", "RepliesEntry", "decode_entry", "encode_replies"]


@dataclass(frozen=True, slots=True)
class RepliesEntry:
    """Replies to connections, in order: pairs of token and content."""

    replies: tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One send to a group."""

    group: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JoinEntry:
    """A connection became a member of a group."""

    group: str
    token: str


@dataclass(frozen=True, slots=True)
class LeaveEntry:
    """A connection is no member of a group any more."""

    group: str
    token: str


_OPEN = NoSeal()

Entry = RepliesEntry | GroupEntry | JoinEntry | LeaveEntry


def encode_replies(replies: Sequence[tuple[str, bytes]]) -> bytes:
    """Encode consecutive replies to one interface process without encoding their contents again.

    Args:
        replies: pairs of token and encoded content.
    """
    packer = msgpack.Packer()
    parts = [packer.pack_array_header(2 * len(replies))]
    for token, content in replies:
        parts.append(packer.pack(token))
        parts.append(content)
    return b"".join(parts)


def decode_entry(fields: Mapping[bytes, bytes], node: str = "", seal: Seal = _OPEN, now: int = 0) -> Entry:
    """Read one entry of an inbox.

    Args:
        fields: the entry's fields as Redis keeps them.
        node: whose inbox it is.
        seal: opens what is encrypted.
        now: milliseconds since the epoch.

    Raises:
        InvalidEnvelope: it cannot be read.
    """
    if (replies := fields.get(b"r")) is not None:
        return RepliesEntry(_decode_replies(seal.open(replies, f"inbox {node}", now)))
    try:
        if (group := fields.get(b"g")) is not None:
            name = group.decode("ascii")
            return GroupEntry(name, decode_content(seal.open(fields[b"b"], f"group {name}", now)))
        if (group := fields.get(b"j")) is not None:
            join = JoinEntry(group.decode("ascii"), fields[b"k"].decode("ascii"))
            seal.open(fields.get(b"s", b""), f"join {join.group} {join.token}", now)
            return join
        if (group := fields.get(b"l")) is not None:
            return LeaveEntry(group.decode("ascii"), fields[b"k"].decode("ascii"))
    except (KeyError, UnicodeDecodeError) as error:
        raise InvalidEnvelope(f"an inbox entry lacks a field: {error!r:.200}") from error
    raise InvalidEnvelope(f"an inbox entry of an unknown kind, with fields {sorted(fields)!r:.200}")


def _decode_replies(packed: bytes) -> tuple[tuple[str, dict[str, Any]], ...]:
    flat = unpack(packed)
    if not isinstance(flat, list) or len(flat) % 2:
        raise InvalidEnvelope("replies that are not pairs")
    pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
    if not all(isinstance(token, str) and isinstance(content, dict) for token, content in pairs):
        raise InvalidEnvelope("a reply that is not a token and a dict")
    return pairs
