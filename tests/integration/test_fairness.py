"""A quiet channel beside a busy one: its messages do not wait for the other's backlog."""

import pytest

from channelcelery.core.envelope import encode_content, encode_item
from tests.integration.workers import NEVER, WorkerSetup
from tests.processes import wait_until
from tests.scale import scaled

#: Messages of 10 ms that four processes run in 300 ms; on Redis one batch of 64 runs before a quiet one.
IN_300_MS = 120


@pytest.mark.soak
@pytest.mark.parametrize("broker_url", scaled(["redis"], ["redis", "amqp"]), indirect=True)
def test_given_a_backlog_of_one_channel_expect_messages_of_another_to_pass_it(setup: WorkerSetup) -> None:
    """Item 53. Given thousands of messages of 10 ms, in batches of 64 / Expect few of them to run before another's."""
    count, quiet = scaled(1_200, 10_000), scaled(10, 100)
    content = encode_content({"number": "busy", "seconds": 0.01}, 1_000)
    publisher = setup.publisher()
    publisher.publish("work", [encode_item(content, NEVER)] * count)
    passed_by = []
    with setup.worker(concurrency=4):
        setup.wait_for_lines(100)
        for number in range(quiet):
            before = len(setup.lines())
            content = encode_content({"number": number}, 1_000)
            publisher.publish("work-async", [encode_item(content, NEVER)])
            lines = wait_until(
                lambda name=f"async {number}": lines if name in (lines := setup.lines()) else None,  # type: ignore[misc]
                what="the quiet channel's message",
                interval=0.005,
            )
            passed_by.append(lines.index(f"async {number}") - before)
        assert len(setup.lines()) < count, "there was a backlog to the end"
    publisher.close()
    print(f"busy messages that ran before a quiet one: {sorted(passed_by)}")
    assert sorted(passed_by)[int(0.99 * (quiet - 1))] < IN_300_MS
