"""A worker whose main process is killed with SIGKILL: what runs twice, and what is lost."""

import os
import signal

import pytest

from channelcelery.core.batches import MAX_BATCH
from channelcelery.core.envelope import encode_content, encode_item
from tests.integration.observed import Asked, metrics_port
from tests.integration.test_time_limit import processes_of
from tests.integration.workers import NEVER, WorkerSetup
from tests.processes import wait_until

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
