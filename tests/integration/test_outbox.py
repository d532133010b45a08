"""The outbox and effects once, with real workers: whatever is killed or emptied, what was committed is handled."""

from pathlib import Path

import pytest
import redis

from tests.integration.outbox import OutboxSetup
from tests.processes import wait_until
from tests.scale import scaled

#: Each broker and each database.
PAIRS = [("redis", "sqlite"), ("amqp", "postgresql")]


@pytest.fixture
def setup(request: pytest.FixtureRequest, broker_url: str, redis_url: str, tmp_path: Path) -> OutboxSetup:
    server = request.getfixturevalue("postgres") if request.getfixturevalue("database") == "postgresql" else None
    made = OutboxSetup(broker=broker_url, layer=redis_url, directory=tmp_path, postgres=server)
    made.migrate()
    return made


#: One of them in the short form.
on_either = pytest.mark.parametrize(("broker_url", "database"), scaled(PAIRS[:1], PAIRS), indirect=["broker_url"])
on_the_other = pytest.mark.parametrize(("broker_url", "database"), scaled(PAIRS[1:], PAIRS), indirect=["broker_url"])


@pytest.mark.chaos
@on_either
def test_given_messages_expect_them_once_retried_or_dead_and_the_outbox_empty(
    setup: OutboxSetup, database: str
) -> None:
    """Given some that succeed, fail once, or always / Expect all of it to go through the outbox."""
    setup.send_reliably(
        *[("boxed", {"number": number}) for number in range(20)],
        ("fails", {"number": 1, "times": 1}),
        ("fails", {"number": 2, "times": 9}),
        ("boxed", {"number": 20}),
    )
    assert setup.waiting() == 23
    with setup.worker("prefork", concurrency=2):
        setup.wait_for_end()
    assert setup.handled() == list(range(21))
    assert setup.handled("fails") == [1, 1, 2, 2, 2]
    assert setup.query("SELECT reason, attempts FROM channelcelery_reliable_deadletter") == [("raised", 3)]


@pytest.mark.chaos
@on_the_other
def test_if_senders_are_killed_expect_every_committed_message_and_no_other(setup: OutboxSetup, database: str) -> None:
    """Given transactions, some rolled back / If their process is killed at random points, again and again / Expect …"""
    transactions, kills = scaled((30, 3), (2_000, 50))
    with setup.worker("prefork", concurrency=2):
        count = setup.sell(transactions, kills)
        setup.wait_for_end(scaled(60, 300))
    committed = setup.numbers_in("orders")
    print(f"{kills} kills, {count} transactions, {len(committed)} committed, {len(setup.handled())} runs")
    assert count >= transactions
    assert committed
    assert sorted(set(setup.handled())) == committed
    assert len(setup.handled()) <= len(committed) + kills, "none twice but where its sender was killed"


@pytest.mark.chaos
@pytest.mark.parametrize(("broker_url", "database"), [("redis", "sqlite")], indirect=["broker_url"])
def test_if_redis_is_emptied_expect_nothing_lost(setup: OutboxSetup, database: str) -> None:
    """Given messages that wait at the broker, run, or wait for another run / If it loses all / Expect each handled."""
    count = scaled(60, 1_000)
    messages = [("boxed", {"number": number, "seconds": 0.02}) for number in range(count)]
    setup.send_reliably(*messages, ("fails", {"number": 1, "times": 1}))
    with setup.worker("prefork", concurrency=2):
        wait_until(lambda: len(setup.handled()) >= 20, timeout=30, what="some to be handled")
        for url in (setup.broker, setup.layer):
            with redis.Redis.from_url(url) as client:
                client.flushdb()
        setup.wait_for_end(scaled(60, 300))
    assert sorted(set(setup.handled())) == list(range(count))
    assert setup.handled("fails") == [1, 1]


@pytest.mark.chaos
@on_the_other
def test_if_consumers_are_killed_expect_effects_once(setup: OutboxSetup, database: str) -> None:
    """Given idempotent ones / If processes are killed before the commit / Expect one effect, one message on."""
    count = scaled(10, 100)
    setup.send_reliably(*[("once", {"number": number, "kill": number % 5 == 0}) for number in range(count)])
    with setup.worker("prefork", concurrency=2):
        setup.wait_for("second", count, timeout=scaled(60, 300))  # each kill costs a new process
        setup.wait_for_end()
    assert setup.numbers_in("effects") == list(range(count))
    assert setup.handled("second") == list(range(count))
    assert len(setup.handled("once")) >= count + count // 5
