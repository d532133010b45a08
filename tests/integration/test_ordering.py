"""enforce_ordering through a real interface and a real worker (Channels 1.x, items 155 to 172)."""

import asyncio
import itertools
import json
import threading

import pytest
import redis

from tests.integration.ordered import (
    Client,
    OrderedSite,
    Ran,
    StallWatch,
    check_strict,
    many,
    ordered_site,
    send_all,
)
from tests.integration.workers import WorkerSetup
from tests.processes import wait_until
from tests.scale import scaled

#: seconds after which a socket goes on, where a test waits for it
STALL = 2.0
#: what a busy machine may add to it
SLACK = 1.5


def talk(site: OrderedSite, path: str, *texts: str, patience: float = 20) -> Client:
    """Open a socket, send everything at once, and read until the last text came back."""
    client = Client()

    async def run() -> None:
        async with site.open(path) as socket:
            await send_all(socket, list(texts), client, patience)

    asyncio.run(run())
    return client


def by_socket(site: OrderedSite, sockets: int) -> list[list[Ran]]:
    ran = site.ran()
    return [[each for each in ran if each.name == str(number)] for number in range(sockets)]


def orders(ran: list[Ran], event: str | None = None) -> list[int | None]:
    return [each.order for each in ran if event in (None, each.event)]


def test_given_sockets_that_send_as_fast_as_they_can_then_order_is_kept_on_every_one(setup: WorkerSetup) -> None:
    """Items 157, 158, 165 to 167, 169 and 171, with 4 processes: replies come in order too, and no count is lost."""
    texts = [str(number) for number in range(100)]
    with ordered_site(setup) as site, StallWatch(setup.layer) as watch:
        clients = asyncio.run(many(site, "strict", 20, texts, patience=60))
        wait_until(lambda: len(site.counted()) == 20, timeout=60, what="20 disconnects")
        ran = by_socket(site, 20)
        counted = site.counted()
    for client, runs in zip(clients, ran, strict=True):
        assert client.code is None
        assert client.got == texts
        assert orders(runs) == list(range(102))
        check_strict(runs)
    assert set(counted.values()) == {"100"}
    assert watch.looks
    assert watch.longest < 5


def test_if_processes_are_killed_all_the_time_then_order_is_kept_and_no_socket_stalls_for_longer_than_the_limit(
    setup: WorkerSetup,
) -> None:
    """Items 157, 161, 166 and 171, with 4 processes of which one is killed every second."""
    setup.config = json.dumps({"order_stall": 2 * STALL})
    texts = [f"sleep 0.005 {number}" for number in range(100)]
    stop = threading.Event()

    def kill() -> None:
        for number in itertools.count():
            if stop.wait(1):
                return
            site.kill_child(number)

    with ordered_site(setup) as site, StallWatch(setup.layer) as watch:
        killer = threading.Thread(target=kill, daemon=True)
        clients = asyncio.run(
            many(site, "strict", 20, texts, patience=30, when_open=killer.start, before_close=stop.set)
        )
        wait_until(lambda: all(any(r.event == "disconnect" for r in runs) for runs in by_socket(site, 20)), timeout=60)
        killer.join()
        ran = by_socket(site, 20)
    for client, runs in zip(clients, ran, strict=True):
        assert client.code is None
        assert client.got == sorted(client.got, key=texts.index)
        check_strict(runs)
        assert runs[-1].event == "disconnect"
    assert sum(map(len, ran)) > 20 * 102 * 0.9
    assert watch.longest <= 2 * STALL + SLACK


@pytest.mark.soak
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.parametrize("killing", [False, True], ids=["undisturbed", "killing"])
def test_given_more_messages_than_there_is_room_for_then_room_goes_round_and_no_socket_closes(
    setup: WorkerSetup, killing: bool
) -> None:
    """Items 60 and 157: in full with every setting at its default, in short with less of everything."""
    setup.config = scaled(json.dumps({"channel_capacity": {"websocket.receive": 20}, "publish_buffer": 20}), "{}")
    sockets, frames = scaled((8, 25), (200, 100))
    texts = [str(number) for number in range(frames)]
    stop = threading.Event()

    def kill() -> None:
        for number in itertools.count():
            if stop.wait(scaled(4, 1)):
                return
            site.kill_child(number)

    with ordered_site(setup) as site, StallWatch(setup.layer) as watch:
        killer = threading.Thread(target=kill, daemon=True)
        begin = killer.start if killing else lambda: None
        clients = asyncio.run(many(site, "strict", sockets, texts, 60, begin, stop.set))
        ran = by_socket(site, sockets)
    assert [client.code for client in clients] == [None] * sockets
    for client, runs in zip(clients, ran, strict=True):
        assert client.got == sorted(client.got, key=texts.index)
        assert killing or client.got == texts
        check_strict(runs)
    # a busy machine needs seconds to start a process, so that in short few may be there to run anything
    assert sum(len(client.got) for client in clients) >= sockets * frames * scaled(0.3, 0.9)
    assert watch.longest <= 10 + SLACK


