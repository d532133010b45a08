"""Dead letters in Django's admin: look at them, replay them, drop them; and the outbox, to look at."""

from pprint import pformat
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest

from channelcelery.reliable.models import DeadLetter, OutboxRow
from channelcelery.reliable.replay import replay_all

__all__ = ["DeadLetterAdmin", "OutboxAdmin"]

#: Characters of a message that the page shows.
_SHOWN = 20_000
_FIELDS: Any = (
    "message_id",
    "alias",
    "channel",
    "reason",
    "detail",
    "attempts",
    "sent_at",
    "died_at",
    "message",
    "traceback",
)


@admin.register(DeadLetter)
class DeadLetterAdmin(admin.ModelAdmin):  # type: ignore[type-arg,unused-ignore]
    """Nothing can be changed; to delete is to drop, and whoever may change dead letters may replay them."""

    list_display = ["message_id", "channel", "reason", "detail", "attempts", "died_at"]
    list_filter = ["reason", "channel", "alias", "died_at"]
    search_fields = ["message_id", "channel", "detail"]
    actions = ["replay"]
    fields = _FIELDS
    readonly_fields = _FIELDS

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: dead letters are made by workers."""
        return False

    @admin.display(description="message")
    def message(self, letter: DeadLetter) -> str:
        """Show the message's content."""
        return _shown(letter.decoded())

    @admin.action(description="Replay the selected dead letters", permissions=["change"])
    def replay(self, request: HttpRequest, letters: Any) -> None:
        """Send messages again."""
        results = list(replay_all(letters))
        failed = [(letter, error) for letter, error in results if error is not None]
        self.message_user(request, f"{len(results) - len(failed)} messages were sent again.", messages.SUCCESS)
        for letter, error in failed[:5]:
            self.message_user(request, f"{letter} was not: {error}", messages.ERROR)


_ROW_FIELDS: Any = ("message_id", "alias", "channel", "attempt", "published", "sent_at", "due_at", "message")


@admin.register(OutboxRow)
class OutboxAdmin(admin.ModelAdmin):  # type: ignore[type-arg,unused-ignore]
    """Nothing can be changed; to delete is to forget the message."""

    list_display = ["message_id", "channel", "attempt", "published", "sent_at", "due_at"]
    list_filter = ["channel", "alias"]
    search_fields = ["message_id", "channel"]
    fields = _ROW_FIELDS
    readonly_fields = _ROW_FIELDS

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: messages are sent."""
        return False

    @admin.display(description="message")
    def message(self, row: OutboxRow) -> str:
        """Show the message's content."""
        return _shown(row.decoded())


def _shown(content: dict[str, Any] | None) -> str:
    return "(it cannot be read)" if content is None else pformat(content)[:_SHOWN]
