"""The Celery task of reliable channels: how its message leaves the queue, which no failure may decide."""

from typing import Any

import pytest
from celery import Celery
from celery.utils.imports import symbol_by_name
from celery.worker.request import Request

from channelcelery.reliable.parcel import TASK
from channelcelery.worker import reliable_task
from channelcelery.worker.reliable_counts import ReliableCounts
from channelcelery.worker.reliable_task import ReliableRequest


def test_if_celery_rejects_a_message_expect_it_back_in_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a time limit or a worker that ends, where Celery would drop it, expect it given back, and counted."""
    seen: list[bool] = []
    monkeypatch.setattr(Request, "reject", lambda request, requeue=False: seen.append(requeue))
    request: Any = ReliableRequest.__new__(ReliableRequest)
    for options in ({}, {"requeue": False}, {"requeue": True}):
        request.reject(**options)
    assert seen == [True, True, True]


@pytest.mark.parametrize(
    ("calls", "ended"),
    [
        (["acknowledge"], "settled"),
        (["reject"], "given_back"),
        # Celery acknowledges what is run again
        (["on_retry", "acknowledge"], "again"),
        (["reject", "reject"], "given_back"),
    ],
)
def test_given_a_run_expect_it_counted_once_as_it_ended(
    monkeypatch: pytest.MonkeyPatch, calls: list[str], ended: str
) -> None:
    """And none that did not begin, such as one that a worker which ends gives back."""
    counts = ReliableCounts({"orders"})
    monkeypatch.setattr(reliable_task, "reliable_counts", counts)
    monkeypatch.setattr(reliable_task.time, "time", lambda: 110.0)
    for name in ("acknowledge", "reject", "on_retry"):
        monkeypatch.setattr(Request, name, lambda *arguments, **options: None)
    for started in (None, 107.5):
        request: Any = ReliableRequest.__new__(ReliableRequest)
        request.time_start, request._args = started, ("default", "orders", b"")
        for call in calls:
            getattr(request, call)(*[None] * (call == "on_retry"))
    assert counts.runs == {("orders", ended): 1}
    assert counts.seconds == {"orders": 2.5}


def test_expect_the_task_to_be_received_so_and_acknowledged_when_its_run_said_so() -> None:
    app = Celery("anybody's", broker="memory://", set_as_current=False)
    app.finalize()
    task = app.tasks[TASK]
    assert symbol_by_name(task.Request) is ReliableRequest
    assert task.acks_late
    assert task.reject_on_worker_lost
    assert not task.acks_on_failure_or_timeout
