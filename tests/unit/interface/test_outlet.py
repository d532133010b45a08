"""How a socket sends without making anyone wait."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from channelcelery.interface.outlet import Outlet
from tests.unit.interface.fakes import FakeServer, FakeTransport, closed, run, text, until

#: What an event counts besides its bytes.
EVENT = 256


class Outlets:
    """An outlet on a fake server, and what it said of its failure."""

    def __init__(self, limit: int = 10_000, timeout: float = 5.0, **server: Any) -> None:
        self.server = FakeServer(**server)
        self.failures: list[str] = []
        self.outlet = Outlet(self.server.send, limit, timeout, self.failures.append)

    def put(self, *values: str) -> None:
        for value in values:
            self.outlet.put(text(value), len(value))


def test_what_the_server_takes_is_sent_at_once_and_needs_no_task() -> None:
    async def main() -> None:
        it = Outlets()
        tasks = len(asyncio.all_tasks())
        it.put("a", "b")
        assert it.server.sent == [text("a"), text("b")]
        assert len(asyncio.all_tasks()) == tasks

    run(main)


def test_what_waits_keeps_its_order_and_the_task_ends_with_it() -> None:
    """Given a client that stopped reading, If it reads again, Expect everything in order, and no task left."""

    async def main() -> None:
        it = Outlets()
        tasks = len(asyncio.all_tasks())
        it.put("a")
        it.server.writable.clear()
        it.put("b", "c")
        it.outlet.put(text("d"), 1)
        assert it.server.sent == [text("a")]
        assert len(asyncio.all_tasks()) == tasks + 1
        it.server.writable.set()
        await until(lambda: len(it.server.sent) == 4)
        it.put("e")
        assert it.server.sent == [text(value) for value in "abcde"]
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        assert it.failures == []

    run(main)


def test_bytes_that_wait_are_bounded() -> None:
    async def main() -> None:
        it = Outlets(limit=10 + 2 * EVENT)
        it.server.writable.clear()
        it.put("12345", "67890")
        assert it.failures == []
        it.put("x")
        assert it.failures == ["send_buffer"]
        it.put("y")
        it.server.writable.set()
        await asyncio.sleep(0.01)
        assert it.server.sent == []
        assert it.failures == ["send_buffer"], "it fails once"

    run(main)


def test_empty_events_are_bounded_too() -> None:
    async def main() -> None:
        it = Outlets(limit=4 * EVENT)
        it.server.writable.clear()
        it.put("", "", "", "")
        assert it.failures == []
        it.put("")
        assert it.failures == ["send_buffer"]

    run(main)


def test_bytes_that_were_sent_make_room() -> None:
    async def main() -> None:
        it = Outlets(limit=10 + 2 * EVENT)
        for _ in range(5):
            it.server.writable.clear()
            it.put("12345", "67890")
            it.server.writable.set()
            await until(lambda: it.outlet._queue is None)
        assert it.failures == []
        assert len(it.server.sent) == 10

    run(main)


def test_bytes_that_were_sent_make_room_while_others_still_wait() -> None:
    async def main() -> None:
        permits, sent, failures = asyncio.Semaphore(0), [], []

        async def send(event: Any) -> None:
            await permits.acquire()
            sent.append(event["text"])

        outlet = Outlet(send, 10 + 2 * EVENT, 5.0, failures.append)
        for number in range(20):
            outlet.put(text(f"{number:05}"), 5)
            if number:
                permits.release()
                await until(lambda number=number: len(sent) == number)  # type: ignore[misc]
        assert failures == []
        outlet.put(text("12345"), 5)
        outlet.put(text("6"), 1)
        assert failures == ["send_buffer"]

    run(main)


def test_one_message_above_the_limit_passes_while_nothing_waits() -> None:
    async def main() -> None:
        it = Outlets(limit=10 + 2 * EVENT)
        it.put("x" * 1000)
        assert len(it.server.sent) == 1

    run(main)


def test_a_wait_above_the_time_limit_fails() -> None:
    async def main() -> None:
        it = Outlets(timeout=0.02)
        it.server.writable.clear()
        it.put("a", "b")
        await until(lambda: it.failures)
        assert it.failures == ["send_timeout"]

    run(main)


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after close")])
@pytest.mark.parametrize("waits", [False, True])
def test_a_server_that_raises_fails_the_outlet_and_nothing_else(error: Exception, waits: bool) -> None:
    async def main() -> None:
        it = Outlets()
        it.server.gone = error
        if waits:
            it.server.writable.clear()
        it.put("a")
        it.server.writable.set()
        await until(lambda: it.failures)
        it.put("b")
        assert it.failures == ["send_failed"]

    run(main)


def test_stop_ends_the_task_and_says_nothing() -> None:
    async def main() -> None:
        it = Outlets()
        it.server.writable.clear()
        it.put("a")
        it.outlet.stop()
        await until(lambda: len(asyncio.all_tasks()) == 1)
        it.server.writable.set()
        it.put("b")
        assert (it.server.sent, it.failures) == ([], [])

    run(main)


def test_last_tells_whether_the_server_took_it() -> None:
    async def main() -> None:
        it = Outlets()
        assert it.outlet.last(closed(1013))
        it.server.writable.clear()
        assert not it.outlet.last(closed(1013))
        it.server.writable.set()
        it.server.gone = OSError()
        assert not it.outlet.last(closed(1013))
        assert it.server.sent == [closed(1013)]

    run(main)


def test_a_transport_is_found_behind_a_server_s_method() -> None:
    async def main() -> None:
        transport = FakeTransport(buffered=3)
        it = Outlets(transport=transport)
        assert it.outlet.stuck
        assert not it.outlet.closing
        transport.buffered, transport.closing = 0, True
        assert not it.outlet.stuck
        assert it.outlet.closing
        assert it.outlet.abort()
        assert transport.aborted == 1

    run(main)


def test_a_server_without_one_is_told_apart() -> None:
    async def main() -> None:
        it = Outlets()
        assert (it.outlet.stuck, it.outlet.closing, it.outlet.abort()) == (False, False, False)

    run(main)


class Foreign:
    """What a server that is not written in Python may return from `send`."""

    def __init__(self, sent: list[Any], event: Any) -> None:
        self.sent, self.event = sent, event

    def __await__(self) -> Generator[Any, Any, None]:
        yield from asyncio.sleep(0).__await__()
        self.sent.append(self.event)


def test_a_server_whose_send_is_no_coroutine_function_is_awaited() -> None:
    async def main() -> None:
        sent: list[Any] = []
        failures: list[str] = []
        outlet = Outlet(lambda event: Foreign(sent, event), 1_000, 1.0, failures.append)
        outlet.put(text("a"), 1)
        outlet.put(text("b"), 1)
        await until(lambda: len(sent) == 2)
        assert sent == [text("a"), text("b")]
        assert not failures

    run(main)


def test_a_send_that_waits_several_times_is_resumed_each_time() -> None:
    async def main() -> None:
        steps: list[int] = []

        async def send(event: Any) -> None:
            for step in range(3):
                steps.append(step)
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)

        failures: list[str] = []
        outlet = Outlet(send, 100, 1.0, failures.append)
        outlet.put(text("a"), 1)
        assert steps == [0]
        await until(lambda: outlet._queue is None)
        assert steps == [0, 1, 2]
        assert not failures

    run(main)


def test_a_send_that_is_cancelled_gets_to_clean_up() -> None:
    async def main() -> None:
        cleaned: list[bool] = []

        async def send(event: Any) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                cleaned.append(True)

        outlet = Outlet(send, 100, 0.01, lambda reason: None)
        outlet.put(text("a"), 1)
        await until(lambda: cleaned)

    run(main)
