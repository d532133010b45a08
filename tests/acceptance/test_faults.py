"""What goes away under open sockets: Redis, its data, the broker's connections, a worker, an interface process."""

import contextlib
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.acceptance.chat import expect_chat, expect_people, hear, people, say, status_of, wait_for_chat
from tests.acceptance.sites import Site, open_socket
from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import is_listening
from tests.servers import Process, RabbitServer, RedisServer, free_port, redis_server, wait_until

#: Seconds for the chat to go on once what had gone is back.
SOON = 6.0


@dataclass
class Running:
    """The example site on servers that a test may end.

    Args:
        site: the site.
        redis: holds the layer, and the queues where there is no RabbitMQ.
        rabbit: the broker, if it is not Redis.
        interface: the process that holds sockets.
        worker: the present worker.
        stack: ends what a test started in another's place.
    """

    site: Site
    redis: RedisServer
    rabbit: RabbitServer | None
    interface: Process
    worker: Process
    stack: ExitStack


@pytest.fixture(scope="module", params=["redis", "amqp"])
def running(
    request: pytest.FixtureRequest, migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The example site on a Redis of its own, with RabbitMQ as its broker or that same Redis; once for all tests."""
    site = Site(tmp_path_factory.mktemp("site"))
    shutil.copy(migrated, site.database)
    rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
    with redis_server(appendonly=True) as server, ExitStack() as stack:
        site.broker, site.layer = rabbit.new_vhost() if rabbit else server.database(1), server.url
        interface, worker = stack.enter_context(site.production())
        yield Running(site, server, rabbit, interface, worker, stack)


def wait_until_refused(site: Site) -> None:
    wait_until(lambda: status_of(site.port, "/chat/lobby/") == 503, what="new sockets to be refused")


def wait_until_taken(site: Site) -> None:
    wait_until(lambda: status_of(site.port, "/chat/lobby/") == 101, what="new sockets to be taken", interval=0.1)


def test_given_redis_stopped_and_started_expect_the_chat_to_go_on(running: Running) -> None:
    """Expect open sockets to stay open, and 503 for new ones while it is away."""
    with people(running.site, "Ann", "Bob") as members:
        expect_chat(*members)
        running.redis.stop()
        wait_until_refused(running.site)
        running.redis.start()
        wait_for_chat(*members, within=SOON)
        wait_until_taken(running.site)


def test_given_redis_emptied_expect_the_chat_to_go_on(running: Running) -> None:
    """Item 62."""
    with people(running.site, "Ann", "Bob") as members:
        expect_chat(*members)
        with redis.Redis.from_url(running.redis.url) as client:
            client.flushall()
        wait_for_chat(*members, within=SOON)


def test_given_redis_replaced_by_an_empty_one_expect_the_chat_to_go_on(running: Running) -> None:
    with people(running.site, "Ann", "Bob") as members:
        expect_chat(*members)
        running.redis.kill()
        shutil.rmtree(running.redis.directory / "appendonlydir")
        running.redis.start()
        wait_for_chat(*members, within=SOON)


def test_given_the_brokers_connections_cut_expect_the_chat_to_go_on(running: Running) -> None:
    with people(running.site, "Ann", "Bob") as members:
        expect_chat(*members)
        if running.rabbit is not None:
            running.rabbit.close_connections()
        else:
            with redis.Redis.from_url(running.redis.url) as client:
                client.client_kill_filter(_type="normal", skipme=True)
        wait_for_chat(*members, within=SOON)


def test_given_a_worker_restarted_expect_what_was_said_meanwhile_to_arrive(running: Running) -> None:
    """Expect sockets to stay open, and the queue to keep what nobody ran."""
    # item 11
    with people(running.site, "Ann", "Bob") as members:
        expect_chat(*members)
        running.worker.terminate()
        assert running.worker.wait(15) == 0
        say(members[0], "Is anybody working?")
        running.worker = running.stack.enter_context(running.site.worker(name="next-worker"))
        assert [hear(member)["text"] for member in members] == ["Is anybody working?"] * 2
        expect_chat(*members)


def test_given_an_interface_that_ends_expect_1012_and_nothing_left(running: Running) -> None:
    """Expect each socket to hear 1012, the worker to see each go, and Redis to know neither node nor group."""
    port = free_port()
    former = nodes(running.site.layer)
    with running.site.interface(name="other", port=port) as interface, ExitStack() as stack:
        members = [
            stack.enter_context(open_socket(port, f"/chat/other/?name={name}")) for name in ("Ann", "Bob", "Cyd")
        ]
        expect_chat(*members)
        assert present(running.site, room="other") == 3
        (node,) = nodes(running.site.layer) - former
        interface.terminate()
        assert [close_code(member) for member in members] == [1012] * 3
        assert interface.wait(5) == 0
    wait_until(lambda: present(running.site, room="other") == 0, what="the worker to see them go")
    assert nodes(running.site.layer) == former
    assert keys(running.site.layer, f"*{node}*") == keys(running.site.layer, "cc:group:*other*") == set()


def present(site: Site, room: str) -> int:
    """Count the chat's rows of open sockets of a room."""
    with contextlib.closing(sqlite3.connect(site.database)) as connection:
        rows = connection.execute("SELECT count(*) FROM chat_presence WHERE room = ?", [room])
        return int(rows.fetchone()[0])


def close_code(member: ClientConnection) -> int | None:
    """Wait for the end of a socket."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            member.recv(timeout=10)
    return member.close_code


def test_given_all_of_these_faults_expect_the_list_of_people_to_be_right(running: Running) -> None:
    """Expect who left meanwhile to be gone from the lobby, and the interface never to have ended."""
    with running.site.socket("/chat/lobby/people/") as watcher, people(running.site, "Dan", "Eve"):
        expect_people(watcher, "Dan", "Eve")
    assert running.interface.returncode is None


def nodes(url: str | None) -> set[str]:
    """Return the interface processes that the layer knows."""
    with redis.Redis.from_url(str(url), decode_responses=True) as client:
        return set(client.zrange("cc:nodes", 0, -1))


def keys(url: str | None, pattern: str) -> set[str]:
    """Return the layer's keys that match."""
    with redis.Redis.from_url(str(url), decode_responses=True) as client:
        return set(client.scan_iter(pattern))


#: Sockets of an interface process that is killed.
DOOMED = [f"g{number}" for number in range(20)]


@pytest.fixture
def quick(broker_url: str, redis_url: str, tmp_path: Path) -> WorkerSetup:
    """The test project, where an interface process counts as dead after three seconds."""
    config = json.dumps({"http": "off", "heartbeat": 0.5, "node_expiry": 3.0})
    return WorkerSetup(broker=broker_url, layer=redis_url, directory=tmp_path, config=config)


def open_doomed(stack: ExitStack, setup: WorkerSetup) -> tuple[Process, str]:
    """Start an interface process, open sockets that are in groups, and return it with its node's name."""
    process, port = stack.enter_context(interface(setup))
    for name in DOOMED:
        client = stack.enter_context(open_socket(port, f"/group/{name}/"))
        client.send("here")
        assert client.recv(timeout=10) == "here"
    (node,) = nodes(setup.layer)
    with redis.Redis.from_url(setup.layer) as client:
        # others can tell of a socket's end once Redis knows of it, some 20 ms after it was opened
        wait_until(lambda: client.hlen(f"cc:node:{node}:channels") == len(DOOMED), what="all sockets to be recorded")
    return process, node


def expect_each_to_be_told_once(setup: WorkerSetup, node: str, port: int) -> None:
    """Expect a disconnect of each doomed socket, once, and nothing but a tombstone to be left of its node."""
    setup.wait_for_lines(len(DOOMED), timeout=20)
    # a second one of any of them would run before what is sent now
    with open_socket(port, "/group/other/") as client:
        client.send("still here")
        assert client.recv(timeout=10) == "still here"
    lines = setup.wait_for_lines(len(DOOMED) + 1)
    assert sorted(lines[:-1]) == sorted(f"left {name} 1006 order None" for name in DOOMED)
    assert lines[-1] == "left other 1000 order 2"
    assert keys(setup.layer, f"*{node}*") == {f"cc:tomb:{node}"}


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_given_an_interface_killed_expect_another_to_tell_once_that_its_sockets_ended(quick: WorkerSetup) -> None:
    """Expect that within twice its expiry, here while no worker runs."""
    with ExitStack() as stack:
        with quick.worker(concurrency=1):
            doomed, node = open_doomed(stack, quick)
        other, port = stack.enter_context(interface(quick))
        doomed.kill()
        other.wait_for_output(rf"{len(DOOMED)} connections of interface processes that died", timeout=6)
        stack.enter_context(quick.worker(concurrency=1))
        expect_each_to_be_told_once(quick, node, port)


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_the_only_interface_killed_expect_a_worker_to_tell_once_that_its_sockets_ended(
    quick: WorkerSetup,
) -> None:
    with ExitStack() as stack:
        stack.enter_context(quick.worker(concurrency=1))
        doomed, node = open_doomed(stack, quick)
        doomed.kill()
        quick.wait_for_lines(len(DOOMED), timeout=12)
        _, port = stack.enter_context(interface(quick))
        expect_each_to_be_told_once(quick, node, port)


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_given_a_redis_that_was_frozen_expect_each_message_once(
    broker_url: str, new_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    """Expect answers that come too late to be taken for no others: what is sent afterwards comes once, in order."""
    server, config = new_redis(), json.dumps({"http": "off", "publish_timeout": 0.5})
    setup = WorkerSetup(broker=broker_url, layer=server.url, directory=tmp_path, config=config)
    with setup.worker(concurrency=1), interface(setup) as (process, port), open_socket(port, "/group/g/") as client:
        client.send("before")
        assert client.recv(timeout=10) == "before"
        server.pause()
        process.wait_for_output("did not answer")
        wait_until(lambda: status_of(port, "/group/g/") == 503, what="new sockets to be refused")
        server.resume()
        wait_until(lambda: status_of(port, "/deny/") == 403, what="new sockets to be taken")
        said = [f"after {number}" for number in range(20)]
        for text in said:
            client.send(text)
            assert client.recv(timeout=10) == text
        assert "Traceback" not in process.output()


@contextmanager
def interface(setup: WorkerSetup) -> Iterator[tuple[Process, int]]:
    """Run an interface of the test project."""
    port = free_port()
    command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
    with Process(command, env=setup.env(), cwd=ROOT, name="interface") as process:
        process.wait_for_output("sockets are taken")
        wait_until(lambda: is_listening(port), what="the interface to listen")
        yield process, port
