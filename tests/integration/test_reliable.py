"""Reliable channels through real workers: each message is handled at least once, or is among the dead letters."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.integration.reliable import UNLIMITED, ReliableSetup, numbers
from tests.processes import wait_until

#: With those that enforce no time limits goes what leaves out the channels that have one.
POOLS = {"prefork": [], "threads": UNLIMITED, "solo": UNLIMITED}


@pytest.fixture
def setup(broker_url: str, redis_url: str, tmp_path: Path) -> ReliableSetup:
    made = ReliableSetup(broker=broker_url, layer=redis_url, directory=tmp_path)
    made.migrate()
    return made


@pytest.mark.parametrize("pool", POOLS)
def test_given_messages_expect_each_to_run_once_beside_others_and_tasks(setup: ReliableSetup, pool: str) -> None:
    setup.send_reliably(*numbers(20), ("plain", {"number": 1}))
    setup.python("from tests.project_reliable.celery import plain_task as t; t.delay('task 1')")
    with setup.worker(pool, arguments=POOLS[pool]) as worker:
        setup.wait_for("end", 20)
        setup.wait_for("plain", 1)
        setup.wait_for("task", 1)
        worker.terminate()
        assert worker.wait(30) == 0
        assert "tests.project_reliable.consumers.handle[" in worker.output(), "the consumer's name, for a person"
    assert set(setup.counted("start").values()) == {1}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_if_consumers_fail_expect_as_many_runs_as_allowed_and_then_dead_letters(
    setup: ReliableSetup, pool: str
) -> None:
    """Given consumers that raise, end their thread, ask for another run, or reject / Expect them dead."""
    hows = ["raise", "exit", "retry", "reject", "once"]
    setup.send_reliably(*(("fails", {"how": how}) for how in hows))
    with setup.worker(pool, arguments=POOLS[pool]):
        setup.wait_for_letters(4)
        wait_until(lambda: setup.counted("once").total() == 2, what="the second run of what fails once")
        wait_until(lambda: setup.counted("plain").total() >= 1, what="what that run sent")
    expected = [("raised", 3), ("raised", 3), ("rejected", 1), ("retried", 3)]
    assert sorted(setup.letters("reason", "attempts")) == expected
    runs = {how: [line.split()[1:3] for line in setup.lines() if line.startswith(f"{how} ")] for how in hows}
    assert runs["raise"] == [["1", "False"], ["2", "False"], ["3", "False"]]
    assert runs["reject"] == [["1", "False"]]
    assert len({line.split()[3] for line in setup.lines() if line.startswith("raise ")}) == 1, "one id in all runs"
    assert setup.counted("plain").total() == 1, "only the run that returned sends anything"
    assert any("RuntimeError: on purpose" in text for (text,) in setup.letters("traceback"))


def test_if_a_consumer_kills_its_process_expect_as_many_runs_as_allowed(setup: ReliableSetup) -> None:
    setup.send_reliably(("fails", {"how": "kill"}), *numbers(5))
    with setup.worker("prefork", concurrency=2):
        setup.wait_for_letters(1)
        setup.wait_for("end", 5)
    assert [line.split()[:3] for line in setup.lines() if line.startswith("kill")] == [
        ["kill", "1", "False"],
        ["kill", "2", "True"],
        ["kill", "3", "True"],
    ]
    assert setup.letters("channel", "reason", "attempts") == [("fails", "killed", 3)]


def test_if_a_consumer_exceeds_its_time_limit_expect_as_many_runs_as_allowed(setup: ReliableSetup) -> None:
    setup.send_reliably(("limited", {}))
    with setup.worker("prefork"):
        setup.wait_for_letters(1)
    assert setup.lines() == ["limited 1", "limited 2"]
    assert setup.letters("reason", "attempts") == [("timed_out", 2)]


@pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
def test_given_a_message_that_waited_expect_its_time_limit_to_count_all_the_same(setup: ReliableSetup) -> None:
    """RabbitMQ delivers what waited under another routing key."""
    setup.python(
        "import django; django.setup(); from channelcelery import Channel; Channel('stubborn').send({}, delay=500)"
    )
    with setup.worker("prefork", concurrency=1):
        setup.wait_for_letters(1, timeout=30)
    assert setup.letters("channel", "reason", "attempts") == [("stubborn", "timed_out", 1)]


def test_if_a_consumer_goes_on_after_its_time_limit_expect_that_as_the_reason(setup: ReliableSetup) -> None:
    """Given a consumer that its process ends with / Expect the limit to be the reason, and no run too many counted."""
    setup.send_reliably(("stubborn", {}), *numbers(3))
    with setup.worker("prefork", concurrency=1):
        setup.wait_for_letters(1)
        setup.wait_for("end", 3)
    assert [line for line in setup.lines() if line.startswith("stubborn")] == ["stubborn 1"]
    assert setup.letters("channel", "reason", "attempts") == [("stubborn", "timed_out", 1)]


def test_if_a_consumer_asks_for_a_later_run_expect_it_then_and_not_before(setup: ReliableSetup) -> None:
    """Given a worker that is killed while the message waits / Expect the next one to run it."""
    setup.send_reliably(*numbers(3, "slow-retry"))
    with setup.worker("prefork") as worker:
        setup.wait_for("waits", 3)
        wait_until(lambda: worker.output().count("retry: ") == 3, what="the copies for the next runs")
        os.killpg(worker.pid, signal.SIGKILL)
    with setup.worker("prefork"):
        times = wait_until(lambda: second_runs(setup), timeout=30, what="the second runs")
    assert min(second - first for first, second in times) >= 1.2


def second_runs(setup: ReliableSetup) -> list[list[float]] | None:
    """Return the times of the two runs of each message, once they are there.

    What the broker had not heard to be acknowledged when the worker was killed it delivers again, which is no matter.
    """
    times: dict[str, list[float]] = {}
    for _, number, _, when, redelivered in map(str.split, setup.lines()):
        if redelivered == "False":
            times.setdefault(number, []).append(float(when))
    return list(times.values()) if sum(map(len, times.values())) == 6 else None


def test_if_a_message_comes_without_guarantees_expect_it_forwarded_with_a_warning(setup: ReliableSetup) -> None:
    """As from a project that does not know that the channel is reliable."""
    setup.send("orders", [{"number": 7}])
    with setup.worker("prefork") as worker:
        setup.wait_for("end", 1)
        assert "came without any guarantee" in worker.output()


def test_if_the_database_is_away_at_a_death_expect_the_letter_when_it_is_back(setup: ReliableSetup) -> None:
    """Given a death / If its letter cannot be written / Expect it to wait at the broker, with its reason."""
    database = setup.directory / "db.sqlite3"
    database.rename(setup.directory / "away")
    database.mkdir()  # which no database can be opened at
    setup.send_reliably(("fails", {"how": "reject"}))
    with setup.worker("prefork") as worker:
        worker.wait_for_output("waits at the broker", timeout=30)
        database.rmdir()
        (setup.directory / "away").rename(database)
        setup.wait_for_letters(1)
    assert setup.letters("reason", "detail", "attempts") == [("rejected", "no such order", 1)]
    assert "Traceback" in setup.letters("traceback")[0][0]


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_given_keys_expect_what_a_worker_cannot_open_among_the_dead_and_handled_when_it_can(
    setup: ReliableSetup,
) -> None:
    """Given a message under a key that the worker has not / Expect one look at it, and a replay with that key to do."""
    old, new = "o" * 43, "n" * 43
    setup.config = json.dumps({"symmetric_encryption_keys": [old]})
    setup.send_reliably(("orders", {"number": 1}))
    setup.config = json.dumps({"symmetric_encryption_keys": [new]})
    setup.send_reliably(("orders", {"number": 2}))
    with setup.worker("prefork", concurrency=1):
        setup.wait_for("end", 1)
        setup.wait_for_letters(1)
    assert setup.letters("channel", "reason", "attempts") == [("orders", "unreadable", 1)]
    setup.config = json.dumps({"symmetric_encryption_keys": [new, old]})
    setup.manage("deadletters", "replay", "--all")
    with setup.worker("prefork", concurrency=1):
        setup.wait_for("end", 2)
    assert setup.letters("id") == []
    assert set(setup.counted("start").values()) == {1}
