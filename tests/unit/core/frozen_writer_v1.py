"""The writer of envelope version 1 as it was first released. Never change it: messages in queues look like this.

A later version of `channelcelery.core.envelope` must read what this writes, since workers and interface processes are
upgraded one after the other.
"""

from collections.abc import Sequence
from typing import Any

import msgpack


def content_v1(content: dict[str, Any]) -> bytes:
    """Encode a message's content."""
    packed: bytes = msgpack.packb(content, use_bin_type=True)
    return packed


def item_v1(content: bytes, deadline: int) -> bytes:
    """Wrap encoded content with its deadline."""
    packed: bytes = msgpack.packb(deadline)
    return b"\x82\xa1d" + packed + b"\xa1b" + content


def batch_v1(channel: str, items: Sequence[bytes]) -> bytes:
    """Encode what travels as one message of the queue."""
    packed: bytes = msgpack.packb({"v": 1, "c": channel, "m": list(items)}, use_bin_type=True)
    return packed


def replies_v1(replies: Sequence[tuple[str, bytes]]) -> bytes:
    """Encode the field `r` of an inbox entry."""
    parts = [msgpack.Packer().pack_array_header(2 * len(replies))]
    for token, content in replies:
        parts += [msgpack.packb(token), content]
    return b"".join(parts)
