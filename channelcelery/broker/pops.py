"""One taking of messages from Redis, from its being sent to its answer; see `broker.safe_redis`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_WR, socket
from typing import Any

__all__ = ["BYTES", "MOST", "Pop", "hang_up"]

#: Messages that one pop takes at most.
MOST = 64
#: Bytes after which it takes no more of a queue that is read without acknowledgements.
BYTES = 16 * 1024


@dataclass(frozen=True)
class Pop:
    """A pop that Redis was asked for.

    Args:
        queues: where it looks.
        room: messages that it may take.
        tags: what the delivery tags of its messages, and of no others, begin with.
        most: how many it may take of each queue that is read without acknowledgements.
        waits: whether it comes once a bell of the queues has rung, or their consumer has waited for long enough.
    """

    queues: Sequence[str]
    room: int
    tags: str
    most: Mapping[str, int]
    waits: bool = False

    def leaves_some(self, answer: Sequence[Any]) -> bool:
        """Tell whether it took as many as it may, so that there may be more.

        Args:
            answer: what `pop.lua` gives.
        """
        taken = Counter(self.queues[number - 1] for number in answer[::3])
        return (
            taken.total() >= self.room
            or sum(map(len, answer[2::3])) >= BYTES
            or any(taken[queue] >= most for queue, most in self.most.items())
        )


def hang_up(connection: Any) -> None:
    """Have Redis give up a wait and the pop behind it; what it answered before that can still be read.

    Redis ends a connection whose client sends no more, and carries out nothing that it had kept back.

    Args:
        connection: redis-py's, on which a pop waits.
    """
    with suppress(OSError):
        # the socket's own, under TLS too: that of an SSLSocket would leave nothing to read with
        socket.shutdown(connection._sock, SHUT_WR)
