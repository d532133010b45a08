"""What the interface drops, refuses or survives: counted by reason, and logged once per burst."""

import logging
import time
from collections import Counter

from channelcelery.core.bursts import Bursts

__all__ = ["Faults", "logger"]

logger = logging.getLogger("django.channels.interface")


class Faults:
    """The one place where a fault of a client, a consumer or a server ends; see `dropped` for the counts.

    Nothing is logged above WARNING: Django mails errors to ADMINS, which would hold up every socket.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._bursts = Bursts()

    def note(self, reason: str, text: str, *values: object, level: int = logging.WARNING, trace: bool = False) -> None:
        """Count a fault, and log it unless the same reason was logged a moment ago.

        Args:
            reason: one of few fixed words, for the count.
            text: for the log, with %-placeholders; what a client or consumer wrote goes through `%.200a`, so that
                it can neither forge a line nor fill a disk.
            values: for the placeholders.
            level: of the log line.
            trace: whether the exception being handled is logged too.
        """
        self.dropped[reason] += 1
        passed_over = self._bursts.hit(reason, time.monotonic())
        if passed_over is None:
            return
        more = f" ({passed_over} more of these since the last such line)" if passed_over else ""
        extra = {"reason": reason, "count": self.dropped[reason]}
        logger.log(level, text + more, *values, exc_info=trace, extra=extra)
