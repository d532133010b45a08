"""The node: how one interface process is known to the others, and how what they send reaches its hub."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from channelcelery.core.membership import Changes
from channelcelery.exceptions import InvalidChannelLayerError, LayerUnavailable
from channelcelery.interface.endings import LAST_WORDS, briefly, cancel, close_slowly
from channelcelery.interface.errands import Errands
from channelcelery.interface.faults import Faults, logger
from channelcelery.interface.hub import Hub
from channelcelery.interface.intake import Intake
from channelcelery.interface.reaper import Reaper
from channelcelery.layers.inbox import Beat, Inbox
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.pieces import InterfacePieces

__all__ = ["Node"]

#: Seconds between tries while Redis is away, at first and at most.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 1.0
#: Seconds that changes of connections are gathered before Redis is told.
_GATHER = 0.02
#: Seconds that one turn of the event loop spends on deliveries.
_TURN = 0.01
#: Heartbeats between two looks for dead nodes and held-up sockets.
_BEATS_PER_SWEEP = 5
#: The close code of a process that goes down or begins anew (the registry of RFC 6455, section 11.7).
_SERVICE_RESTART = 1012


class _TakenForDead(Exception):
    """Others cleared this node: it must take a new name."""


class Node:
    """Keeps a hub in touch with Redis, however often Redis goes away, loses its data or takes the process for dead.

    Args:
        layer: whose node it is.
        intake: takes the disconnects of dead nodes' connections.
        faults: where faults are counted.
    """

    def __init__(self, layer: ChannelLayer, intake: Intake, faults: Faults) -> None:
        self.hub = Hub(faults, self._record_soon, layer.config.group_expiry, layer.config.socket_groups)
        #: tell Redis of requests that are over
        self.errands = Errands(faults)
        self._layer = layer
        self._faults = faults
        self._inbox: Inbox = layer.make_inbox(layer.new_node())
        self._pieces: InterfacePieces | None = None
        self._in_touch = self._opened = self._draining = self._closing = self._lost = False
        # a beat, a rebuild and a record each say what the state is: never two at once
        self._telling = asyncio.Lock()
        self._life: asyncio.Task[None] | None = None
        self._recorder: asyncio.Task[None] | None = None
        self._reaper = Reaper(layer, intake, faults)

    @property
    def name(self) -> str:
        """Its part of reply channels' names."""
        return self._inbox.node

    @property
    def ready(self) -> bool:
        """Whether replies can reach it."""
        return self._opened and self._in_touch and not self._closing

    @property
    def takes_sockets(self) -> bool:
        """Whether new sockets are to come to it."""
        return self.ready and not self._draining

    @property
    def pieces(self) -> InterfacePieces:
        """What carries HTTP bodies that do not fit one message."""
        if self._pieces is None:
            self._pieces = self._layer.make_pieces(self.name)
        return self._pieces

    def start(self) -> None:
        """Begin to open the node, in the background: Redis may be down, and sockets are refused until it is not."""
        self._life = asyncio.get_running_loop().create_task(self._live())

    async def open(self) -> None:
        """Try once to open the node before `start`, so that a server takes no socket that it would have to refuse.

        Raises:
            InvalidChannelLayerError: the settings cannot work with what was found.
        """
        with contextlib.suppress(LayerUnavailable):  # `start` tries again, and says so
            await self._open()

    async def _live(self) -> None:
        while True:
            if not self._opened:
                await self._persist(self._open)
            self._in_touch = True
            logger.info("the channel layer %r is reached, sockets are taken", self._layer.alias)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._read())
                    tasks.create_task(self._give_signs())
            except* _TakenForDead:
                pass
            await self._begin_anew()

    async def _open(self) -> None:
        await self._inbox.open()
        # its client waits
        await asyncio.to_thread(self._layer.check_broker)
        self._opened = True

    async def _persist(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call until it succeeds, waiting longer and longer."""
        pause = _FIRST_PAUSE
        while not await self._reach(call):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)

    async def _reach(self, call: Callable[[], Awaitable[None]]) -> bool:
        """Call and tell whether that succeeded; no failure but the node's death is passed on.

        After a failure only a beat puts the node in touch again.
        """
        try:
            await call()
        except LayerUnavailable as error:
            self._faults.note("layer_unavailable", "%s Sockets stay open; new ones get 503.", error)
        except InvalidChannelLayerError as error:
            self._faults.note("layer_invalid", "%s", error)
        except _TakenForDead:
            raise
        except Exception:  # whatever it is, the sockets must outlive it
            text = "the channel layer's Redis could not be spoken to; trying again"
            self._faults.note("layer_error", text, trace=True)
        else:
            return True
        self._in_touch = False
        return False

    # what others send

    async def _read(self) -> None:
        while True:
            await self._persist(self._read_once)

    async def _read_once(self) -> None:
        if not self._in_touch:
            # what changed while Redis was away must be known before anything is read
            await self._beat()
        entries = await self._inbox.read()
        loop = asyncio.get_running_loop()
        turn_began = loop.time()
        for entry in entries:
            for _ in self.hub.apply(entry):
                if loop.time() - turn_began > _TURN:
                    await asyncio.sleep(0)
                    turn_began = loop.time()
            if loop.time() - turn_began > _TURN:
                await asyncio.sleep(0)
                turn_began = loop.time()

    # what others must know

    async def _give_signs(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(self._layer.config.heartbeat)
            beats += 1
            alive = await self._reach(self._beat)
            if beats % _BEATS_PER_SWEEP == 0:
                self.hub.sweep()
                if alive:
                    self._reaper.begin(self.name, self.hub.expired())

    async def _beat(self) -> None:
        async with self._telling:
            beat = await self._inbox.beat()
            if beat is Beat.DEAD:
                raise _TakenForDead
            self._lost = self._lost or beat is Beat.LOST
            if self._lost:
                logger.warning("the channel layer's Redis lost data: %d sockets are written again", len(self.hub))
                self.hub.lose()
                # the snapshot says what there is; what ended is told after it, as ever, since Redis may still have it
                taken = self.hub.changes.take()
                self.hub.changes.put_back(Changes(closed=taken.closed, left=taken.left))
                await self._inbox.rebuild(self.hub.channels(), self.hub.groups())
                self._lost = False
            self._in_touch = True

    def _record_soon(self) -> None:
        if self._recorder is None and not self._closing:
            self._recorder = asyncio.get_running_loop().create_task(self._record())

    async def _record(self) -> None:
        # bounded while Redis is away, since no socket is taken then
        try:
            await asyncio.sleep(_GATHER)
            while self.hub.changes:
                await self._persist(self._record_once)
        finally:
            self._recorder = None

    async def _record_once(self) -> None:
        async with self._telling:
            taken = self.hub.changes.take()
            try:
                await self._inbox.record(taken.opened, taken.closed, taken.left)
            except Exception:
                self.hub.changes.put_back(taken)
                raise

    # ends

    async def _begin_anew(self) -> None:
        text = "others took this interface process for dead: %d sockets are closed, and it takes a new name"
        self._faults.note("node_dead", text, len(self.hub))
        self._opened = False
        await cancel(self._recorder)
        self.hub.abandon(_SERVICE_RESTART)
        former, self._inbox = self._inbox, self._layer.make_inbox(self._layer.new_node())
        await briefly(self._close_pieces)
        await briefly(former.close)

    async def _close_pieces(self) -> None:
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            await pieces.close()

    async def drain(self) -> None:
        """Take no more sockets, and close those that are there one after the other: all at once would come back so."""
        self._draining = True
        await close_slowly(self.hub.websockets(), _SERVICE_RESTART, self._layer.config.drain_seconds)

    async def close(self) -> None:
        """Close every socket, and remove what others know of this node; takes three seconds at most."""
        self._closing = True
        self.hub.close_all(_SERVICE_RESTART)
        await briefly(self._until_empty)
        self.hub.end_all()
        await cancel(self._life, self._recorder, self._reaper.task)
        await self.errands.finish(LAST_WORDS)
        await briefly(self._close_pieces)
        await briefly(self._inbox.close)

    async def _until_empty(self) -> None:
        while len(self.hub):
            await asyncio.sleep(0.01)
