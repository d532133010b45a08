"""`manage.py channelstatus` over real processes."""

import json
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery

from channelcelery.observe import status as module
from tests.integration.observed import manage, site
from tests.integration.workers import WorkerSetup
from tests.servers import LOOPBACK, free_port, wait_until


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_processes_expect_them_at_a_glance_as_text_and_json(setup: WorkerSetup) -> None:
    paths = ("/group/a/", "/group/a/", "/group/b/")
    with site(setup, concurrency=2) as running, ExitStack() as sockets:
        for path in paths:
            sockets.enter_context(running.socket(path))
        setup.send("raise", [{"number": 1}])
        running.worker.wait_for(run_total=5.0, failed_total=1.0)
        wait_until(lambda: running.interface.samples()["groups",] == 2, what="the groups")
        watch = manage(setup, "channelstatus", "--json", "--watch", "0.2")
        with watch, manage(setup, "channelstatus") as command:
            watch.wait_for_output(r"\}\n\{.*\}\n", timeout=30)  # it goes on
            watch.signal(signal.SIGINT)
            assert watch.wait(10) == 0
            status = json.loads(watch.output().splitlines()[0])
            assert command.wait(30) == 0
            text = command.output()
    [node], [worker] = status["nodes"], status["workers"]
    assert (node["alive"], node["connections"], node["groups"]) == (True, 3, 2)
    assert (worker["pool"], worker["slots"]) == ("prefork", 2)
    assert (worker["ran"], worker["failed"], worker["dropped"]) == (5, 1, 0)
    assert {"layer": "default", "channel": "work", "depth": 0, "capacity": 10_000} in status["queues"]
    assert status["problems"] == []
    assert "1 interface processes, 3 connections" in text
    assert "1 workers" in text
    assert node["node"] in text


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_nothing_that_runs_expect_it_said_and_messages_that_wait_counted(setup: WorkerSetup) -> None:
    setup.send_work(3, 0)
    with manage(setup, "channelstatus", "--json", "--patience", "0.2") as command:
        assert command.wait(30) == 0
        status = json.loads(command.output().splitlines()[0])
    assert status["nodes"] == status["workers"] == status["problems"] == []
    assert {queue["channel"]: queue["depth"] for queue in status["queues"]}["work"] == 3


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_given_a_broker_that_refuses_connections_expect_it_said_within_seconds(
    redis_url: str, tmp_path: Path, scheme: str
) -> None:
    setup = WorkerSetup(f"{scheme}://{LOOPBACK}:{free_port()}", redis_url, tmp_path)
    with manage(setup, "check") as command:  # what a command takes by itself
        begun = time.monotonic()
        assert command.wait(30) == 0
        by_itself = time.monotonic() - begun
    with manage(setup, "channelstatus", "--json") as command:
        begun = time.monotonic()
        assert command.wait(30) == 0
        took = time.monotonic() - begun
        status = json.loads(command.output().splitlines()[0])
    assert took < 2 * by_itself + 3
    assert (status["queues"], status["workers"]) == ([], [])
    assert len(status["problems"]) == 1
    assert "the broker cannot be reached" in status["problems"][0]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_given_a_broker_that_takes_connections_and_says_nothing_expect_it_given_up(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    found: list[str | None] = []
    with socket.create_server((LOOPBACK, 0)) as silent:
        app = Celery("silent", broker=f"{scheme}://{LOOPBACK}:{silent.getsockname()[1]}", set_as_current=False)
        monkeypatch.setattr(module, "broker_app", lambda: app)
        asking = threading.Thread(target=lambda: found.append(module._broker_problem()), daemon=True)
        asking.start()
        asking.join(10)
    assert len(found) == 1, "it waits for longer than it should"
    assert found[0]
