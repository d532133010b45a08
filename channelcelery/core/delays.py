"""Delayed messages as they wait: encoded once, and told apart although two of them may be equal."""

import msgpack

from channelcelery.core.envelope import unpack
from channelcelery.core.sends import DelayedSend
from channelcelery.exceptions import InvalidContent, InvalidEnvelope

__all__ = ["MAX_DELAY", "check_delay", "decode_delayed", "encode_delayed"]

#: Milliseconds of the longest delay: a year.
MAX_DELAY = 366 * 24 * 3600 * 1000


def check_delay(delay: object) -> int:
    """Return a delay in whole milliseconds, rounded up, since a message may never be early (item 206).

    Args:
        delay: milliseconds, above 0.

    Raises:
        InvalidContent: it is no such number.
    """
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 < delay <= MAX_DELAY:
        raise InvalidContent(f"a delay is a number of milliseconds above 0 and up to {MAX_DELAY:,}, not {delay!r:.100}")
    return -int(-delay // 1)


def encode_delayed(send: DelayedSend, unique: bytes) -> bytes:
    """Encode a delayed message as a member of a sorted set.

    Args:
        send: the message.
        unique: bytes that no other message has.
    """
    packed: bytes = msgpack.packb([unique, send.channel, send.content, *filter(None, [send.trace])])
    return packed


def decode_delayed(packed: bytes) -> DelayedSend:
    """Return what `encode_delayed` wrote, which is due.

    Raises:
        InvalidEnvelope: it was not written by it.
    """
    match unpack(packed):
        case [bytes(), str(channel), bytes(content)]:
            return DelayedSend(channel, content, 0)
        case [bytes(), str(channel), bytes(content), str(trace)]:
            return DelayedSend(channel, content, 0, trace)
    raise InvalidEnvelope("a delayed message that is not what was written")
