"""Time limits of very many sockets: those that end at about the same time share one timer of the event loop."""

import asyncio
from collections.abc import Iterable
from math import ceil
from typing import Protocol

from channelcelery.interface.faults import Faults

__all__ = ["Waiting", "Wheel"]

#: Seconds between two turns: a limit ends this much late at most.
_STEP = 0.25


class Waiting(Protocol):
    """Who waits for the end of a time limit."""

    def turn(self) -> None:
        """Do what is to be done after it."""


class Wheel:
    """Calls those that wait, a quarter of a second late at most, and none early.

    Args:
        faults: where those that raise are counted, so that they hold up no other.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._slots: dict[int, set[Waiting]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0  # the slot that the timer waits for

    def put(self, waiting: Waiting, seconds: float) -> int:
        """Have someone wait, and return the slot by which it can be dropped.

        Args:
            waiting: is called once.
            seconds: from now.
        """
        loop = asyncio.get_running_loop()
        slot = ceil((loop.time() + seconds) / _STEP)
        self._slots.setdefault(slot, set()).add(waiting)
        if self._timer is None or slot < self._next:
            self._wait_for(slot, loop)
        return slot

    def drop(self, waiting: Waiting, slot: int) -> None:
        """Have someone wait no longer."""
        if (others := self._slots.get(slot)) is not None:
            others.discard(waiting)
            if not others:
                del self._slots[slot]

    def _wait_for(self, slot: int, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = slot
        self._timer = loop.call_at(slot * _STEP, self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time() / _STEP
        for slot in sorted(slot for slot in self._slots if slot <= now):
            self._call(self._slots.pop(slot))
        self._timer = None
        if self._slots:
            self._wait_for(min(self._slots), loop)

    def _call(self, due: Iterable[Waiting]) -> None:
        for waiting in due:
            try:
                waiting.turn()
            except Exception:  # one socket must not end the others
                self._faults.note("socket_error", "the time limit of a socket raised", trace=True)
