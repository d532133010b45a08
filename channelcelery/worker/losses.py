"""What a process of the pool takes with it when it is killed, and who has to be told."""

import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from channelcelery.core.backlog import Job, Key
from channelcelery.core.envelope import decode_item
from channelcelery.core.outcome import Outcome
from channelcelery.exceptions import ChannelFull, InvalidEnvelope, InvalidName, LayerUnavailable
from channelcelery.layers import channel_layers
from channelcelery.worker.progress import read_mark

__all__ = ["Losses"]

logger = logging.getLogger("django.channels.worker")

#: What the peer of a connection is told whose message was lost: 500 or the end of a response, 403 to a handshake.
_CUT_OFF = {"closed": True}
_ANSWERS = {"http.request": _CUT_OFF, "websocket.connect": {"close": True}}


class Losses:
    """Notices dead processes of the pool where Celery waits for ten seconds, and lets no client wait for their answers.

    Args:
        lost: takes a job that was lost with its process.
    """

    def __init__(self, lost: Callable[[Job], None]) -> None:
        self._lost = lost
        self._responses: dict[int, tuple[tuple[str, str], ...]] = {}

    def note(self, outcome: Outcome) -> None:
        """Take note of what a process goes on to answer beside its jobs."""
        if outcome.responses:
            self._responses[outcome.pid] = outcome.responses
        else:
            self._responses.pop(outcome.pid, None)

    def look(self, jobs: Collection[Job], processes: Collection[int]) -> None:
        """Settle what belongs to processes that are gone.

        Args:
            jobs: what the pool has.
            processes: the ids of its processes.
        """
        for job in jobs:
            mark = read_mark(*job.claim)
            if mark is not None and mark.pid not in processes and mark.pid != os.getpid():
                self._lost(job)
        for pid in self._responses.keys() - set(processes) - {os.getpid()}:
            _tell([(alias, channel, _CUT_OFF) for alias, channel in self._responses.pop(pid)])

    def abandoned(self, key: Key, item: bytes) -> None:
        """Have the peer told whose message was lost, if it waits for an answer."""
        alias, channel = key
        if (answer := _ANSWERS.get(channel)) is None:
            return
        try:
            reply = decode_item(item).content.get("reply_channel")
        except InvalidEnvelope:  # it was never to be answered
            return
        if isinstance(reply, str):
            _tell([(alias, reply, answer)])


def _tell(answers: Sequence[tuple[str, str, Mapping[str, bool]]]) -> None:
    """Send answers (alias, channel, content) from a thread: Redis may take its time, and a worker goes on meanwhile."""
    threading.Thread(target=_send, args=(answers,), name="channelcelery-losses", daemon=True).start()


def _send(answers: Sequence[tuple[str, str, Mapping[str, bool]]]) -> None:
    for alias, channel, content in answers:
        try:
            channel_layers[alias].send(channel, content)
        except (ChannelFull, InvalidName, LayerUnavailable) as error:
            logger.warning("a client waits in vain, since the process that was to answer it ended: %s", error)
