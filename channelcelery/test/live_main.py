"""One of the two processes of a live site: `python -m channelcelery.test.live_main`, started by `LiveProcess`.

It reads its `Orders` as a line of JSON from standard input, writes a line to the descriptor READY when it is ready, and
ends on SIGTERM or when its standard input does: with the tests that started it, whatever becomes of them.
"""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["READY", "Orders", "main"]

#: Seconds for an orphan to end in good order.
_GRACE = 10
#: The environment's variable with the file descriptor to write to when the process is ready.
READY = "CHANNELCELERY_LIVE_READY"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is told.

    Args:
        role: "interface" or "worker".
        alias: the layer's alias in CHANNEL_LAYERS.
        prefix: the prefix of this site alone.
        host: what the site is called in URLs.
        socket: the file descriptor to serve, for the interface.
        serve_static: whether the interface serves static files.
        threads: consumers that may run at the same time, for the worker.
        databases: alias -> name of the test database.
        settings: what tests overrode.
    """

    role: str
    alias: str
    prefix: str
    host: str
    socket: int
    serve_static: bool
    threads: int
    databases: dict[str, str]
    settings: dict[str, Any]

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the orders of a line."""
        return cls(**json.loads(line))

    @property
    def queue(self) -> str:
        """The queue of the site's Celery tasks."""
        return f"{self.prefix}tasks"


def main() -> None:
    """Run until told to end."""
    orders = Orders.from_json(sys.stdin.buffer.readline().decode())
    threading.Thread(target=_end_with_the_tests, name="lifeline", daemon=True).start()
    _set_up_django(orders)
    if orders.role == "interface":
        _serve(orders)
    else:
        _work(orders)


def _end_with_the_tests() -> None:
    # not sys.stdin, whose lock a thread that waits would hold at the interpreter's end
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def _set_up_django(orders: Orders) -> None:
    import django
    from django.conf import settings
    from django.test.utils import setup_test_environment

    for name, value in orders.settings.items():
        setattr(settings, name, value)
    for alias, name in orders.databases.items():
        settings.DATABASES[alias]["NAME"] = name
    entry = settings.CHANNEL_LAYERS[orders.alias]
    config = {**entry["TEST_CONFIG"], "prefix": orders.prefix}
    settings.CHANNEL_LAYERS = {orders.alias: {**entry, "CONFIG": config}}
    django.setup()
    # no mail leaves, as in the tests' own process
    setup_test_environment(debug=settings.DEBUG)
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, orders.host]
    from channelcelery.broker.connection import broker_app

    # the project's other workers would run this site's tasks, and this site theirs
    names = dict.fromkeys(("task_default_queue", "task_default_exchange", "task_default_routing_key"), orders.queue)
    broker_app().conf.update(names, task_default_exchange_type="direct")


def _ready(**kwargs: Any) -> None:
    os.write(int(os.environ[READY]), b"ready\n")


def _serve(orders: Orders) -> None:
    from channelcelery.interface.app import InterfaceApplication
    from channelcelery.interface.server import Binding, make_server, serve, show_log

    show_log()
    application = InterfaceApplication(orders.alias)
    config = application.check()
    served = _with_static(application) if orders.serve_static else application
    server = make_server(served, config, Binding(fd=orders.socket), faults=application.faults)

    def wait() -> None:
        while not server.started:
            time.sleep(0.01)
        _ready()

    threading.Thread(target=wait, name="wait-until-ready", daemon=True).start()
    if not serve(server):
        sys.exit("the interface could not start")


def _with_static(application: Any) -> Any:
    """Serve static files in front of an application, without DEBUG too."""
    from django.apps import apps
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    return ASGIStaticFilesHandler(application) if apps.is_installed("django.contrib.staticfiles") else application


def _work(orders: Orders) -> None:
    from channelcelery.broker.connection import broker_app
    from channelcelery.signals import worker_ready
    from channelcelery.worker.install import install

    worker_ready.connect(_ready)
    install(broker_app()).worker_main(
        [
            "worker",
            "--pool=threads",
            f"--concurrency={orders.threads}",
            f"--queues={orders.queue}",
            f"--hostname=live-{os.getpid()}@localhost",
            "--loglevel=INFO",
            "--without-mingle",
            "--without-gossip",
        ]
    )


if __name__ == "__main__":
    main()
