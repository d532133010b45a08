"""A trace from the frame through the queue and the consumer to what it sends, over real processes."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.integration.observed import site
from tests.integration.reliable import ReliableSetup
from tests.integration.workers import WorkerSetup
from tests.servers import wait_until

Span = dict[str, Any]


def spans_in(path: Path) -> list[Span]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_a_recorder_expect_one_trace_for_each_frame(setup: WorkerSetup) -> None:
    file = setup.directory / "spans"
    setup.environment["TEST_SPANS"] = str(file)
    with site(setup, concurrency=1) as running, running.socket("/echo/") as client:
        for text in ("first", "second"):
            client.send(text)
            assert client.recv(timeout=10) == text
        client.send("raise")

        def processed() -> list[Span] | None:
            found = [span for span in spans_in(file) if span["name"] == "process websocket.receive"]
            return found if len(found) == 3 else None

        processings = wait_until(processed, what="three spans of the consumer")
        spans = spans_in(file)
    by_id = {span["context"]["span_id"]: span for span in spans}
    interface, worker = running.interface.process.pid, running.worker.process.pid
    for process in processings:
        frame = by_id[process["parent_id"]]
        assert (frame["name"], frame["kind"], frame["pid"]) == (
            "send websocket.receive",
            "SpanKind.PRODUCER",
            interface,
        )
        assert frame["parent_id"] is None
        assert process["kind"] == "SpanKind.CONSUMER"
        assert process["pid"] not in (interface, worker)  # a process of the pool
        assert process["attributes"]["code.function.name"] == "tests.project.consumers.echo"
    assert len({span["context"]["trace_id"] for span in processings}) == 3
    *echoes, failed = processings
    for process in echoes:
        [reply] = [span for span in spans if span["parent_id"] == process["context"]["span_id"]]
        assert reply["name"] == "send websocket.send"
        assert process["status"]["status_code"] == "UNSET"
    assert failed["status"] == {"status_code": "ERROR", "description": "RuntimeError"}
    assert failed["events"][0]["attributes"]["exception.message"] == "on purpose"
    # a reply channel's name is a secret
    assert "websocket.send!" not in file.read_text()


_SEND = """
import django
django.setup()
from channelcelery import Channel
Channel("fails").send({"how": "once"})
Channel("orders").send({"number": 1}, delay=300)
Channel("plain").send({"number": 2}, delay=300)
"""


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_reliable_and_delayed_messages_expect_their_traces_to_go_on(
    broker_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Given one that fails once and sends another on, and two that wait / Expect each trace to reach to its end."""
    file = tmp_path / "spans"
    setup = ReliableSetup(broker_url, redis_url, tmp_path, environment={"TEST_SPANS": str(file)})
    setup.migrate()
    setup.python(_SEND)
    with setup.worker("prefork", concurrency=1):
        wait_until(lambda: sum("process" in span["name"] for span in spans_in(file)) == 5, what="all runs", timeout=30)
    names: dict[str, list[str]] = defaultdict(list)
    parents: dict[str, str] = {}
    by_id = {span["context"]["span_id"]: span["name"] for span in spans_in(file)}
    for span in spans_in(file):
        names[span["context"]["trace_id"]].append(span["name"])
        parents.setdefault(span["name"], by_id.get(span["parent_id"], ""))
    assert sorted(sorted(each) for each in names.values()) == [
        ["process fails", "process fails", "process plain", "send fails", "send plain", "send plain"],
        ["process orders", "send orders"],
        ["process plain", "send plain", "send plain"],
    ]
    assert parents["process fails"] == "send fails", "the second run's too"
    assert parents["process orders"] == "send orders"
