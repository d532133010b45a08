"""A worker whose main process is killed with SIGKILL: what runs twice, and what is lost."""

import os
import signal

import pytest
from celery import Celery

from channelcelery.core.backlog import MAX_JOB
from channelcelery.core.batches import MAX_BATCH
from channelcelery.core.envelope import encode_content, encode_item
from tests.integration.observed import Asked, metrics_port
from tests.integration.test_time_limit import processes_of
from tests.integration.workers import NEVER, WorkerSetup
from tests.processes import wait_until
from tests.scale import scaled

pytestmark = pytest.mark.soak
PROCESSES = 2


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)  # Redis gives a message to one worker for good
def test_if_it_is_killed_before_it_hears_that_its_pool_began_then_no_message_runs_twice(setup: WorkerSetup) -> None:
    """Given messages in one batch, jobs in the pipe to frozen processes, and a main process that is frozen as well.

    The processes then go on and run their jobs, and the main process is killed, having heard of nothing / Expect no
    message to run again in another worker, and no more lost than this batch.
    """
    count = 3 * MAX_BATCH
    content = [encode_content({"number": number, "seconds": 0.02}, 1_000) for number in range(count)]
    with setup.worker(concurrency=PROCESSES, arguments=["--metrics", "0"]) as killed:
        children = processes_of(killed.pid)
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        publisher = setup.publisher()
        publisher.publish("work", [encode_item(each, NEVER) for each in content])
        Asked(killed, metrics_port(killed)).wait_for(worker_jobs=PROCESSES)
        with Celery("asking", broker=setup.broker, set_as_current=False) as asking:
            for _ in range(2):  # the loop that answers has written the jobs to the pipe before
                assert asking.control.ping(timeout=20, limit=1)
        os.kill(killed.pid, signal.SIGSTOP)
        for pid in children:
            os.kill(pid, signal.SIGCONT)
        setup.wait_for_lines(PROCESSES)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(10)
    with setup.worker(concurrency=PROCESSES):
        publisher.publish("work", [encode_item(encode_content({"number": "last", "seconds": 0.2}, 1_000), NEVER)])
        wait_until(lambda: "last" in setup.lines(), what="all that was left to run")
    publisher.close()
    lines = setup.lines()
    assert len(set(lines)) == len(lines), "none twice"
    assert count + 1 - MAX_BATCH <= len(lines) < count + 1, "lost is at most the batch that had begun"


#: Messages that a worker has taken from Redis and not begun, for each of its processes, at most: by the seconds of one.
#: As documented; of the seven from 10 ms on, four are left at 20 ms.
WAITING = {0.0: 256, 0.02: 4}


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.parametrize("seconds", scaled([0.0], list(WAITING)))
def test_if_it_is_killed_then_no_more_is_lost_than_it_may_have_taken_and_one_job_of_each_process(
    setup: WorkerSetup, seconds: float
) -> None:
    """Given a backlog in full batches, known to be cheap or not, and frozen processes, so that the worker takes all it
    may / If it is killed / Expect the rest to run in another, once, and a bounded number lost."""
    count, known = (5_000, 400) if seconds == 0 else (150, 20)
    publisher = setup.publisher()

    def publish(numbers: range) -> None:
        contents = [encode_content({"number": number, "seconds": seconds}, 1_000) for number in numbers]
        publisher.publish("work", [encode_item(content, NEVER) for content in contents])

    publish(range(count))
    depths: list[int] = []

    def is_full() -> bool:
        depths.append(publisher.depth("work"))
        return len(set(depths[-10:])) == 1 and len(depths) > 10

    with setup.worker(concurrency=PROCESSES) as killed:
        setup.wait_for_lines(known)
        for pid in processes_of(killed.pid):
            os.kill(pid, signal.SIGSTOP)
        wait_until(is_full, what="it to take no more", interval=0.05)
        assert depths[-1] > 0, "there is a backlog to the end"
        killed.kill()
    with setup.worker(concurrency=PROCESSES):
        publish(range(count, count + 1))
        wait_until(lambda: str(count) in setup.lines(), what="all that was left to run")
    publisher.close()
    lines = setup.lines()
    assert len(set(lines)) == len(lines), "none twice"
    lost = count + 1 - len(lines)
    print(f"{lost} lost of messages that take {seconds} s, by {PROCESSES} processes")
    job = MAX_JOB if seconds == 0 else 1
    assert 2 * PROCESSES < lost <= PROCESSES * (WAITING[seconds] + job)
