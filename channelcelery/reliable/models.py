"""The tables: dead letters, the outbox, and the marks of what is done."""

from typing import Any

from django.db import models

from channelcelery.core.envelope import decode_content
from channelcelery.exceptions import InvalidEnvelope

__all__ = ["DeadLetter", "Done", "OutboxRow"]


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
        return _decoded(self.content)


class OutboxRow(models.Model):
    """A message of a reliable channel that was sent in a transaction, until it is done or dead."""

    message_id: Any = models.CharField(max_length=64, unique=True)
    alias: Any = models.CharField("layer", max_length=100)
    channel: Any = models.CharField(max_length=100)
    content: Any = models.BinaryField(help_text="encoded as it travels")
    attempt: Any = models.PositiveIntegerField(default=1, help_text="the run that it is to be published for")
    published: Any = models.PositiveIntegerField(default=0, help_text="how often it was, for that run")
    # of the database too: a process of the version before writes none
    trace: Any = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="traceparent of its sending"
    )
    sent_at: Any = models.DateTimeField()
    due_at: Any = models.DateTimeField(db_index=True, help_text="when it is to be published, if it is still here")

    class Meta:
        ordering = ["due_at", "id"]
        verbose_name = "message in the outbox"
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return f"{self.message_id} on {self.channel}"

    def decoded(self) -> dict[str, Any] | None:
        """Return the message's content, or None if it cannot be read."""
        return _decoded(self.content)


class Done(models.Model):
    """The mark that a message of an idempotent channel is done, committed together with what its consumer did."""

    message_id: Any = models.CharField(max_length=64, primary_key=True)
    done_at: Any = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.message_id)


def _decoded(content: Any) -> dict[str, Any] | None:
    try:
        return decode_content(bytes(content))
    except InvalidEnvelope:
        return None
