"""Socket events on their way to the queue."""

import asyncio
import time

import pytest

from channelcelery.broker.thread import PublisherThread
from channelcelery.core.envelope import decode_item
from channelcelery.exceptions import ChannelFull
from channelcelery.interface.faults import Faults
from channelcelery.interface.intake import Intake
from tests.fakes import FakeLayer
from tests.unit.interface.fakes import FakeOffers, FakeServer, World, make_config, run, until


class Kept(FakeOffers):
    """Keeps items as they travel."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[bytes] = []

    def offer(self, channel: str, item: bytes) -> None:
        self.items.append(item)


def test_an_item_has_the_layer_s_deadline() -> None:
    publisher = Kept()
    intake = Intake(make_config(expiry=60), publisher, Faults())
    intake.offer("a", intake.encode({"text": "a", "b": b"\xff"}))
    item = decode_item(publisher.items[0])
    assert item.content == {"text": "a", "b": b"\xff"}
    assert 59_000 < item.deadline - time.time() * 1000 <= 60_000


def test_what_comes_late_is_taken_at_once_where_there_is_room() -> None:
    async def main() -> None:
        world = World()
        world.intake.offer_late("websocket.disconnect", {"n": 1})
        assert world.publisher.taken == [("disconnect", {"n": 1})]
        assert len(asyncio.all_tasks()) == 1

    run(main)


def test_what_comes_late_is_retried_in_order_and_the_task_ends() -> None:
    async def main() -> None:
        world = World()
        world.publisher.full = {"websocket.disconnect"}
        for n in range(3):
            world.intake.offer_late("websocket.disconnect", {"n": n})
        await until(lambda: world.publisher.refusals >= 3)
        world.publisher.full = set()
        world.intake.offer_late("websocket.disconnect", {"n": 3})
        assert not world.publisher.taken, "nothing overtakes what waits"
        await until(lambda: len(world.publisher.taken) == 4)
        assert world.publisher.taken == [("disconnect", {"n": n}) for n in range(4)]
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert not world.faults.dropped

    run(main)


def test_what_finds_no_room_for_too_long_is_dropped_and_counted() -> None:
    async def main() -> None:
        world = World(expiry=0.1)
        world.publisher.full = {"websocket.disconnect"}
        world.intake.offer_late("websocket.disconnect", {})
        await until(lambda: world.faults.dropped)
        assert world.faults.dropped == {"websocket.disconnect_full": 1}
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main)


def test_what_waits_is_bounded() -> None:
    async def main() -> None:
        world = World(publish_buffer=3)
        world.publisher.full = {"websocket.disconnect"}
        for _ in range(5):
            world.intake.offer_late("websocket.disconnect", {})
        assert world.faults.dropped == {"websocket.disconnect_full": 2}
        await world.intake.stop(1.0)

    run(main)


def test_stop_tries_once_more_and_counts_the_rest() -> None:
    async def main() -> None:
        world = World()
        world.publisher.full = {"websocket.disconnect"}
        world.intake.offer_late("websocket.disconnect", {"n": 1})
        world.publisher.full = set()
        await world.intake.stop(1.0)
        assert world.publisher.taken == [("disconnect", {"n": 1})]
        assert world.publisher.stopped
        world.publisher.full = {"websocket.disconnect"}
        world.intake.offer_late("websocket.disconnect", {"n": 2})
        await world.intake.stop(1.0)
        assert world.faults.dropped == {"websocket.disconnect_full": 1}

    run(main)


def test_nothing_that_the_publisher_took_is_lost_however_much_it_is() -> None:
    """Given more messages than it takes in one go, Expect every one of them published, in order."""
    layer = FakeLayer(publish_buffer=10_000)
    intake = Intake(layer.config, publisher := PublisherThread(layer.publisher, layer.config), Faults())
    for number in range(2_500):
        intake.offer("websocket.receive", intake.encode({"number": number}))
    publisher.start()
    publisher.stop(10.0)
    assert [content["number"] for content in layer.publisher.queues["websocket.receive"]] == list(range(2_500))
    assert publisher.waiting == 0
    assert publisher.published == {"websocket.receive": 2_500}


def in_line(world: World) -> int:
    line = world.intake._lines.get("websocket.receive")
    return len(line.places) if line else 0


def test_room_goes_round_among_those_that_wait() -> None:
    """Given sockets that find no room, If there is room for some, Expect those that came first to have it."""

    async def main() -> None:
        world = World()
        servers = [FakeServer() for _ in range(4)]
        tasks = [(await world.open(server, path=f"/{n}/"))[1] for n, server in enumerate(servers)]
        world.publisher.full = {"websocket.receive"}
        for n, server in enumerate(servers):
            for number in range(3):
                server.text(f"{n}{number}")
            await until(lambda wanted=n: in_line(world) == wanted + 1)
        for _ in range(6):
            world.publisher.room = 2
            await until(lambda: not world.publisher.room)
        said = [content["text"] for content in world.publisher.contents("receive")]
        assert said == [f"{n}{number}" for number in range(3) for n in range(4)]
        for server in servers:
            server.disconnect()
        await asyncio.gather(*tasks)
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(main)


def test_nobody_overtakes_what_waits() -> None:
    async def main() -> None:
        world, heard = World(), []
        world.publisher.full = {"websocket.receive"}
        world.intake.stand_in_line("websocket.receive", world.intake.encode({"n": 1}), 5, heard.append)
        world.publisher.full = set()
        with pytest.raises(ChannelFull):
            world.intake.offer("websocket.receive", world.intake.encode({"n": 2}))
        world.intake.offer("websocket.connect", world.intake.encode({}))
        await until(lambda: heard)
        world.intake.offer("websocket.receive", world.intake.encode({"n": 3}))
        assert [content["n"] for content in world.publisher.contents("receive")] == [1, 3]
        assert heard == [True]

    run(main)


def test_what_is_given_up_is_not_published_and_holds_nobody_up() -> None:
    async def main() -> None:
        world, heard = World(), []
        world.publisher.full = {"websocket.receive"}
        first = world.intake.stand_in_line("websocket.receive", world.intake.encode({"n": 1}), 5, heard.append)
        world.intake.stand_in_line("websocket.receive", world.intake.encode({"n": 2}), 5, heard.append)
        first.given_up = True
        world.publisher.full = set()
        await until(lambda: heard)
        assert [content["n"] for content in world.publisher.contents("receive")] == [2]
        assert heard == [True]

    run(main)


def test_what_is_taken_counts_although_its_socket_is_cancelled() -> None:
    """Expect the disconnect to have the number after it, or it would be taken for a copy of it."""

    async def main() -> None:
        world, server = World(), FakeServer()
        token, task = await world.open(server)
        world.publisher.full = {"websocket.receive"}
        server.text("a")
        await until(lambda: world.intake._lines)
        world.publisher.full = set()
        world.intake._offer_all(0)
        world.hub._sockets[token].end()
        await task
        assert [content["order"] for _, content in world.publisher.taken] == [0, 1, 2]

    run(main)


def test_while_the_line_moves_nobody_s_time_runs_out_before_messages_expire() -> None:
    async def main() -> None:
        world, heard = World(publish_wait=0.1, expiry=0.8), []
        world.publisher.full = {"websocket.receive"}
        begun = time.monotonic()
        world.intake.stand_in_line("websocket.receive", b"\x80", 0.2, lambda taken: heard.append(time.monotonic()))
        while not heard:
            world.publisher.published["websocket.receive"] += 1
            await asyncio.sleep(0.01)
        assert 0.8 <= heard[0] - begun < 2
        world.intake.stand_in_line("websocket.receive", b"\x80", 0.2, lambda taken: heard.append(time.monotonic()))
        begun = time.monotonic()
        await until(lambda: heard[1:])
        assert 0.2 <= heard[1] - begun < 0.7

    run(main)
