"""Socket events on their way to the queue."""

import asyncio
import time

from channelcelery.broker.thread import PublisherThread
from channelcelery.core.envelope import decode_item
from channelcelery.interface.faults import Faults
from channelcelery.interface.intake import Intake
from tests.fakes import FakeLayer
from tests.unit.interface.fakes import FakeOffers, World, make_config, run, until


def test_an_item_has_the_layer_s_deadline() -> None:
    intake = Intake(make_config(expiry=60), FakeOffers(), Faults())
    item = decode_item(intake.encode({"text": "a", "b": b"\xff"}))
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
