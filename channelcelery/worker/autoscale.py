"""Celery's autoscaler, which counts tasks, with the messages of channels counted too."""

from collections.abc import Callable

from celery.worker.autoscale import Autoscaler

__all__ = ["ChannelsAutoscaler"]


class ChannelsAutoscaler(Autoscaler):
    """Lets a pool grow and shrink with `--autoscale` by tasks and by messages; `Preflight` puts it in place."""

    #: Counts the messages that run or wait in this worker; set by the step that reads them.
    messages: Callable[[], int] = staticmethod(lambda: 0)

    @property
    def qty(self) -> int:
        """How much there is to run, of which Celery makes the number of processes."""
        return int(super().qty) + self.messages()
