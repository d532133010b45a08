"""Which workers read at once whatever comes."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency import get_implementation

from channelcelery.worker.sources import loops_on


@pytest.mark.parametrize(("pool", "goes_on"), [("prefork", True), ("threads", True), ("solo", False)])
def test_expect_the_loop_to_go_on_unless_it_runs_the_consumers_itself(pool: str, goes_on: bool) -> None:
    consumer: Any = SimpleNamespace(hub=object(), pool=get_implementation(pool).__new__(get_implementation(pool)))
    assert loops_on(consumer) is goes_on
    assert not loops_on(SimpleNamespace(hub=None, pool=consumer.pool))
