"""A Celery worker inside this process, in a thread: what makes `runserver` and the demo one process."""

import logging
import threading
from collections.abc import Callable

from celery.worker import state

from channelcelery.broker.connection import broker_app, is_local_broker
from channelcelery.worker.install import install

__all__ = ["EmbeddedWorker"]

logger = logging.getLogger("django.channels.worker")


class EmbeddedWorker:
    """Runs consumers in threads of this process, on whatever broker the settings name.

    Args:
        threads: consumers that may run at the same time.
        prepared: called when Celery has set Django up, which configures logging once more.
    """

    def __init__(self, threads: int = 4, prepared: Callable[[], None] = lambda: None) -> None:
        self._threads = threads
        self._prepared = prepared
        self._thread = threading.Thread(target=self._run, name="channelcelery-worker", daemon=True)
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def start(self, timeout: float = 30.0) -> None:
        """Start, and wait until consumers run.

        Args:
            timeout: seconds to wait; a broker that is down is logged and tried for longer, in the background.

        Raises:
            ClickException: settings or routing are wrong.
        """
        state.should_stop = None
        self._thread.start()
        if not self._ready.wait(timeout):
            logger.warning("the worker is not ready yet; is the broker up?")
        if self._error is not None:
            raise self._error

    def stop(self, timeout: float = 5.0) -> None:
        """Finish the running consumers and end.

        Args:
            timeout: seconds to wait for them.
        """
        if self._thread.ident is None:  # it was never started
            return
        state.should_stop = 0  # type: ignore[assignment]  # the exit code
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("a consumer is still running; it ends with the process")
        state.should_stop = None

    def _run(self) -> None:
        try:
            app = install(broker_app())
            if is_local_broker():
                # Kombu looks once a second by itself, and the project's own app need not say otherwise
                app.conf.broker_transport_options = {"polling_interval": 0.01} | app.conf.broker_transport_options
            worker = app.WorkController(
                pool="threads",
                concurrency=self._threads,
                hostname=f"embedded-{threading.get_native_id()}@localhost",
                without_heartbeat=True,
                without_mingle=True,
                without_gossip=True,
                channels_embedded=True,
                # Celery's timer sleeps for so long, and the end waits for it: 2 s by default
                timer_precision=0.2,
                ready_callback=lambda consumer: self._ready.set(),
            )
            self._prepared()
            worker.start()
        except BaseException as error:  # handed to start(), on the thread that can say so to the user
            self._error = error
            self._ready.set()
