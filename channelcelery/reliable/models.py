"""The table of dead letters."""

from typing import Any

from django.db import models

from channelcelery.core.envelope import decode_content
from channelcelery.exceptions import InvalidEnvelope

__all__ = ["DeadLetter"]


class DeadLetter(models.Model):
    """A message of a reliable channel that no consumer could handle, until somebody replays or drops it."""

    message_id: Any = models.CharField(max_length=64, unique=True)
    alias: Any = models.CharField("layer", max_length=100)
    channel: Any = models.CharField(max_length=100, db_index=True)
    content: Any = models.BinaryField(help_text="encoded as it travelled")
    reason: Any = models.CharField(max_length=20, db_index=True, help_text="one of core.reliable.Reason")
    detail: Any = models.TextField(blank=True)
    traceback: Any = models.TextField(blank=True)
    attempts: Any = models.PositiveIntegerField()
    sent_at: Any = models.DateTimeField(null=True, blank=True)
    died_at: Any = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-died_at", "-id"]

    def __str__(self) -> str:
        return f"{self.message_id} on {self.channel}: {self.reason}"

    def decoded(self) -> dict[str, Any] | None:
        """Return the message's content, or None if it cannot be read."""
        try:
            return decode_content(bytes(self.content))
        except InvalidEnvelope:
            return None
