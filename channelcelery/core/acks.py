"""Which acknowledgements to send: one for many deliveries where they are contiguous (AMQP 0-9-1, basic.ack)."""

from collections.abc import Sequence

__all__ = ["AckWindow"]


class AckWindow:
    """The delivery tags of one AMQP channel that are not acknowledged yet; the broker counts them up from 1."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def delivered(self, tag: int) -> None:
        """Take note of a delivery."""
        self._open[tag] = None

    def accepted(self, tags: Sequence[int]) -> list[tuple[int, bool]]:
        """Return (tag, multiple) of the acknowledgements that settle some deliveries and no others.

        Args:
            tags: deliveries that were accepted; those that are settled already are ignored.
        """
        fresh = sorted({tag for tag in tags if tag in self._open})
        if not fresh:
            return []
        for tag in fresh:
            del self._open[tag]
        first_open = next(iter(self._open), fresh[-1] + 1)
        contiguous = [tag for tag in fresh if tag < first_open]
        acks = [(contiguous[-1], len(contiguous) > 1)] if contiguous else []
        return acks + [(tag, False) for tag in fresh[len(contiguous) :]]
