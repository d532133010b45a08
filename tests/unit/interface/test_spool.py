"""Bodies in memory and in files: order, limits, and what is given back."""

import asyncio
import contextlib
import random
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channelcelery.interface.spool import Room, Spool
from tests.unit.interface.fakes import run

KIB, MIB = 1024, 1024 * 1024


def is_whole(room: Room, former: Room) -> bool:
    return (room.memory, room.disk) == (former.memory, former.disk)


async def take_all(spool: Spool, size: int = 64 * KIB) -> bytes:
    taken = b""
    while data := await spool.take(size):
        assert len(data) <= size
        taken += data
    return taken


def test_what_is_small_stays_in_memory() -> None:
    async def main() -> None:
        room = Room()
        spool = Spool(room, 256 * KIB)
        spool.put(b"a" * 100)
        spool.put(b"")
        spool.put(b"b" * 100)
        assert spool.is_settled
        assert await spool.settle()
        assert room.disk == Room().disk
        assert spool.size == 200
        assert await spool.take(150) == b"a" * 100 + b"b" * 50
        assert await spool.take(150) == b"b" * 50
        assert await spool.take(150) == b""
        assert is_whole(room, Room())

    run(main)


def test_what_is_large_goes_to_a_file_and_its_place_is_given_back() -> None:
    async def main() -> None:
        room = Room(disk=100 * MIB)
        spool = Spool(room, 256 * KIB)
        body = random.Random(1).randbytes(40 * MIB)
        for start in range(0, len(body), 512 * KIB):
            spool.put(body[start : start + 512 * KIB])
            assert await spool.settle()
            assert Room().memory - room.memory <= 257 * KIB
        assert spool.size == len(body)
        assert room.disk <= 60 * MIB
        half = b"".join([await spool.take(64 * KIB) for _ in range(400)])
        assert room.disk > 60 * MIB, "what was read frees its place while the rest waits"
        assert half + await take_all(spool) == body
        await spool.close()
        assert is_whole(room, Room(disk=100 * MIB))

    run(main)


@given(st.lists(st.integers(-300, 300), max_size=30), st.integers(0, 400), st.integers(0, 2_000))
@settings(deadline=None)
def test_order_is_kept_whatever_is_put_and_taken(steps: list[int], memory: int, room_memory: int) -> None:
    """Expect first in, first out, with the writer beside it, and room given back."""

    async def main() -> None:
        room = Room(room_memory)
        spool = Spool(room, memory)
        put = taken = b""
        tasks = []
        numbers = iter(range(10**6))
        for step in steps:
            if step > 0:
                data = bytes(next(numbers) % 251 for _ in range(step))
                put += data
                spool.put(data)
                tasks.append(asyncio.ensure_future(spool.settle()))
            else:
                taken += await spool.take(1 - step)
        await asyncio.gather(*tasks)
        assert spool.size == len(put) - len(taken)
        assert taken + await take_all(spool, 100) == put
        await spool.close()
        assert is_whole(room, Room(room_memory))

    asyncio.run(main())


def test_without_room_in_memory_even_small_ones_go_to_a_file() -> None:
    async def main() -> None:
        room = Room(memory=100 * KIB)
        spools = [Spool(room, 256 * KIB) for _ in range(10)]
        for spool in spools:
            spool.put(b"a" * 50 * KIB)
            assert await spool.settle()
        assert room.memory >= 0
        assert room.disk < Room().disk
        for spool in spools:
            assert await take_all(spool) == b"a" * 50 * KIB
            await spool.close()
        assert is_whole(room, Room(memory=100 * KIB))

    run(main)


@pytest.mark.parametrize("why", ["no room", "disk full"])
def test_without_room_on_disk_it_stays_in_memory_and_says_so(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        room = Room(disk=100 if why == "no room" else MIB)
        if why == "disk full":
            monkeypatch.setattr(tempfile, "TemporaryFile", fail)
        spool = Spool(room, 1000)
        for letter in b"abc":
            spool.put(bytes([letter]) * 600)
        assert not await spool.settle()
        assert not spool.is_settled
        assert await take_all(spool) == b"a" * 600 + b"b" * 600 + b"c" * 600
        assert await spool.settle()
        await spool.close()
        assert (room.memory, room.disk) == (Room().memory, 100 if why == "no room" else MIB)

    run(main)


def test_the_loop_goes_on_while_a_disk_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    write = os.pwrite

    def slow(*args: Any) -> int:
        time.sleep(0.2)
        return write(*args)

    monkeypatch.setattr(os, "pwrite", slow)

    async def main() -> None:
        spool = Spool(Room(), 0)
        spool.put(b"a" * 100_000)
        settling = asyncio.ensure_future(spool.settle())
        turns = 0
        while not settling.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 5
        await spool.close()

    run(main)


def test_all_files_of_a_process_are_used_by_one_thread_that_is_nothing_else_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given some that write and read at the same time, expect one, so that a file is closed after its last use."""
    import os
    import threading

    used: set[str] = set()

    def noting(call: Any) -> Any:
        def noted(*args: Any) -> Any:
            used.add(threading.current_thread().name)
            return call(*args)

        return noted

    for name in ("pwrite", "pread"):
        monkeypatch.setattr(os, name, noting(getattr(os, name)))

    async def main() -> None:
        room = Room()
        spools = [Spool(room, 0) for _ in range(4)]
        for spool in spools:
            spool.put(b"a" * 300_000)
        await asyncio.gather(*(spool.settle() for spool in spools))
        await asyncio.gather(*(take_all(spool) for spool in spools))
        await asyncio.gather(*(spool.close() for spool in spools))

    run(main)
    (name,) = used
    assert name.startswith("spool"), "not one of the loop's own, which resolve names and may all be waiting"


def test_one_that_is_closed_or_cancelled_in_the_middle_gives_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import time

    write = os.pwrite
    wrong: list[OSError] = []

    def slow(*args: Any) -> int:
        time.sleep(0.02)
        try:
            return write(*args)
        except OSError as error:
            wrong.append(error)
            raise

    monkeypatch.setattr(os, "pwrite", slow)

    async def main() -> None:
        room = Room()
        for cancel in (True, False):
            spool = Spool(room, 0)
            for _ in range(5):
                spool.put(b"a" * 300_000)
            settling = asyncio.ensure_future(spool.settle())
            await asyncio.sleep(0.03)
            if cancel:
                settling.cancel()
            await spool.close()
            with contextlib.suppress(asyncio.CancelledError):
                await settling
            assert is_whole(room, Room())
            spool.put(b"more")
            assert spool.size == 0
        await asyncio.to_thread(room.thread.shutdown)
        assert not wrong, "no file is closed while it is written to"

    run(main)
