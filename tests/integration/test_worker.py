"""What a Celery worker does with channels: on each pool and on both brokers."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import pytest
import redis
from celery import Celery
from kombu import Connection

from channelcelery.core.envelope import encode_content, encode_item
from tests.integration.workers import NEVER, WorkerSetup
from tests.processes import wait_until
from tests.scale import scaled
from tests.servers import RabbitServer, RedisServer

POOLS = ["prefork", "threads", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_given_messages_of_every_kind_then_each_consumer_runs_once(setup: WorkerSetup, pool: str) -> None:
    """Items 9, 12 and 14."""
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
    """Item 87, and defect 19."""
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


def cut_connections(setup: WorkerSetup, rabbit: RabbitServer) -> None:
    """Make the broker end every connection of its clients."""
    if setup.broker.startswith("amqp"):
        rabbit.close_connections()
        return
    with redis.Redis.from_url(setup.broker) as client:
        for kind in ("normal", "pubsub"):
            client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


@pytest.mark.soak
@pytest.mark.parametrize("pool", POOLS)
def test_if_the_brokers_connections_are_cut_in_a_backlog_then_each_message_still_runs_once(
    setup: WorkerSetup, pool: str, rabbit_shared: RabbitServer
) -> None:
    count = scaled(300, 1_000)
    setup.send_work(count, 0.02)
    with setup.worker(pool, concurrency=8) as worker:
        setup.wait_for_lines(50)
        cut_connections(setup, rabbit_shared)
        worker.wait_for_output(r"(Connection to broker lost|[Cc]onnection.*(lost|error|closed))")
        setup.wait_for_lines(count)
        worker.terminate()
        assert worker.wait(30) == 0
        lines = setup.lines()
    assert sorted(map(int, lines)) == list(range(count))


@pytest.mark.soak
def test_if_the_brokers_connections_are_cut_again_and_again_then_the_worker_goes_on_each_time(
    setup: WorkerSetup, rabbit_shared: RabbitServer
) -> None:
    times, count = scaled((5, 250), (20, 1_000))
    setup.send_work(count, 0.02)
    with setup.worker("prefork", concurrency=1) as worker:
        for _ in range(times):
            setup.wait_for_lines(min(count, len(setup.lines()) + 10))
            cut_connections(setup, rabbit_shared)
        setup.wait_for_lines(count)
        assert worker.returncode is None
        lines = setup.lines()
    assert sorted(map(int, lines)) == list(range(count))


@pytest.mark.soak
def test_if_workers_are_started_again_and_again_on_a_backlog_then_they_run_it_each_time(setup: WorkerSetup) -> None:
    setup.send_work(1_000, 0.02)
    for _ in range(scaled(1, 5)):
        before = len(setup.lines())
        with ExitStack() as stack:
            # four at once, since most of the time goes by while a worker starts
            started = [setup.start("prefork", concurrency=1, arguments=["-n", f"{name}@test"]) for name in "abcd"]
            workers = [stack.enter_context(worker) for worker in started]
            for worker in workers:
                worker.wait_for_output(r"running \d+ channels", timeout=30)
            setup.wait_for_lines(before + 20)
            for worker in workers:
                worker.terminate()
            assert [worker.wait(30) for worker in workers] == [0, 0, 0, 0]
    lines = setup.lines()
    assert len(lines) == len(set(lines))
    assert len(lines) + setup.left() == 1_000


def test_given_plain_tasks_of_the_same_app_then_the_worker_runs_both(setup: WorkerSetup) -> None:
    setup.send_work(5, 0)
    with Connection(setup.broker) as connection:
        task = Celery("sender", broker=setup.broker).signature("tests.project.note", ["a plain task"])
        task.apply_async(connection=connection)
    with setup.worker("prefork"):
        lines = setup.wait_for_lines(6)
    assert sorted(lines) == ["0", "1", "2", "3", "4", "a plain task"]


def test_if_a_consumer_always_asks_to_run_later_then_its_message_runs_eleven_times_and_others_go_on(
    setup: WorkerSetup,
) -> None:
    """Item 80."""
    setup.send("later", [{"number": 1}])
    setup.send_work(5, 0)
    with setup.worker("prefork", concurrency=1) as worker:
        worker.wait_for_output("never_ready raised ConsumeLater 11 times on a message of later: dropped")
        lines = setup.wait_for_lines(16)
    assert sorted(lines) == [*map(str, range(5)), *["not yet 1"] * 11]
    assert setup.left("later") == 0


def test_if_a_consumer_kills_its_process_then_the_worker_goes_on(setup: WorkerSetup) -> None:
    """Item 13."""
    with setup.worker("prefork", concurrency=1) as worker:
        setup.send("kill", [{"number": 1}])
        worker.wait_for_output("was lost with the process that ran", timeout=30)
        setup.send_work(3, 0)
        assert sorted(setup.wait_for_lines(3)) == ["0", "1", "2"]
        assert worker.output().count("was lost with the process") == 1, "it is not run again"
        worker.terminate()
        assert worker.wait(20) == 0
    assert setup.left("kill") == 0


@pytest.mark.parametrize("option", ["--only-channels=wo*", "--exclude-channels=forward"])
def test_given_filters_then_only_these_channels_run(setup: WorkerSetup, option: str) -> None:
    """Item 88."""
    setup.send("forward", [{"number": 1}])
    setup.send_work(2, 0)
    with setup.worker("solo", arguments=[option]):
        assert sorted(setup.wait_for_lines(2)) == ["0", "1"]
    assert setup.left("forward") == 1


def test_if_another_process_of_the_layer_uses_another_broker_then_a_worker_refuses_to_start(
    setup: WorkerSetup, redis_server_shared: RedisServer
) -> None:
    with setup.worker("solo"):
        other = replace(setup, broker=redis_server_shared.database(0))
        with other.start("solo") as process:
            assert process.wait(20) != 0
            assert "different brokers" in process.output()
            assert "guest" not in process.output()


def test_if_an_idle_worker_gets_sigterm_then_it_ends_soon(setup: WorkerSetup) -> None:
    """Item 87."""
    with setup.worker("prefork", concurrency=2) as worker:
        begun = time.monotonic()
        worker.terminate()
        assert worker.wait(20) == 0
        assert time.monotonic() - begun < 8


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_if_a_worker_is_stopped_while_its_broker_is_away_then_what_it_had_taken_goes_back(
    setup: WorkerSetup, new_redis: Callable[..., RedisServer]
) -> None:
    """A batch is the worker's once it is taken: it must not end with it."""
    broker = new_redis(appendonly=True)
    setup = replace(setup, broker=broker.url)
    publisher = setup.publisher()
    # the worker asks for nothing while a slow one runs: Redis may go between a command and its answer
    seconds = [0.05] * 5 + [1.0] * 59
    contents = [encode_content({"number": number, "seconds": each}, 1_000) for number, each in enumerate(seconds)]
    publisher.publish("work", [encode_item(content, NEVER) for content in contents])
    publisher.close()
    with setup.worker("prefork", concurrency=1) as worker, redis.Redis.from_url(broker.url) as client:
        setup.wait_for_lines(5)
        wait_until(lambda: client.llen("cc:work") == 1, what="the others back in their queue")
        broker.stop()
        worker.wait_for_output("Trying to reconnect|[Cc]annot connect")
        worker.terminate()
        broker.start()
        assert worker.wait(40) == 0, worker.output()
    ran = setup.lines()
    assert len(ran) == len(set(ran))
    assert len(ran) + setup.left() == 64


def test_if_the_layers_redis_hangs_then_consumers_that_need_it_not_go_on(
    setup: WorkerSetup, new_redis: Callable[..., RedisServer]
) -> None:
    layer = new_redis()
    with replace(setup, layer=layer.url).worker("threads") as worker:
        layer.pause()
        try:
            setup.send_work(50, 0)
            setup.wait_for_lines(50, timeout=15)
        finally:
            layer.resume()
        worker.terminate()
        assert worker.wait(20) == 0


def test_given_debug_logs_then_they_hold_no_message(setup: WorkerSetup) -> None:
    setup.send("websocket.connect", [{"path": "/x/", "headers": [[b"cookie", b"sessionid=SECRET-OF-A-USER"]]}])
    with setup.worker("prefork", arguments=["-l", "debug"]) as worker:
        worker.wait_for_output("websocket.connect -> ")
        assert "SECRET-OF-A-USER" not in worker.output()
