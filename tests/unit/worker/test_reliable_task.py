"""The Celery task of reliable channels: how its message leaves the queue, which no failure may decide."""

from typing import Any

import pytest
from celery import Celery
from celery.utils.imports import symbol_by_name
from celery.worker.request import Request

from channelcelery.reliable.parcel import TASK
from channelcelery.worker.reliable_task import ReliableRequest


def test_if_celery_rejects_a_message_expect_it_back_in_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a time limit or a worker that ends, where Celery would drop it, expect it given back, and counted."""
    seen: list[bool] = []
    monkeypatch.setattr(Request, "reject", lambda request, requeue=False: seen.append(requeue))
    request: Any = ReliableRequest.__new__(ReliableRequest)
    for options in ({}, {"requeue": False}, {"requeue": True}):
        request.reject(**options)
    assert seen == [True, True, True]


def test_expect_the_task_to_be_received_so_and_acknowledged_when_its_run_said_so() -> None:
    app = Celery("anybody's", broker="memory://", set_as_current=False)
    app.finalize()
    task = app.tasks[TASK]
    assert symbol_by_name(task.Request) is ReliableRequest
    assert task.acks_late
    assert task.reject_on_worker_lost
    assert not task.acks_on_failure_or_timeout