def test_if_a_consumer_raises_takes_long_or_asks_to_run_later_then_the_next_message_comes_after_it(
    setup: WorkerSetup,
) -> None:
    """Items 157, 158, 165 and 170, and defect 4."""
    setup.config = json.dumps({"order_stall": STALL})
    texts = ["raise", "a", "later", "b", f"sleep {1.5 * STALL}", "c"]
    with ordered_site(setup) as site:
        client = talk(site, "/strict/x/", *texts)
        ran = site.wait_for("x", "disconnect")
    # a consumer's sends leave also if it raised, and each time it runs
    assert client.got == ["raise", "a", "later", "later", "b", f"sleep {1.5 * STALL}", "c"]
    assert orders(ran) == [0, 1, 2, 3, 3, 4, 5, 6, 7]
    for before, after in itertools.pairwise(ran):
        assert before.ended <= after.begun


def test_if_a_process_is_killed_by_a_message_then_the_socket_goes_on_with_the_next_one(setup: WorkerSetup) -> None:
    """Items 161 and 170: within the limit."""
    setup.config = json.dumps({"order_stall": STALL})
    with ordered_site(setup) as site, StallWatch(setup.layer) as watch:
        client = talk(site, "/strict/x/", "a", "kill", "b", "c")
        ran = site.wait_for("x", "disconnect")
        site.worker.wait_for_output("connections go on without 0 messages that did not come and 1")
    # what the killed one sent is lost with it
    assert client.got == ["a", "b", "c"]
    assert orders(ran) == [0, 1, 3, 4, 5]
    check_strict(ran)
    assert STALL / 2 < watch.longest <= STALL + SLACK


def test_given_a_connect_without_order_then_frames_run_at_once_and_in_order(setup: WorkerSetup) -> None:
    """Item 163 and defect 5: in 1.x nothing of such a socket ever ran."""
    with ordered_site(setup) as site, StallWatch(setup.layer) as watch:
        client = talk(site, "/bare/x/", *map(str, range(20)))
        ran = site.wait_for("x", "disconnect")
    assert client.got == [*map(str, range(20))]
    assert orders(ran) == list(range(1, 22))
    check_strict(ran)
    assert watch.longest < 5


@pytest.mark.parametrize("path", ["strict", "class-strict"])
def test_if_a_message_is_lost_or_comes_twice_then_the_socket_goes_on_within_the_limit_and_nothing_runs_twice(
    setup: WorkerSetup, path: str
) -> None:
    """Items 161, 162, 164 and 168, and defect 5: messages as an interface sends them, some of them not."""
    setup.config = json.dumps({"order_stall": STALL})
    with ordered_site(setup) as site:

        def message(order: object, event: str = "receive") -> None:
            content = {"reply_channel": "websocket.send!node.x", "path": f"/{path}/x/", "order": order, "text": "t"}
            setup.send(f"websocket.{event}", [content | {"code": 1000}])

        message(0, "connect")
        site.wait_for("x", "connect")
        for order in (4, "3", 2, 2, 7, 8):
            message(order)
        site.wait_for("x", "receive", 8)
        message(1)
        message(8)
        message(9, "disconnect")
        ran = site.wait_for("x", "disconnect")
        message(10)
        message(11)
        site.worker.wait_for_output("came twice, or after its turn was over")
    assert [str(each.order) for each in ran] == ["0", "2", "3", "4", "7", "8", "9"]
    for before, after in itertools.pairwise(ran):
        assert before.ended <= after.begun
        assert after.begun - before.ended <= STALL + SLACK
    assert orders(site.ran("x")) == orders(ran)


