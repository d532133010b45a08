"""One taking of messages from Redis, from its being sent to its answer; see `broker.safe_redis`."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from select import POLLIN, poll
from socket import SHUT_WR, socket
from typing import Any

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

__all__ = ["BYTES", "MOST", "Pop", "hang_up"]

#: Messages that one pop takes at most.
MOST = 64
#: Bytes after which it takes no more of a queue that is read without acknowledgements.
BYTES = 16 * 1024
#: Seconds that Redis has to end a wait that was given up.
_FAREWELL = 2.0


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

    def messages(self, answer: Sequence[Any], unreadable: Callable[[str, bytes], None]) -> Iterator[tuple[str, Any]]:
        """Yield the messages of an answer, each with its queue.

        Args:
            answer: what `pop.lua` gives.
            unreadable: gets the tag and the text of what is no message.

        Raises:
            ValueError, LookupError, TypeError: a text is no message and, as with Kombu's transport, taken for good.
        """
        for number, tag, payload in zip(answer[::3], map(bytes_to_str, answer[1::3]), answer[2::3], strict=True):
            try:
                message = loads(bytes_to_str(payload))
                if tag:
                    message["properties"]["delivery_tag"] = tag
            except (ValueError, LookupError, TypeError):
                if not tag:
                    raise
                unreadable(tag, payload)
            else:
                yield self.queues[number - 1], message


def hang_up(connection: Any) -> bool:
    """Have Redis give up a wait and the pop behind it, unless they are over.

    Redis ends a connection whose client sends no more, and carries out nothing that it had kept back. What it answered
    just before can still be read, as far as it fits into the connection's buffers.

    Args:
        connection: redis-py's, on which a pop waits.

    Returns:
        Whether it was done; else there is something to read: the answer, or the connection's end.
    """
    sock: Any = connection._sock
    if sock is None or _is_readable(sock):
        return False
    with suppress(OSError):
        sock.settimeout(_FAREWELL)
        # the socket's own, under TLS too: that of an SSLSocket would leave nothing to read with
        socket.shutdown(sock, SHUT_WR)
    return True


def _is_readable(sock: socket) -> bool:
    poller = poll()
    poller.register(sock, POLLIN)
    return bool(poller.poll(0))
