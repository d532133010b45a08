"""The project's Celery app; `CHAOS_WEAKNESS` takes a safeguard away, to show that the suite would notice."""

import json
import os
from importlib import import_module
from typing import Any

import django
from celery import Celery
from celery.signals import worker_init

import channelcelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.chaos.project.settings")
WEAKNESS = os.environ.get("CHAOS_WEAKNESS", "")


def _confirm_nothing() -> None:
    """Let a message count as sent when it is written to the socket, and ask for no depth, which waits for an answer."""
    from channelcelery.broker import confirmed

    class _Link(confirmed.Link):
        def __init__(self, *args: Any, options: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    confirmed.Link = _Link  # type: ignore[misc]
    confirmed.Gauge.wants_sample = lambda self, now: False  # type: ignore[method-assign]


def _renew_nothing() -> None:
    """Let leases lapse while consumers run."""
    from channelcelery.broker.ledger import Ledger

    Ledger.renew = lambda self, tags: None  # type: ignore[method-assign]


def _use_stock_transport() -> None:
    """Use Kombu's own transport, unnoticed."""
    # by name: the package has a function that is called like its module
    vars(import_module("channelcelery.worker.install"))["make_safe"] = lambda app: app
    vars(import_module("channelcelery.worker.reliable_channels"))["is_safe"] = lambda app: True


@worker_init.connect
def _acknowledge_early(**_: Any) -> None:
    if WEAKNESS == "early ack":
        django.setup()  # not before: its module imports models
        from channelcelery.worker.reliable_task import reliable

        reliable.acks_late = False


_WEAKNESSES = {"no confirm": _confirm_nothing, "no lease": _renew_nothing, "stock transport": _use_stock_transport}
_WEAKNESSES.get(WEAKNESS, lambda: None)()

app = Celery("tests.chaos.project")
app.conf.update(
    {
        "broker_url": os.environ.get("CELERY_BROKER_URL", "memory://"),
        "broker_connection_retry_on_startup": True,
        "task_ignore_result": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        **json.loads(os.environ.get("CHAOS_CELERY", "{}")),
    }
)
channelcelery.install(app)
