"""Runs of reliable channels, which Celery runs as its tasks, counted in the process that is asked, and what waits."""

import json
from pathlib import Path

from tests.integration.observed import Asked, manage, metrics_port
from tests.integration.reliable import ReliableSetup, numbers


def test_given_messages_of_a_reliable_channel_expect_each_run_counted_by_channel(
    redis_url: str, rabbit_url: str, tmp_path: Path
) -> None:
    setup = ReliableSetup(broker=rabbit_url, layer=redis_url, directory=tmp_path)
    setup.migrate()
    setup.send_reliably(*numbers(2))
    with manage(setup, "channelstatus", "--json", "--patience", "0.1") as command:
        assert command.wait(30) == 0
        queues = json.loads(command.output().splitlines()[0])["queues"]
    assert {queue["channel"]: queue["depth"] for queue in queues}["orders"] == 2
    with setup.worker(concurrency=1, arguments=["--metrics", "0"]) as process:
        worker = Asked(process, metrics_port(process))
        setup.send_reliably(*numbers(1))
        seen = worker.wait_for(
            timeout=30, reliable_run_total={("orders", "settled"): 3.0}, queue_depth={("orders", "default"): 0.0}
        )
    assert 0.06 <= seen["reliable_seconds_total", "orders"] < 10
