"""A request's body on its way to the worker that reads it, a few pieces at a time (Channels 1.x, item 91)."""

import asyncio
from collections.abc import Callable

from channelcelery.core.envelope import encode_content
from channelcelery.exceptions import LayerUnavailable
from channelcelery.interface.faults import Faults
from channelcelery.interface.spool import Spool
from channelcelery.layers.pieces import InterfacePieces

__all__ = ["Feed", "Turns"]

#: Bytes that the message around a piece takes at most.
_AROUND = 1024
#: Seconds that one body may keep the next from being handed on.
_TURN = 5.0
#: Seconds between two tries to put a piece where others wait already, at first and at most.
_FIRST_PAUSE, _LAST_PAUSE = 0.005, 0.05


class Turns:
    """Lets one long body at a time be handed on, so that those that came together leave workers for small requests.

    One takes a worker as long as it takes to hand it on, however slow its client was; several at a time would take as
    many workers, and be no faster, since they share this process and Redis.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> Callable[[], None]:
        """Wait for a turn, but not for long: a worker may be in no hurry to read. Call what it returns at its end."""
        try:
            async with asyncio.timeout(_TURN):
                await self._lock.acquire()
        except TimeoutError:
            return lambda: None
        return self._lock.release


class Feed:
    """Puts the pieces of one body where a worker takes them, from when it asks for them.

    Args:
        pieces: takes them.
        token: the request's connection.
        body: the request's, complete.
        size: bytes of a piece.
        faults: where failures are counted.
        failed: called if the body cannot be handed on in one piece.
        turns: of the process.
    """

    def __init__(
        self,
        pieces: InterfacePieces,
        token: str,
        body: Spool,
        size: int,
        faults: Faults,
        failed: Callable[[], None],
        turns: Turns,
    ) -> None:
        self._pieces, self._token, self._body, self._size = pieces, token, body, size
        self._faults, self._failed = faults, failed
        self._turns = turns
        self._give_back: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Wait until the request may be published."""
        self._give_back = await self._turns.take()

    @property
    def has_begun(self) -> bool:
        """Whether the worker asked for the body."""
        return self._task is not None

    def begin(self) -> None:
        """Begin; doing so again changes nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while True:
                content = await self._body.take(self._size)
                more = self._body.size > 0
                await self._put({"content": content, "more_content": more})
                if not more:
                    return
        except LayerUnavailable:
            # it may be there or not, and a body with a hole, or twice the same, must not pass for the client's
            self._failed()
        except Exception:
            self._faults.note("spool_error", "a request's body could not be handed on", trace=True)
            self._failed()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    async def _put(self, piece: dict[str, object]) -> None:
        content = encode_content(piece, self._size + _AROUND)
        pause = _FIRST_PAUSE
        while not await self._pieces.put_body(self._token, content):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    def stop(self) -> None:
        """Put no more, and let others have their turn."""
        if self._task is not None:
            self._task.cancel()
        self._end_turn()

    async def drop(self) -> None:
        """Delete what the worker did not take.

        Raises:
            LayerUnavailable: Redis did not answer; it expires by itself.
        """
        await self._pieces.drop_pieces(self._token)

    async def close(self) -> None:
        """Tell the worker that the client is gone, whether it asked yet or not.

        Raises:
            LayerUnavailable: Redis did not answer.
        """
        await self.drop()
        await self._put({"closed": True})
