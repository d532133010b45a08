"""The pieces of long HTTP bodies (Channels 1.x, items 91, 92 and 107): one suite over memory and Redis."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import redis

from channelcelery.core.names import ReplyAddress
from channelcelery.exceptions import LayerUnavailable
from channelcelery.layers.layer import ChannelLayer
from channelcelery.layers.memory import InMemoryChannelLayer
from channelcelery.layers.memory_pieces import MemoryWorkerPieces
from channelcelery.layers.pieces import GONE, MAX_PIECES, InterfacePieces
from channelcelery.layers.redis import RedisChannelLayer
from tests.contract.brokers import in_child, wait_for_child
from tests.contract.reply_backends import PREFIX, config_of
from tests.processes import wait_until

ADDRESS = ReplyAddress("node", "http.token")
TOKEN = ADDRESS.token
Make = Callable[..., ChannelLayer]
Work = Callable[[InterfacePieces], Coroutine[Any, Any, Any]]


@pytest.fixture(params=["memory", "redis", "two redis"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a layer; arguments are keys of CONFIG."""
    made: list[ChannelLayer] = []

    def layer(**values: Any) -> ChannelLayer:
        if request.param == "memory":
            made.append(InMemoryChannelLayer(config_of("memory", **values)))
            return made[-1]
        values["hosts"] = [request.getfixturevalue("redis_url")]
        if request.param == "two redis":
            values["hosts"].append(request.getfixturevalue("redis_server_shared").database(0))
        made.append(RedisChannelLayer(config_of("redis", **values)))
        return made[-1]

    yield layer
    for each in made:
        interface(each, lambda pieces: pieces.drop_pieces(TOKEN))
        each.pieces.close()


@pytest.fixture
def layer(make: Make) -> ChannelLayer:
    """A layer with default settings."""
    return make()


def interface(layer: ChannelLayer, work: Work) -> Any:
    """Do something as the interface process."""

    async def run() -> Any:
        pieces = layer.make_pieces(ADDRESS.node)
        try:
            return await work(pieces)
        finally:
            await pieces.close()

    return asyncio.run(run())


def put(layer: ChannelLayer, *contents: bytes) -> list[bool]:
    async def work(pieces: InterfacePieces) -> list[bool]:
        return [await pieces.put_body(TOKEN, content) for content in contents]

    return list(interface(layer, work))


def grant(layer: ChannelLayer, *credits: int) -> None:
    async def work(pieces: InterfacePieces) -> None:
        for each in credits:
            await pieces.grant(TOKEN, each)

    interface(layer, work)


def later(work: Callable[[], Any]) -> threading.Thread:
    timer = threading.Timer(0.2, work)
    timer.start()
    return timer


def until_forgotten(layer: ChannelLayer) -> None:
    """Wait until nothing is kept of the request, without taking any of it."""

    def is_kept() -> bool:
        if isinstance(layer.pieces, MemoryWorkerPieces):
            found = layer.pieces._of(TOKEN)
            return bool(found.body or found.credits)
        clients = [redis.Redis.from_url(url) for url in layer.config.hosts]
        try:
            return any(client.exists(f"{PREFIX}body:{TOKEN}", f"{PREFIX}window:{TOKEN}") for client in clients)
        finally:
            for client in clients:
                client.close()

    wait_until(lambda: not is_kept(), timeout=20, what="the pieces to be forgotten", interval=0.02)


class TestBody:
    def test_pieces_come_in_order_and_there_are_never_more_than_eight(self, layer: ChannelLayer) -> None:
        """Item 91. Given eight pieces: expect the ninth to be refused until one is taken."""
        contents = [b"%d" % number for number in range(MAX_PIECES + 1)]
        assert put(layer, *contents) == [True] * MAX_PIECES + [False]
        assert layer.pieces.take_body(ADDRESS, 0) == b"0"
        assert put(layer, contents[-1]) == [True]
        assert [layer.pieces.take_body(ADDRESS, 1) for _ in range(MAX_PIECES + 1)] == [*contents[1:], None]

    def test_who_waits_gets_the_piece_when_it_comes(self, layer: ChannelLayer) -> None:
        begun = time.monotonic()
        thread = later(lambda: put(layer, b"late"))
        taken = None
        while taken is None and time.monotonic() - begun < 10:
            taken = layer.pieces.take_body(ADDRESS, 1)
        thread.join()
        assert taken == b"late"
        assert time.monotonic() - begun >= 0.19

    def test_without_a_piece_the_wait_ends(self, layer: ChannelLayer) -> None:
        begun = time.monotonic()
        assert layer.pieces.take_body(ADDRESS, 0) is None
        assert layer.pieces.take_body(ADDRESS, 0.2) is None
        assert time.monotonic() - begun >= 0.19

    def test_if_dropped_then_nothing_waits(self, layer: ChannelLayer) -> None:
        put(layer, b"a", b"b")
        interface(layer, lambda pieces: pieces.drop_pieces(TOKEN))
        assert layer.pieces.take_body(ADDRESS, 0) is None

    def test_a_piece_put_by_hand_comes_as_any_other(self, layer: ChannelLayer) -> None:
        """Item 91. Given a sender that is no interface process: expect the same limit."""
        assert [layer.pieces.put_body(ADDRESS, b"x") for _ in range(MAX_PIECES + 1)] == [True] * MAX_PIECES + [False]
        assert layer.pieces.take_body(ADDRESS, 0) == b"x"

    def test_what_nobody_takes_is_forgotten(self, make: Make) -> None:
        layer = make(expiry=0.2)
        put(layer, b"old")
        until_forgotten(layer)
        assert layer.pieces.take_body(ADDRESS, 0) is None
        assert put(layer, *[b"new"] * MAX_PIECES) == [True] * MAX_PIECES

    def test_each_request_has_its_own(self, layer: ChannelLayer) -> None:
        put(layer, b"mine")
        assert layer.pieces.take_body(ReplyAddress("node", "http.other"), 0) is None
        assert layer.pieces.take_body(ADDRESS, 0) == b"mine"


