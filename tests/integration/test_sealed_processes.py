"""Interface and worker with keys, as processes: they understand each other, and nobody who has none."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from kombu import Connection
from websockets.sync.client import ClientConnection, connect

from channelcelery.broker.publisher import CONTENT_TYPE
from channelcelery.core.sealing import MARK
from tests.acceptance.chat import status_of
from tests.integration.workers import ROOT, WorkerSetup
from tests.scale import FULL
from tests.servers import Process, free_port, redis_server, wait_until

OLD, NEW = "o" * 40, "n" * 40
SECRET = "nobody is to see this"


def config(*keys: str) -> str:
    return json.dumps({"http": "off", "connect_timeout": 5, "symmetric_encryption_keys": keys})


@contextmanager
def interface(setup: WorkerSetup) -> Iterator[tuple[Process, int]]:
    """Run an interface process, which may still be starting; gives its port too."""
    port = free_port()
    command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
    with Process(command, env=setup.env(), cwd=ROOT, name="interface") as process:
        yield process, port


def test_given_keys_that_are_being_exchanged_expect_echo_and_a_forger_to_be_ignored(tmp_path: Path) -> None:
    """If the worker has the new key first and the interface the old one, expect both to be understood."""
    with redis_server() as server:
        setup = WorkerSetup(server.database(1), server.url, tmp_path, config(OLD, NEW))
        with interface(setup) as (process, port):
            setup.config = config(NEW, OLD)
            with setup.worker(concurrency=1) as worker:
                wait_until(lambda: status_of(port, "/echo/") == 101, timeout=20, what="sockets to be taken")
                with connect(f"ws://127.0.0.1:{port}/echo/", proxy=None) as client:
                    expect_echo(client)
                    start = len(worker.output())
                    setup.send("work", [{"number": 1, "seconds": 0}])  # without a key
                    worker.wait_for_output(r"in the queue 'cc:work' cannot be read and is dropped", start=start)
                    with redis.Redis.from_url(server.url) as raw:
                        (inbox,) = raw.keys("cc:inbox:*")
                        raw.xadd(inbox, {"g": "anything", "b": b"\x81\xa4text\xa6forged"})
                    process.wait_for_output("unreadable inbox entry was skipped")
                    expect_echo(client)
                assert setup.lines() == []
            assert not any(key in each.output() for key in (OLD, NEW) for each in (process, worker))


def expect_echo(client: ClientConnection) -> None:
    client.send(SECRET)
    assert client.recv(timeout=10) == SECRET


@pytest.mark.soak
@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_given_rabbitmq_and_keys_exchanged_step_by_step_expect_all_that_waits_to_run_and_none_to_be_read(
    setup: WorkerSetup,
) -> None:
    """Given frames that wait in the queue while no worker runs, written with the old key and with the new one.

    Expect workers to take both for as long as they have both keys, what was moved from another queue to be dropped,
    and, when the old key is given up, what was written with it to be dropped.
    """
    queue = "cc:websocket.receive"
    setup.config = config(OLD, NEW)
    with interface(setup) as (_, port), ExitStack() as stack:
        with setup.worker(concurrency=1):
            wait_until(lambda: status_of(port, "/echo/") == 101, timeout=20, what="sockets to be taken")
            client = stack.enter_context(connect(f"ws://127.0.0.1:{port}/echo/", proxy=None))
            expect_echo(client)
        client.send(SECRET)
        body = wait_until(lambda: body_in(setup, queue), what="the frame in the queue")
        assert body.startswith(MARK)
        assert SECRET.encode() not in body
        put(setup, "cc:work", body)
        setup.config = config(NEW, OLD)
        with setup.worker(concurrency=1) as worker:
            assert client.recv(timeout=20) == SECRET
            worker.wait_for_output(r"in the queue 'cc:work' cannot be read and is dropped")
        setup.config = config(NEW)
        with setup.worker(concurrency=1) as worker:
            start = len(worker.output())
            client.send(SECRET)  # by an interface that still has the old key first
            worker.wait_for_output(rf"in the queue '{queue}' cannot be read and is dropped", start=start)
    if not FULL:
        return
    with interface(setup) as (_, port), setup.worker(concurrency=1):
        wait_until(lambda: status_of(port, "/echo/") == 101, timeout=20, what="sockets to be taken")
        with connect(f"ws://127.0.0.1:{port}/echo/", proxy=None) as client:
            expect_echo(client)


def body_in(setup: WorkerSetup, queue: str) -> bytes | None:
    """Return what the oldest message in a queue holds, and leave it there."""
    with Connection(setup.broker) as connection, connection.channel() as amqp_channel:
        message = amqp_channel.basic_get(queue)
        if message is None:
            return None
        amqp_channel.basic_reject(message.delivery_tag, requeue=True)
        return bytes(message.body)


def put(setup: WorkerSetup, queue: str, body: bytes) -> None:
    """Put a message into a queue as it is."""
    with Connection(setup.broker) as connection:
        publish = connection.Producer().publish
        publish(body, exchange="", routing_key=queue, content_type=CONTENT_TYPE, content_encoding="binary")


@pytest.mark.parametrize("key", ["short", 5])
def test_given_a_key_that_can_be_guessed_expect_an_error_that_does_not_show_it(tmp_path: Path, key: object) -> None:
    settings = json.dumps({"symmetric_encryption_keys": [key]})
    setup = WorkerSetup("memory://", "redis://127.0.0.1:1", tmp_path, settings)
    with Process([sys.executable, "-m", "django", "check"], env=setup.env(), cwd=ROOT) as check:
        assert check.wait(30) != 0
        assert "symmetric_encryption_keys" in check.output()
        assert "'short'" not in check.output()
