"""How workers that have reliable channels start, end and change, and what of the project they leave alone."""

import os
import signal
import time
from pathlib import Path

import pytest
import redis
from celery import Celery
from kombu import Connection, Queue

from tests.integration.reliable import UNLIMITED, ReliableSetup, numbers
from tests.integration.workers import ROOT
from tests.processes import wait_until


@pytest.fixture
def setup(broker_url: str, redis_url: str, tmp_path: Path) -> ReliableSetup:
    made = ReliableSetup(broker=broker_url, layer=redis_url, directory=tmp_path)
    made.migrate()
    return made


#: Settings with which projects change where their own tasks go, and what becomes of them.
_OF_THE_PROJECT = """
from kombu import Exchange, Queue
from tests.project_reliable.celery import app
app.conf.update(
    task_queues=[Queue("mine", Exchange("mine"), routing_key="mine")],
    task_default_queue="mine",
    task_default_exchange="mine",
    task_default_routing_key="mine",
    task_routes={"*": {"queue": "mine"}},
    task_create_missing_queues=False,
    task_acks_late=False,
    task_acks_on_failure_or_timeout=True,
    task_reject_on_worker_lost=False,
    task_ignore_result=False,
    task_compression="gzip",
    task_default_delivery_mode=1,
    task_send_sent_event=True,
    task_protocol=1,
    worker_prefetch_multiplier=0,
)
"""


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_given_settings_for_the_project_s_own_tasks_expect_reliable_channels_to_do_without(
    setup: ReliableSetup, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.py").write_text(_OF_THE_PROJECT)
    setup.environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    setup.project = "elsewhere"
    setup.python(
        "import elsewhere, django; django.setup(); from channelcelery import Channel\n"
        "for number in range(5): Channel('orders').send({'number': number}, delay=number * 100 or None)\n"
        "for how in ('kill', 'raise'): Channel('fails').send({'how': how})"
    )
    with setup.worker("prefork", concurrency=2):
        setup.wait_for("end", 5)
        setup.wait_for_letters(2)
    assert sorted(setup.letters("reason", "attempts")) == [("killed", 3), ("raised", 3)]


#: Of the others the chaos suite has a form.
_RESTARTED = [("redis", "prefork"), ("amqp", "prefork"), ("redis", "threads"), ("amqp", "solo")]


@pytest.mark.parametrize(("broker_url", "pool"), _RESTARTED, indirect=["broker_url"])
def test_if_workers_are_restarted_expect_each_message_once(setup: ReliableSetup, pool: str) -> None:
    """Given a backlog / If workers end by SIGTERM one after another / Expect nothing lost, nothing twice."""
    setup.send_reliably(*numbers(150))
    for _ in range(3):
        # without those that keep it from taking messages ahead
        with setup.worker(pool, concurrency=2, arguments=UNLIMITED) as worker:
            seen = len(setup.lines())
            wait_until(lambda seen=seen: len(setup.lines()) > seen + 40, timeout=30, what="messages to run")  # type: ignore[misc]
            worker.terminate()
            assert worker.wait(30) == 0
    with setup.worker(pool, concurrency=2, arguments=UNLIMITED):
        setup.wait_for("end", 150)
    assert set(setup.counted("start").values()) == {1}


def test_if_a_worker_ends_with_work_just_given_to_a_process_expect_it_run_once(setup: ReliableSetup) -> None:
    """Given a message and a task that processes have been given and not begun / If the worker ends / Expect one run."""
    with setup.worker("prefork", concurrency=2) as worker:
        processes = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        setup.send_reliably(*numbers(1))
        setup.python("from tests.project_reliable.celery import nap; nap.delay('end task')")
        worker.wait_for_output(r"received[^~]*received", timeout=30)
        time.sleep(0.3)  # until they lie in the pipes, which nothing tells
        worker.terminate()
        worker.wait_for_output("Warm shutdown", timeout=30)
        time.sleep(0.3)
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        # one that waits for a process whose result nobody reads takes 30 s
        assert worker.wait(25) == 0
    with setup.worker("prefork", concurrency=1):
        setup.send_reliably(("orders", {"number": 7}))
        wait_until(lambda: setup.counted("end")["7"] == 1, timeout=30, what="a message that came later")
    assert setup.counted("start") == {"0": 1, "7": 1}
    assert setup.counted("end")["task"] == 1


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_if_a_connection_breaks_that_is_not_the_message_s_own_expect_it_run_once(setup: ReliableSetup) -> None:
    """Given a slow message / If those connections break by which a worker is controlled / Expect one start."""
    with setup.worker("prefork", concurrency=2, arguments=UNLIMITED) as worker:
        setup.send_reliably(("orders", {"number": 0, "seconds": 3}))
        setup.wait_for("start", 1)
        with redis.Redis.from_url(setup.broker) as client:
            database = setup.broker.rpartition("/")[2]
            controls = [one for one in client.client_list() if (one["db"], one["cmd"]) == (database, "psubscribe")]
            assert controls
            for one in controls:
                client.client_kill_filter(_id=one["id"])
        worker.wait_for_output(r"Connection to broker lost[^~]*running \d+ channels", timeout=10)
        # it reads again, and one that was put back would have come before this one
        setup.send_reliably(("orders", {"number": 1}))
        setup.wait_for("end", 2)
    assert setup.counted("start") == {"0": 1, "1": 1}


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_if_a_queue_has_other_arguments_expect_the_worker_to_end_and_say_what_to_do(setup: ReliableSetup) -> None:
    with Connection(setup.broker) as connection:
        Queue("cc:reliable:orders", durable=True).bind(connection.channel()).declare()
    with setup.start("prefork", 1) as worker:
        assert worker.wait(30) == 1
        assert "cc:reliable:orders was declared before with other arguments" in worker.output()


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_given_a_pool_that_changes_expect_it_to_grow_and_consumers_where_tasks_are_shown(setup: ReliableSetup) -> None:
    """Given processes that end after two messages each, one to three of them / If a message takes long / Expect others
    to run beside it, and `celery inspect active` to name its consumer, and its kind.
    """
    name = "tests.project_reliable.consumers.handle"
    with (
        setup.worker("prefork", 1, ["--max-tasks-per-child", "2", "--autoscale", "3,1", *UNLIMITED]),
        Celery("asking", broker=setup.broker, set_as_current=False) as asking,
    ):
        setup.send_reliably(("orders", {"number": 0, "seconds": 4}), *numbers(7)[1:])
        setup.wait_for("start", 1)
        (active,) = (asking.control.inspect(timeout=5, limit=1).active() or {}).values()
        assert {(task["name"], task["type"]) for task in active} == {(name, "channelcelery.reliable")}
        setup.wait_for("end", 7)
    assert set(setup.counted("start").values()) == {1}
    ended = [line.split()[1] for line in setup.lines() if line.startswith("end ")]
    assert ended[0] != "0", "others did not wait for it"


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_a_pool_that_grows_expect_a_message_taken_for_each_of_its_processes(setup: ReliableSetup) -> None:
    """Though two are taken together on Redis, where a pool stays as it is."""
    with setup.worker("prefork", 1, ["--autoscale", "4,1", *UNLIMITED]):
        setup.send_reliably(*(("orders", {"number": number, "seconds": 8}) for number in range(4)))
        setup.wait_for("start", 4)
        assert setup.counted("end").total() == 0


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_processes_that_end_after_two_messages_each_expect_each_message_once(setup: ReliableSetup) -> None:
    """Given what a worker took from Redis ahead of them / Expect it run by the next process, and settled."""
    setup.send_reliably(*numbers(7))
    with setup.worker("prefork", 1, ["--max-tasks-per-child", "2", *UNLIMITED]) as worker:
        setup.wait_for("end", 7)
        worker.terminate()
        assert worker.wait(30) == 0
    assert set(setup.counted("start").values()) == {1}
    assert len({line.split()[-1] for line in setup.lines() if line.startswith("start ")}) == 4
