"""What a Celery worker does with channels: on each pool and on both brokers."""

from functools import partial

import pytest
from kombu import Connection

from tests.integration.workers import WorkerSetup

POOLS = ["prefork", "threads", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_given_messages_of_every_kind_then_each_consumer_runs_once(setup: WorkerSetup, pool: str) -> None:
    setup.send_work(20, 0)
    setup.send("work-async", [{"number": 1}])
    setup.send("raise", [{"number": 1}])
    setup.send("forward", [{"number": 2}])
    with setup.worker(pool) as worker:
        lines = setup.wait_for_lines(24)
        output = worker.output()
    assert sorted(lines) == sorted([*map(str, range(20)), "async 1", "sent by 1", "2 a", "2 b"])
    assert "the consumer tests.project.consumers.fail raised" in output
    assert "RuntimeError: on purpose" in output


@pytest.mark.parametrize("pool", POOLS)
def test_if_a_worker_gets_sigterm_in_a_backlog_then_what_ran_and_what_is_left_is_what_was_sent(
    setup: WorkerSetup, pool: str
) -> None:
    setup.send_work(1_000, 0.02)
    with setup.worker(pool) as worker:
        setup.wait_for_lines(60)
        worker.terminate()
        assert worker.wait(30) == 0
        ran = setup.lines()
        left = setup.left()
    assert len(ran) == len(set(ran)), "none ran twice"
    assert len(ran) + left == 1_000, worker.output()
    assert left > 0


@pytest.mark.parametrize("pool", POOLS)
def test_if_a_queue_holds_garbage_then_it_is_logged_dropped_and_the_rest_runs(setup: WorkerSetup, pool: str) -> None:
    setup.send_work(1, 0)
    with Connection(setup.broker) as connection:
        publish = partial(connection.Producer().publish, exchange="", routing_key="cc:work")
        for body in (b"", b"\xff\x00garbage", b"\x93\x01\x02\x03", b"\x81\xa1v\x01"):
            publish(body, content_type="application/x-anything", content_encoding="binary")
        publish({"a": 1}, serializer="json")
    setup.send_work(1, 0)
    with setup.worker(pool) as worker:
        setup.wait_for_lines(2)
        worker.wait_for_output(r"(cannot be read and is dropped[\s\S]*){5}")
    assert setup.left() == 0
