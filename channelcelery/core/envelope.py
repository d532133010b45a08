"""How messages travel through queues: msgpack, versioned, and batched without being encoded again.

A queue's message is a *batch*: a map of the version `v`, the channel `c` and the items `m`, each item opaque bytes, so
that a worker's main process can hand items on without reading them. An *item* is a map of the deadline `d`
(milliseconds since the epoch), the content `b` and, where consumers asked to run it later, how often it went back to
its channel, `n`; `k` marks the copy of one that waits for its turn elsewhere; `t` is its trace, where there is one.
Readers ignore fields that they do not know and accept the next version, so that workers and interfaces can be upgraded
in either order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from channelcelery.exceptions import InvalidContent, InvalidEnvelope, MessageTooLarge

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "VERSION",
    "Batch",
    "Item",
    "count_retry",
    "decode_batch",
    "decode_content",
    "decode_item",
    "encode_batch",
    "encode_content",
    "encode_item",
    "encode_own",
    "mark_copy",
    "replace_items",
    "unpack",
]

VERSION = 1

#: How deep a message's dicts and lists may be nested, the message itself included. msgpack writes deeper than it reads,
#: and Python's own functions (copying, comparing, printing) give up at less than a thousand.
MAX_DEPTH = 100
#: Bytes that are read at once: above what CONFIG["inbox_bytes"] is by default, and below what brokers and Redis take.
#: Half of it is what one message may take, whatever CONFIG["message_size"] says.
MAX_BYTES = 128 * 1024 * 1024

_RULE = "a message holds bytes, text, 64-bit integers, floats, lists, dicts with text keys, booleans and None"

_LEAVES = frozenset({str, bytes, int, float, bool, type(None)})
_EXTENSIONS = (msgpack.ExtType, msgpack.Timestamp)


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one channel that travel together, each still encoded."""

    channel: str
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One message, decoded.

    Args:
        content: what the sender sent.
        deadline: milliseconds since the epoch after which it must not be delivered (item 56).
        retries: how often it went back to its channel since a consumer asked to run it later (item 80).
        copy: it waits for its turn elsewhere, and may have had it.
        trace: the `traceparent` of its sending (W3C Trace Context), or "".
    """

    content: dict[str, Any]
    deadline: int
    retries: int = 0
    copy: bool = False
    trace: str = ""


def encode_content(content: object, limit: int) -> bytes:
    """Encode a message's content, which also fixes it at this moment (items 22 to 24).

    Args:
        content: a dict with str keys; values as in item 22.
        limit: bytes that the encoded content may take.

    Raises:
        InvalidContent: not a dict, or a key or value that cannot travel.
        MessageTooLarge: it is above the limit.
    """
    if not isinstance(content, dict):
        raise InvalidContent(f"a message is a dict, not {type(content).__name__}: send {{'text': …}}")
    _check_shape(content, min(limit, MAX_BYTES // 2))
    return encode_own(content, limit)


def encode_own(content: dict[str, Any], limit: int) -> bytes:
    """Encode what this package made itself, whose shape is known to be right.

    Args:
        content: keys and values as for `encode_content`.
        limit: bytes that the encoded content may take.

    Raises:
        InvalidContent: a value that cannot travel: a lone surrogate in a text.
        MessageTooLarge: it is above the limit.
    """
    limit = min(limit, MAX_BYTES // 2)
    try:
        packed: bytes = msgpack.packb(content)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidContent(f"{_RULE}: {error}") from error
    if len(packed) > limit:
        raise MessageTooLarge(len(packed), limit)
    return packed


def _check_shape(content: dict[Any, Any], limit: int) -> None:
    """Refuse what msgpack would write although it cannot be read again.

    It goes level by level rather than by recursion, and ends at the limit: every value takes a byte at least, and a few
    nested lists can unfold to more values than memory holds.
    """
    level: list[Any] = [content]
    seen = 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            inside: Any = ()
            if isinstance(value, dict):
                _check_keys(value)
                # that of a QueryDict is a generator
                inside = value.values() if type(value) is dict else list(value.values())
            elif isinstance(value, _EXTENSIONS):  # an ExtType is a tuple, too
                raise InvalidContent(f"{_RULE}: not {type(value).__name__}")
            elif isinstance(value, list | tuple):
                inside = value
            seen += len(inside)
            if seen > limit:
                raise MessageTooLarge(seen, limit)
            below += [each for each in inside if type(each) not in _LEAVES]
        if not below:
            return
        level = below
    raise InvalidContent(f"a message's dicts and lists are nested at most {MAX_DEPTH} deep: send a flatter one")


def _check_keys(fields: dict[Any, Any]) -> None:
    for key in fields:
        if not isinstance(key, str):
            raise InvalidContent(f"a message's keys are text: {key!r:.200} is {type(key).__name__}")


def encode_item(content: bytes, deadline: int, trace: str = "") -> bytes:
    """Wrap encoded content with its deadline (milliseconds since the epoch), and with its trace if it has one."""
    packed: bytes = msgpack.packb(deadline)
    if not trace:
        return b"\x82\xa1d" + packed + b"\xa1b" + content
    mark: bytes = msgpack.packb(trace)
    return b"\x83\xa1d" + packed + b"\xa1t" + mark + b"\xa1b" + content


def count_retry(item: bytes) -> bytes:
    """Return an item as it goes back to its channel: one more retry, all else kept, what a later version wrote too.

    Raises:
        InvalidEnvelope: it was not written by `encode_item`.
    """
    fields = decode_content(item) | {"n": decode_item(item).retries + 1}
    packed: bytes = msgpack.packb(fields)
    return packed


def mark_copy(item: bytes) -> bytes:
    """Return an item marked as the copy of one that waits for its turn elsewhere, all else kept.

    Raises:
        InvalidEnvelope: it was not written by `encode_item`.
    """
    packed: bytes = msgpack.packb(decode_content(item) | {"k": True})
    return packed


def encode_batch(channel: str, items: Sequence[bytes]) -> bytes:
    """Encode what travels as one message of the queue.

    Args:
        channel: a normal channel's name.
        items: what `encode_item` returned, at least one.
    """
    packed: bytes = msgpack.packb({"v": VERSION, "c": channel, "m": items})
    return packed


def replace_items(body: bytes, items: Sequence[bytes]) -> bytes:
    """Return a queue's message with other items, all else kept, what a later version wrote too.

    Args:
        body: what `encode_batch` returned.
        items: at least one.

    Raises:
        InvalidEnvelope: it was not written by `encode_batch`.
    """
    packed: bytes = msgpack.packb(decode_content(body) | {"m": items})
    return packed


def decode_batch(body: bytes) -> Batch:
    """Read a queue's message without reading its items.

    Raises:
        InvalidEnvelope: it was not written by `encode_batch` of this version or the next.
    """
    fields = decode_content(body)
    version, channel, items = fields.get("v"), fields.get("c"), fields.get("m")
    if type(version) is not int or not 1 <= version <= VERSION + 1:
        raise InvalidEnvelope(f"version {version!r}, where 1 to {VERSION + 1} can be read")
    if not isinstance(channel, str) or not isinstance(items, list) or not all(isinstance(i, bytes) for i in items):
        raise InvalidEnvelope("the channel or the items are missing")
    return Batch(channel, tuple(items))


def decode_item(item: bytes) -> Item:
    """Read one message.

    Raises:
        InvalidEnvelope: it was not written by `encode_item`.
    """
    fields = decode_content(item)
    content, deadline, retries = fields.get("b"), fields.get("d"), fields.get("n", 0)
    if not isinstance(content, dict) or not isinstance(deadline, int):
        raise InvalidEnvelope("the content or the deadline is missing")
    if type(retries) is not int or retries < 0:
        raise InvalidEnvelope("the count of retries is no count")
    trace = fields.get("t")
    return Item(content, deadline, retries, fields.get("k") is True, trace if isinstance(trace, str) else "")


def decode_content(packed: bytes) -> dict[str, Any]:
    """Read what `encode_content` wrote.

    Raises:
        InvalidEnvelope: it is no encoded dict.
    """
    content = unpack(packed)
    if not isinstance(content, dict):
        raise InvalidEnvelope(f"a map was expected, not {type(content).__name__}")
    return content


def unpack(data: bytes) -> Any:
    """Read msgpack as this module writes it: maps with text keys, no extension types.

    Raises:
        InvalidEnvelope: it is something else.
    """
    if len(data) > MAX_BYTES:
        raise InvalidEnvelope(f"{len(data)} bytes, where {MAX_BYTES} are read at most")
    try:
        # no list, map or text within can be longer than the data: those are the defaults of max_…_len.
        # timestamps, which we never write, pass by ext_hook: 1 makes them floats, which are values like others
        return msgpack.unpackb(data, object_hook=_text_keys, ext_hook=_refuse_extension, timestamp=1)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.StackError) as error:
        # msgpack's own errors and UnicodeDecodeError are ValueErrors
        raise InvalidEnvelope(f"not msgpack as we write it: {type(error).__name__}") from error


def _text_keys(fields: dict[Any, Any]) -> dict[str, Any]:
    for key in fields:
        if not isinstance(key, str):
            raise ValueError(f"a key that is {type(key).__name__}")
    return fields


def _refuse_extension(code: int, data: bytes) -> None:
    raise ValueError(f"extension type {code}")
