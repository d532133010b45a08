"""Interface and worker with keys, as processes: they understand each other, and nobody who has none."""

import json
import sys
from pathlib import Path

import pytest
import redis
from websockets.sync.client import connect

from tests.acceptance.chat import status_of
from tests.integration.workers import ROOT, WorkerSetup
from tests.servers import Process, free_port, redis_server, wait_until

OLD, NEW = "o" * 40, "n" * 40


def config(*keys: str) -> str:
    return json.dumps({"http": "off", "connect_timeout": 5, "symmetric_encryption_keys": keys})


def test_given_keys_that_are_being_exchanged_expect_echo_and_a_forger_to_be_ignored(tmp_path: Path) -> None:
    """If the worker has the new key first and the interface the old one, expect both to be understood."""
    with redis_server() as server:
        setup = WorkerSetup(server.database(1), server.url, tmp_path, config(OLD, NEW))
        port = free_port()
        command = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
        with Process(command, env=setup.env(), cwd=ROOT, name="interface") as interface:
            setup.config = config(NEW, OLD)
            with setup.worker(concurrency=1) as worker:
                wait_until(lambda: status_of(port, "/echo/") == 101, timeout=20, what="sockets to be taken")
                with connect(f"ws://127.0.0.1:{port}/echo/", proxy=None) as client:
                    client.send("nobody is to see this")
                    assert client.recv(timeout=10) == "nobody is to see this"
                    start = len(worker.output())
                    setup.send("work", [{"number": 1, "seconds": 0}])  # without a key
                    worker.wait_for_output(r"in the queue 'cc:work' cannot be read and is dropped", start=start)
                    with redis.Redis.from_url(server.url) as raw:
                        (inbox,) = raw.keys("cc:inbox:*")
                        raw.xadd(inbox, {"g": "anything", "b": b"\x81\xa4text\xa6forged"})
                    interface.wait_for_output("unreadable inbox entry was skipped")
                    client.send("still here")
                    assert client.recv(timeout=10) == "still here"
                assert setup.lines() == []
            assert not any(key in process.output() for key in (OLD, NEW) for process in (interface, worker))


@pytest.mark.parametrize("key", ["short", 5])
def test_given_a_key_that_can_be_guessed_expect_an_error_that_does_not_show_it(tmp_path: Path, key: object) -> None:
    settings = json.dumps({"symmetric_encryption_keys": [key]})
    setup = WorkerSetup("memory://", "redis://127.0.0.1:1", tmp_path, settings)
    with Process([sys.executable, "-m", "django", "check"], env=setup.env(), cwd=ROOT) as check:
        assert check.wait(30) != 0
        assert "symmetric_encryption_keys" in check.output()
        assert "'short'" not in check.output()
