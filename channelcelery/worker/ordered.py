"""Running messages of consumers that want order: each in its turn, and right after it those that waited (item 158).

The sends of a message leave before the next one has its turn (item 165). What is not run here is handed on: a runner
takes few messages that its job did not bring, and only of channels that its worker listens on.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable

from channelcelery.consumers import consumer_name
from channelcelery.core.backlog import Key
from channelcelery.core.bursts import Bursts
from channelcelery.core.envelope import count_retry
from channelcelery.core.names import ReplyAddress, reply_address
from channelcelery.core.ordering import Arrival, Parked, Verdict
from channelcelery.core.outcome import Times
from channelcelery.core.sends import KINDS, Send
from channelcelery.exceptions import InvalidName, LayerUnavailable
from channelcelery.layers.layer import ChannelLayer
from channelcelery.ordering import Ordering, message_order
from channelcelery.worker.consume import run_received
from channelcelery.worker.flush import flush, put_back
from channelcelery.worker.handing import hand_on
from channelcelery.worker.leases import Leases
from channelcelery.worker.progress import Progress
from channelcelery.worker.reading import Received, read

__all__ = ["MAX_TAKEN", "MAX_TAKEN_SECONDS", "Turns", "listen_to"]

logger = logging.getLogger("django.channels.worker")

#: Messages that one job runs beside its own, and the seconds after which it begins no more of them.
MAX_TAKEN = 16
MAX_TAKEN_SECONDS = 0.1

Waiting = list[tuple[ChannelLayer, Send]]

_bursts = Bursts()
_leases = Leases()
#: What the worker of this process listens on, inherited by its pool: alias -> channels.
_listening: dict[str, frozenset[str]] = {}


def listen_to(keys: Iterable[Key]) -> None:
    """Say which channels may be run here; a worker does so before its pool starts.

    Args:
        keys: pairs of a layer's alias and a channel.
    """
    pairs = list(keys)
    _listening.clear()
    _listening.update({alias: frozenset(c for other, c in pairs if other == alias) for alias, _ in pairs})


class Turns:
    """The ordered messages of one job.

    Args:
        layer: the layer that they came by.
        counts: counted up by what became of them.
        waiting: sends of the job's messages that did not leave yet; ours are added, and all leave where order needs it.
        sent: counted up by what was sent, dropped or not, by kind.
        times: what consumers ran and took.
        progress: where the job is.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        counts: Counter[str],
        waiting: Waiting,
        sent: Counter[str],
        times: Times,
        progress: Progress,
    ) -> None:
        self._layer = layer
        self._counts = counts
        self._waiting = waiting
        self._sent = sent
        self._times = times
        self._progress = progress
        self._channels = _listening.get(layer.alias, frozenset())
        #: what is handed on to this worker, for its main process
        self.handed: list[tuple[str, bytes]] = []
        self._room = MAX_TAKEN
        self._taken_seconds = 0.0

    def run(self, received: Received, ordering: Ordering) -> None:
        """Run a message if it is its turn, and what waited for it; or leave it parked, or drop it.

        Args:
            received: the message.
            ordering: what its consumer wants.
        """
        if (place := _place(received)) is None:
            self._run_free(received)  # the decorator says what is wrong with it
            return
        address, number = place
        channel = received.message.channel.name
        try:
            arrival = Arrival(number, channel, received.item, ordering is Ordering.SLIGHT)
            entered = self._layer.order.enter(address, arrival, self._room_left(), self._channels)
        except LayerUnavailable as error:
            self._drop("order_unavailable", f"a message of {channel} was dropped, since its turn is unknown: {error}")
            return
        verdict = entered.verdict
        if verdict is Verdict.RUN:
            self._run_turns(address, number, received)
        elif verdict is Verdict.FREE:
            self._run_free(received)
        elif verdict is Verdict.LATE and not received.copy:
            self._drop("order_late", f"a message of {channel} was dropped: it came twice, or after its turn was over")
        elif verdict is Verdict.FULL:
            self._drop("order_full", f"a message of {channel} was dropped and its socket closed: too many wait already")
            if not address.is_http:
                self._waiting.append((self._layer, self._layer.prepare(address.channel(), {"close": 1013})))
        if entered.instead is not None:
            self._room -= 1
            self._run_turns(address, entered.instead.number, self._read(entered.instead))

    def _run_turns(self, address: ReplyAddress, number: int, received: Received | None) -> None:
        """Run a message whose turn it is, and those that waited for it as far as there is room."""
        taken = self._run_turn(address, number, received)
        while taken is not None:
            begun = time.monotonic()
            self._room -= 1
            taken = self._run_turn(address, taken.number, self._read(taken))
            self._taken_seconds += time.monotonic() - begun

    def _run_turn(self, address: ReplyAddress, number: int, received: Received | None) -> Parked | None:
        """Run a message whose turn it is, if it can be, and end its turn; return what is to be run here after it."""
        again = None
        with _leases.hold(self._layer, address, number):
            if received is not None and self._run(received):
                again = Parked(number, received.message.channel.name, count_retry(received.item))
            self._counts.update(flush(self._waiting))
            self._sent.update(KINDS[type(send)] for _, send in self._waiting)
            self._waiting.clear()
        try:
            left = self._layer.order.leave(address, number, self._room_left(), self._channels, again)
        except LayerUnavailable as error:
            # the lease runs out, and then the connection goes on
            self._tell("leave", f"the messages of a connection have to wait: {error}")
            return None
        self._counts.update(hand_on(self._layer, left.handed, self._take))
        return left.taken

    def _take(self, channel: str, item: bytes) -> bool:
        if channel in self._channels:
            self.handed.append((channel, item))
        return channel in self._channels

    def _room_left(self) -> int:
        return self._room if self._taken_seconds < MAX_TAKEN_SECONDS else 0

    def _run_free(self, received: Received) -> None:
        """Run a message that nothing waits for."""
        if self._run(received):
            self._counts.update(put_back(self._layer, received.message.channel.name, [count_retry(received.item)]))

    def _run(self, received: Received) -> bool:
        """Run a message unless it expired, and tell whether it is to run again."""
        if received.expired:
            self._counts["expired"] += 1
            return False
        received.message.ordered = True
        self._progress.run(consumer_name(received.consumer))
        run = run_received(received, self._counts)
        self._times.note(run.consumer, run.error is not None, run.seconds)
        self._waiting += run.sends
        return run.later

    def _read(self, parked: Parked) -> Received | None:
        return read(self._layer, parked.channel, parked.item, self._counts)

    def _drop(self, reason: str, text: str) -> None:
        self._counts[reason] += 1
        self._tell(reason, text)

    def _tell(self, kind: str, text: str) -> None:
        if (silent := _bursts.hit(kind, time.monotonic())) is not None:
            logger.warning("%s (%d times before, unlogged)", text, silent)


def _place(received: Received) -> tuple[ReplyAddress, int] | None:
    """Return the connection of a message and its number there, or None if it says neither."""
    reply = received.message.reply_channel
    if reply is None:
        return None
    try:
        return reply_address(reply.name), message_order(received.message)
    except (InvalidName, ValueError):
        return None