class TestCredits:
    def test_credits_add_up_and_are_taken_at_once(self, layer: ChannelLayer) -> None:
        """Item 107."""
        grant(layer, 1, 2, 4)
        assert layer.pieces.take_credits(ADDRESS, 0) == 7
        assert layer.pieces.take_credits(ADDRESS, 0) == 0

    def test_who_waits_gets_them_when_they_come(self, layer: ChannelLayer) -> None:
        thread = later(lambda: grant(layer, 3))
        deadline = time.monotonic() + 10
        while not (credits := layer.pieces.take_credits(ADDRESS, 1)) and time.monotonic() < deadline:
            pass
        thread.join()
        assert credits == 3

    @pytest.mark.parametrize("granted", [(GONE,), (5, GONE), (GONE, 5), (1, GONE, 2)])
    def test_gone_stays(self, layer: ChannelLayer, granted: tuple[int, ...]) -> None:
        """Defect 17. Given a client that is gone: expect every later question to be answered so."""
        grant(layer, *granted)
        assert [layer.pieces.take_credits(ADDRESS, timeout) for timeout in (0, 1, 0)] == [GONE] * 3
        grant(layer, 4)
        assert layer.pieces.take_credits(ADDRESS, 0) == GONE

    def test_credits_that_nobody_takes_are_forgotten(self, make: Make) -> None:
        layer = make(expiry=0.2)
        grant(layer, 5)
        until_forgotten(layer)
        assert layer.pieces.take_credits(ADDRESS, 0) == 0
        grant(layer, 1)
        assert layer.pieces.take_credits(ADDRESS, 0) == 1


class TestAlive:
    def test_an_interface_process_is_alive_from_its_opening_to_its_end(self, layer: ChannelLayer) -> None:
        async def scenario() -> list[bool]:
            inbox = layer.make_inbox(ADDRESS.node)
            seen = [layer.pieces.alive(ADDRESS.node)]
            await inbox.open()
            seen.append(layer.pieces.alive(ADDRESS.node))
            await inbox.close()
            return [*seen, layer.pieces.alive(ADDRESS.node)]

        assert asyncio.run(scenario()) == [False, True, False]


def test_given_several_takers_then_no_piece_is_taken_twice(layer: ChannelLayer) -> None:
    taken: list[bytes] = []

    def take() -> None:
        while (piece := layer.pieces.take_body(ADDRESS, 0.5)) is not None:
            taken.append(piece)

    put(layer, *(b"%d" % number for number in range(MAX_PIECES)))
    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [b"%d" % number for number in range(MAX_PIECES)]


def test_keys_expire_and_hold_no_more_than_they_must(redis_url: str) -> None:
    """Given pieces and credits on Redis: expect two keys with a time limit, in one element for all credits."""
    layer = RedisChannelLayer(config_of("redis", hosts=[redis_url]))
    put(layer, b"a")
    grant(layer, 1, 2, 3)
    with redis.Redis.from_url(redis_url) as client:
        keys = sorted(client.keys())
        assert keys == [f"{PREFIX}body:{TOKEN}".encode(), f"{PREFIX}window:{TOKEN}".encode()]
        assert all(0 < client.pttl(key) <= 60_000 for key in keys)
        assert client.llen(keys[1]) == 1
    layer.pieces.close()


def test_a_forked_process_has_connections_of_its_own(redis_url: str) -> None:
    layer = RedisChannelLayer(config_of("redis", hosts=[redis_url]))
    assert layer.pieces.take_body(ADDRESS, 0) is None
    parent = os.getpid()

    def work() -> None:
        assert os.getpid() != parent
        assert layer.pieces.put_body(ADDRESS, b"from the child")

    wait_for_child(in_child(work))
    assert layer.pieces.take_body(ADDRESS, 1) == b"from the child"
    layer.pieces.close()


def test_if_redis_is_not_there_then_the_error_says_so() -> None:
    layer = RedisChannelLayer(config_of("redis", hosts=["redis://127.0.0.1:1/0"]))
    for call in (
        lambda: layer.pieces.take_body(ADDRESS, 1),
        lambda: layer.pieces.put_body(ADDRESS, b""),
        lambda: layer.pieces.take_credits(ADDRESS, 1),
        lambda: layer.pieces.alive("node"),
        lambda: put(layer, b""),
        lambda: grant(layer, 1),
    ):
        with pytest.raises(LayerUnavailable):
            call()
