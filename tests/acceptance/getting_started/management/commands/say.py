"""`manage.py say`: says something in a room, as a command that cron runs could."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from channelcelery import Channel


class Command(BaseCommand):
    """Send to the channel that sockets send to as well."""

    help = "Says something in a room."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("room")
        parser.add_argument("message")

    def handle(self, *args: Any, **options: Any) -> None:
        Channel("chat-messages").send({"room": options["room"], "message": options["message"]})
