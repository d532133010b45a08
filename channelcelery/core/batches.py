"""How many messages travel together: bounded in number and in bytes."""

from collections.abc import Iterator, Sequence

__all__ = ["MAX_BATCH", "MAX_BATCH_BYTES", "cut", "gathering"]

MAX_BATCH = 64
MAX_BATCH_BYTES = 256 * 1024
#: Channels on which a client waits for a handshake, or nobody waits.
_PATIENT = frozenset({"websocket.connect", "websocket.disconnect"})
#: Seconds that their messages may gather.
_PATIENCE = 0.005
#: Seconds that others gather for each message beside the first that left a moment ago.
_EACH = 0.001
#: Seconds that they gather at most.
_MOST = 0.002


def cut(items: Sequence[bytes], count: int = MAX_BATCH, size: int = MAX_BATCH_BYTES) -> Iterator[list[bytes]]:
    """Cut items into batches, in order; an item above the size travels alone.

    Args:
        items: encoded items.
        count: items of one batch at most.
        size: bytes of one batch at most.
    """
    batch: list[bytes] = []
    total = 0
    for item in items:
        if batch and (len(batch) == count or total + len(item) > size):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += len(item)
    if batch:
        yield batch


def gathering(channel: str, left: int) -> float:
    """Return the seconds after a publish in which what comes next waits for more: none where messages come one by one.

    Args:
        channel: what comes next is for it.
        left: messages that left with that publish.
    """
    return _PATIENCE if channel in _PATIENT else min(_MOST, _EACH * (left - 1))
