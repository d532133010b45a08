"""The step of a Celery worker that lets operators ask it (`celery worker --metrics`)."""

import logging
import os
from typing import Any

from celery.bootsteps import StartStopStep
from click import ClickException
from django.core.exceptions import ImproperlyConfigured

from channelcelery.observe.endpoint import VARIABLE, Endpoint, address_of
from channelcelery.worker.bootstep import ChannelsStep
from channelcelery.worker.probe import WorkerProbe
from channelcelery.worker.reliable_channels import reliable_channels
from channelcelery.worker.reliable_counts import reliable_counts
from channelcelery.worker.sources import loops_on

__all__ = ["ObserveStep"]

logger = logging.getLogger("django.channels.worker")


class ObserveStep(StartStopStep):
    """Listens from before the pool starts to the end of the process, whatever becomes of the broker."""

    requires = (ChannelsStep,)

    def __init__(self, consumer: Any, metrics: str = "", channels_embedded: bool = False, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._timer: Any = None
        self._probe: WorkerProbe | None = None
        # embedded, it is not the one that its process is asked about
        self._where = "" if channels_embedded else metrics or os.environ.get(VARIABLE, "")

    def create(self, consumer: Any) -> None:
        """Listen, now that the step that reads channels is made, and the pool not started."""
        if not self._where:
            return
        queues = reliable_channels((), ())
        reliable_counts.channels = frozenset(channel for _, channel in queues)
        self._probe = WorkerProbe(consumer.blueprint[ChannelsStep.name], reliable_counts, queues)
        try:
            endpoint = Endpoint(address_of(self._where), self._probe)
        except (ImproperlyConfigured, OSError) as error:
            raise ClickException(str(error)) from error
        logger.info("metrics at %s/metrics", endpoint.address)

    def start(self, consumer: Any) -> None:
        """Watch the event loop, where it does not run consumers itself."""
        if self._probe is not None and loops_on(consumer):
            self._timer = consumer.timer.call_repeatedly(1.0, self._probe.turned)

    def stop(self, consumer: Any) -> None:
        """Watch it no longer: the worker ends, or looks for its broker."""
        if self._probe is not None:
            self._probe.rests()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
