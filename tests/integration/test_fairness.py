"""A quiet channel beside busy ones: its messages do not wait for the others' backlog."""

import time

import pytest

from channelcelery.core.envelope import encode_content, encode_item
from tests.integration.workers import NEVER, WorkerSetup
from tests.processes import wait_until
from tests.scale import FULL, scaled

#: Channels with a backlog; the more of them there are, the more often it is another one's turn.
BUSY = ["work", "work-too", "work-again"]
#: Messages of 10 ms that two processes run in 300 ms.
IN_300_MS = 60


@pytest.mark.soak
@pytest.mark.parametrize("broker_url", scaled(["redis"], ["redis", "amqp"]), indirect=True)
@pytest.mark.parametrize("busy", scaled([BUSY], [BUSY[:1], BUSY]), ids=len)
def test_given_a_backlog_of_some_channels_expect_messages_of_another_to_pass_it(
    setup: WorkerSetup, busy: list[str]
) -> None:
    """Item 53. Given thousands of messages of 10 ms, in batches of 64 / Expect another to be run within 300 ms."""
    count, quiet = scaled(1_000, 10_000), scaled(10, 100)
    content = encode_content({"number": "busy", "seconds": 0.01}, 1_000)
    publisher = setup.publisher()
    for channel in busy:
        publisher.publish(channel, [encode_item(content, NEVER)] * count)
    passed_by: list[float] = []
    took: list[float] = []
    with setup.worker(concurrency=2):
        setup.wait_for_lines(100)
        for number in range(quiet):
            before = len(setup.lines())
            content = encode_content({"after": f"quiet {number}", "sent": time.time()}, 1_000)
            publisher.publish("note-time", [encode_item(content, NEVER)])
            line = wait_until(lambda n=number: line_of(setup, f"quiet {n} "), what="it", interval=0.005)
            passed_by.append(setup.lines().index(line) - before)
            took.append(float(line.split()[-1]))
        assert setup.lines().count("busy") < count * len(busy), "there was a backlog to the end"
    publisher.close()
    (p50, p99), (p50_ms, p99_ms) = (percentiles(values) for values in (passed_by, took))
    print(
        f"{len(busy)} busy: {p50} of them ran before a quiet one (p99 {p99}), p50 {p50_ms:.0f} ms, p99 {p99_ms:.0f} ms"
    )
    assert p99 < IN_300_MS
    assert not FULL or p99_ms < 300


def percentiles(values: list[float]) -> tuple[float, float]:
    """Return the 50th and the 99th percentile."""
    ranked = sorted(values)
    return ranked[len(ranked) // 2], ranked[int(0.99 * (len(ranked) - 1))]


def line_of(setup: WorkerSetup, start: str) -> str | None:
    """Return the line that a consumer wrote down, if it did."""
    return next((line for line in reversed(setup.lines()) if line.startswith(start)), None)
