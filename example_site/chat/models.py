from datetime import timedelta

from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac

from example_site.chat.rules import MAX_NAME

# No socket stays open for longer. A row that is older lost its `websocket.disconnect`, for instance in a flood.
LONGEST_STAY = timedelta(days=1)


class PresenceQuerySet(models.QuerySet):
    def now(self) -> "PresenceQuerySet":
        return self.filter(since__gt=timezone.now() - LONGEST_STAY)


class Presence(models.Model):
    """One open socket of a room."""

    room = models.CharField(max_length=80, db_index=True)
    reply_channel = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=MAX_NAME, blank=True, help_text="Blank for a guest.")
    since = models.DateTimeField(auto_now_add=True)

    objects = PresenceQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.shown_name} in {self.room}"

    @property
    def shown_name(self) -> str:
        return self.name or guest_name(self.reply_channel)


def guest_name(reply_channel: str) -> str:
    """Return a name that stays the same for a socket, and from which nobody can learn its reply channel."""
    return "guest-" + salted_hmac("example_site.chat.guest", reply_channel, algorithm="sha256").hexdigest()[:4]
