"""How many messages travel together: bounded in number and in bytes."""

from collections.abc import Iterator, Sequence

__all__ = ["MAX_BATCH", "MAX_BATCH_BYTES", "cut"]

MAX_BATCH = 64
MAX_BATCH_BYTES = 256 * 1024


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