@pytest.mark.parametrize("path", ["slight", "class-slight"])
def test_given_slight_order_then_connect_runs_first_and_the_others_beside_each_other(
    setup: WorkerSetup, path: str
) -> None:
    """Items 2, 172 and 187."""
    with ordered_site(setup) as site:
        talk(site, f"/{path}/x/", "sleep 0.5 a", "sleep 0.5 b", "sleep 0.5 c", "d")
        wait_until(lambda: len(site.ran("x")) == 6, timeout=20, what="six runs")
        ran = site.ran("x")
    assert (ran[0].event, ran[0].order) == ("connect", 0)
    assert all(each.begun >= ran[0].ended for each in ran[1:])
    sleepers = [each for each in ran if each.order in (1, 2, 3)]
    assert max(each.begun for each in sleepers) < min(each.ended for each in sleepers), "at the same time"


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_strict_order_as_a_flag_of_a_class_then_it_is_the_same(setup: WorkerSetup) -> None:
    """Items 164 and 187: frames that come while connect runs wait for it."""
    with ordered_site(setup) as site:
        client = talk(site, "/class-strict/x/", *map(str, range(50)))
        ran = site.wait_for("x", "disconnect")
    assert client.got == [*map(str, range(50))]
    assert orders(ran) == list(range(52))
    check_strict(ran)


@pytest.mark.parametrize("pool", ["threads", "solo"])
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_another_pool_then_order_is_kept_there_too(setup: WorkerSetup, pool: str) -> None:
    texts = [str(number) for number in range(50)]
    with ordered_site(setup, pool) as site:
        clients = asyncio.run(many(site, "strict", 10, texts))
        wait_until(lambda: len(site.counted()) == 10, timeout=60, what="10 disconnects")
        ran = by_socket(site, 10)
    assert [client.got for client in clients] == [texts] * 10
    for runs in ran:
        check_strict(runs)


def test_if_too_many_messages_of_a_socket_wait_then_it_closes_and_its_disconnect_runs_last(setup: WorkerSetup) -> None:
    """Item 160, better: with 1013, after 100 that wait."""
    setup.config = json.dumps({"order_stall": STALL})
    with ordered_site(setup) as site:
        client = talk(site, "/strict/x/", "sleep 4", *map(str, range(150)))
        ran = site.wait_for("x", "disconnect")
    assert client.code == 1013
    assert ran[-1].event == "disconnect"
    # four processes read them, so that the hundred that find room need not be the first
    assert orders(ran)[:2] == [0, 1]
    assert len(ran) >= 2 + 100 + 1
    check_strict(ran)


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_workers_for_some_channels_only_then_each_runs_its_own_in_order(setup: WorkerSetup) -> None:
    """A worker hands on what it may not run, and nothing of it waits for the sweep."""
    with (
        ordered_site(setup, arguments=("--only-channels=websocket.receive", "-n", "a@test")) as site,
        setup.worker("prefork", 1, ["--exclude-channels=websocket.receive", "-n", "b@test"]),
        StallWatch(setup.layer) as watch,
    ):
        client = talk(site, "/class-strict/x/", *map(str, range(40)))
        ran = site.wait_for("x", "disconnect")
    assert client.got == [*map(str, range(40))]
    assert orders(ran) == list(range(42))
    check_strict(ran)
    assert watch.longest < 5


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_if_the_interface_is_killed_then_the_disconnect_runs_after_all_that_came(setup: WorkerSetup) -> None:
    """Items 116 and 171: it has no number."""
    setup.config = json.dumps({"heartbeat": 0.3, "node_expiry": 1})
    with ordered_site(setup) as site, redis.Redis.from_url(setup.layer) as store:

        def waiting() -> int:
            return sum(map(store.hlen, store.keys("cc:parked:*")))

        async def run() -> None:
            async with site.open("/strict/x/") as socket:
                for text in ("a", "sleep 3", "b", "c"):
                    await socket.send(text)
                await socket.recv()
                await asyncio.to_thread(wait_until, lambda: waiting() == 2, what="b and c to wait for their turn")
                site.interface.kill()

        asyncio.run(run())
        ran = site.wait_for("x", "disconnect")
    assert orders(ran) == [0, 1, 2, 3, 4, None]
    for before, after in itertools.pairwise(ran):
        assert before.ended <= after.begun


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_when_sockets_have_closed_then_no_key_of_theirs_stays_for_long(setup: WorkerSetup) -> None:
    """Defect 15."""
    with ordered_site(setup) as site, redis.Redis.from_url(setup.layer) as client:
        talk(site, "/strict/x/", "a")
        site.wait_for("x", "disconnect")
        talk(site, "/bare-end/y/", "a", "b", patience=2)
        keys = wait_until(lambda: None if client.zcard("cc:ordering") else client.keys("cc:order:*"))
        wait_until(lambda: all(0 < client.ttl(key) <= 120 for key in client.keys("cc:order:*")), timeout=10)
        assert len(keys) == 2
        assert client.keys("cc:parked:*") == []
