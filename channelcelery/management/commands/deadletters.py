"""`manage.py deadletters`: what became of messages that no consumer could handle, and sending them again."""

import sys
from collections.abc import Iterable
from datetime import timedelta
from pprint import pformat
from typing import Any

import click
from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from channelcelery.core.reliable import Reason
from channelcelery.management.options import seconds
from channelcelery.reliable.dead import APP
from channelcelery.reliable.replay import choose, replay_all

__all__ = ["Command"]


class Command(BaseCommand):
    """List, show, replay or drop dead letters."""

    help = "Lists, shows, replays or drops messages of reliable channels that no consumer could handle."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", default="list", choices=["list", "show", "replay", "drop"])
        parser.add_argument("ids", nargs="*", help="ids of messages; without any, all that fit the options")
        parser.add_argument("--channel", help="only of channels that match this glob")
        parser.add_argument("--reason", choices=[str(reason) for reason in Reason], help="only with this reason")
        parser.add_argument("--layer", help="only of the layer with this alias")
        parser.add_argument("--older", type=seconds, help="only those that died longer ago than so many seconds")
        parser.add_argument("--newer", type=seconds, help="only those that died within so many seconds")
        parser.add_argument("--all", action="store_true", help="replay or drop all, where nothing else chooses")
        parser.add_argument("--dry-run", action="store_true", help="say what would be replayed or dropped")

    def handle(self, *args: Any, **options: Any) -> None:
        if not apps.is_installed("channelcelery.reliable"):
            raise CommandError(
                f"there are no dead letters: put 'channelcelery.reliable' into INSTALLED_APPS and run migrate {APP}"
            )
        chosen = {"ids", "channel", "reason", "layer", "older", "newer"}
        changes = options["action"] in ("replay", "drop")
        if changes and not options["all"] and not any(options[name] for name in chosen):
            raise CommandError(f"{options['action']} which? Write ids, options that choose, or --all")
        letters = self._chosen(options)
        if changes and options["dry_run"]:
            self._list(letters)
            self.stdout.write(
                f"{letters.count()} would be {'replayed' if options['action'] == 'replay' else 'dropped'}."
            )
            return
        getattr(self, f"_{options['action']}")(letters)

    def _chosen(self, options: dict[str, Any]) -> Any:
        now = timezone.now()
        before, after = (
            None if options[name] is None else now - timedelta(seconds=options[name]) for name in ("older", "newer")
        )
        return choose(
            ids=options["ids"],
            channel=options["channel"],
            reason=options["reason"],
            alias=options["layer"],
            before=before,
            after=after,
        )

    def _list(self, letters: Iterable[Any]) -> None:
        for letter in letters:
            self.stdout.write(
                f"{letter.message_id}  {letter.died_at:%Y-%m-%d %H:%M:%S}  {letter.channel}  {letter.reason} "
                f"after {letter.attempts}: {_plain(letter.detail[:100])}"
            )

    def _show(self, letters: Iterable[Any]) -> None:
        for letter in letters:
            self._list([letter])
            content = letter.decoded()
            self.stdout.write("(it cannot be read)" if content is None else pformat(content))
            self.stdout.write("\n".join(map(_plain, letter.traceback.split("\n"))))

    def _replay(self, letters: Any) -> None:
        total, failed = letters.count(), 0
        # it shows nothing where nobody watches
        with click.progressbar(replay_all(letters), length=total, file=sys.stderr) as results:
            for letter, error in results:
                if error is not None:
                    failed += 1
                    self.stderr.write(f"{letter.message_id} stays: {error}")
        self.stdout.write(f"{total - failed} of {total} messages were sent again.")
        if failed:
            raise CommandError(f"{failed} stay dead letters")

    def _drop(self, letters: Any) -> None:
        number, _ = letters.delete()
        self.stdout.write(f"{number} dead letters were dropped.")


def _plain(text: str) -> str:
    """Return a text in one line, without what would command a terminal: errors tell what clients wrote."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
