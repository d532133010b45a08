"""Consumers that do not end, and killed processes of the pool: what is lost, what runs elsewhere, and who is told."""

import json
import os
import signal
from dataclasses import replace

import pytest

from channelcelery.core.envelope import encode_content, encode_item
from tests.integration.test_interface_process import interface
from tests.integration.wire import Wire
from tests.integration.workers import NEVER, WorkerSetup
from tests.scale import FULL, scaled

pytestmark = pytest.mark.soak
in_full = pytest.mark.skipif(not FULL, reason="in full only: make soak")
one_broker = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
enough_brokers = pytest.mark.parametrize("broker_url", scaled(["redis"], ["redis", "amqp"]), indirect=True)


def send_batch(setup: WorkerSetup, numbers: range, **flags: int) -> None:
    """Send messages to the channel "mixed" in one message of the broker; a flag is set on the number that it names."""
    contents = [{"number": number} | {flag: number == at for flag, at in flags.items()} for number in numbers]
    publisher = setup.publisher()
    publisher.publish("mixed", [encode_item(encode_content(content, 1_000), NEVER) for content in contents])
    publisher.close()


def limited(setup: WorkerSetup, **config: float) -> WorkerSetup:
    """Return the setup with these limits."""
    return replace(setup, config=json.dumps(config))


@enough_brokers
def test_if_a_consumer_never_returns_or_is_killed_then_the_rest_of_its_batch_runs_once_in_another_process(
    setup: WorkerSetup,
) -> None:
    """Item 13. Given cheap messages, many to a job / Expect those of a job lost that had begun, one each, and logged.

    All that time others wait, for longer than the stall limit: it does not count, since the only process is busy.
    """
    setup = limited(setup, time_limit=1.5, stall_limit=1)
    with setup.worker("prefork", concurrency=1) as worker:
        send_batch(setup, range(40))
        setup.wait_for_lines(40)
        send_batch(setup, range(40, 80), hang=50)
        setup.wait_for_lines(79, timeout=20)
        send_batch(setup, range(80, 120), kill=90)
        lines = setup.wait_for_lines(118, timeout=20)
        output = worker.output()
        assert worker.returncode is None
    assert sorted(map(int, lines)) == [number for number in range(120) if number not in {50, 90}]
    name = "tests.project.consumers.mixed"
    assert output.count(f"the consumer {name} has been running on a message of mixed for more than 1.5 s") == 1
    assert output.count(f"a message of mixed was lost with the process that ran {name}") == 2


@in_full
@one_broker
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_if_the_pool_cannot_end_a_consumer_then_this_is_said_at_the_start_and_when_one_takes_too_long(
    setup: WorkerSetup, pool: str
) -> None:
    setup = limited(setup, time_limit=0.5)
    with setup.worker(pool) as worker:
        worker.wait_for_output("only the pool prefork ends one that takes longer")
        setup.send_work(2, 1.5)
        setup.wait_for_lines(2)
        lines = [line for line in worker.output().splitlines() if "has been running on a message of work" in line]
        assert len(lines) == 2
        assert all("only the pool prefork could end it" in line for line in lines)


def processes_of(worker_pid: int) -> list[int]:
    """Return the children of a process."""
    with open(f"/proc/{worker_pid}/task/{worker_pid}/children") as file:
        return list(map(int, file.read().split()))


@enough_brokers
def test_if_nothing_begins_although_messages_wait_then_the_worker_ends_for_its_supervisor(setup: WorkerSetup) -> None:
    """Given processes of the pool that are frozen / Expect status 70, and what waited back in its queue."""
    setup = limited(setup, stall_limit=1)
    with setup.worker("prefork", concurrency=2) as worker:
        setup.send_work(10, 0)
        setup.wait_for_lines(10)
        for pid in processes_of(worker.pid):
            os.kill(pid, signal.SIGSTOP)
        setup.send_work(20, 0)
        assert worker.wait(40) == 70
        assert "this worker began nothing for 1 s" in worker.output()
    assert setup.left() == 20
    assert len(setup.lines()) == 10


@one_broker
def test_if_the_process_of_a_view_is_killed_then_its_clients_are_told_at_once(setup: WorkerSetup) -> None:
    """Given a stream that a thread of the process sends / Expect its end too, long before `http_timeout` is over."""
    with (
        setup.worker(concurrency=1) as worker,
        interface(setup) as it,
        Wire(it.port) as reader,
        Wire(it.port) as waiter,
    ):
        reader.request("GET", "/stream/1000/100")
        stream = reader.begin()
        assert len(stream.read(65536)) == 65536
        waiter.request("GET", "/hang")
        pid = setup.wait_for_lines(2)[-1].removeprefix("hangs ")
        os.kill(int(pid), signal.SIGKILL)
        assert waiter.response()[0] == 500
        assert reader.is_closed(timeout=20)
        assert worker.returncode is None


@in_full
@one_broker
def test_given_autoscale_then_a_backlog_of_a_channel_makes_the_pool_grow_and_max_tasks_per_child_loses_none(
    setup: WorkerSetup,
) -> None:
    """Given a pool of 1 to 4 processes that are replaced after two jobs each."""
    setup.send_work(40, 0.1)
    with setup.worker(concurrency=1, arguments=["--autoscale", "4,1", "--max-tasks-per-child", "2"]) as worker:
        lines = setup.wait_for_lines(40)
        assert "Scaling up" in worker.output()
        assert worker.returncode is None
    assert sorted(map(int, lines)) == list(range(40))
