"""What was said in the chat with models."""

from django.db import models


class ChatMessage(models.Model):
    """One message."""

    room = models.CharField(max_length=80)
    message = models.TextField()

    def __str__(self) -> str:
        return f"{self.room}: {self.message}"
