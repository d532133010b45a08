"""`manage.py runserver`: interface and worker in one process, with autoreload and static files (items 219 to 221)."""

import logging
import os
import threading
from typing import Any

import click
from django.apps import apps
from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.runserver import Command as DjangoCommand
from django.utils import autoreload

from channelcelery.broker.connection import require_shared
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.interface.app import InterfaceApplication
from channelcelery.interface.server import Binding, make_server, serve
from channelcelery.layers import DEFAULT_CHANNEL_LAYER, channel_layers
from channelcelery.worker.embedded import EmbeddedWorker

__all__ = ["Command"]


class Command(DjangoCommand):
    """Serve pages and sockets and run consumers, for development; without a layer this is Django's own command."""

    addr: str
    port: str

    help = "Starts a server for development: pages, sockets and a worker in one process."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--noworker", action="store_true", help="run no consumers; start runworker beside it")
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="the alias to serve")
        if apps.is_installed("django.contrib.staticfiles"):
            # so that this command can stand in for that of staticfiles; in DEBUG the interface serves static files
            parser.add_argument("--nostatic", action="store_true", help="accepted as in Django; use DEBUG to choose")
            parser.add_argument("--insecure", action="store_true", help="accepted as in Django; use DEBUG to choose")

    def inner_run(self, *args: Any, **options: Any) -> None:
        alias = options["layer"]
        if alias not in channel_layers:
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()
        if options["verbosity"] > 1:
            logging.getLogger("django.channels").setLevel(logging.DEBUG)
        threads = 4 if options["use_threading"] else 1
        worker = None if options["noworker"] else EmbeddedWorker(threads)
        self._preflight(alias, worker is None, options)
        application = InterfaceApplication(alias, allow_local=True)
        binding = Binding(self.addr, int(self.port))
        server = make_server(application, channel_layers.config(alias), binding, access_log=True)
        try:
            if worker is not None:
                worker.start()
            self._announce(alias, binding, worker is not None)
            if threading.current_thread() is threading.main_thread():
                started = serve(server)
            else:  # autoreload keeps the main thread for itself
                server.run()
                started = server.started
        except click.ClickException as error:  # what a worker of its own says of wrong settings or routing
            raise CommandError(error.format_message()) from error
        finally:
            if worker is not None:
                worker.stop()
        if not started:
            # as Django's own command does, so that autoreload's parent ends too
            os._exit(1)

    def _preflight(self, alias: str, without_worker: bool, options: dict[str, Any]) -> None:
        try:
            if without_worker:
                require_shared(channel_layers.config(alias), "runserver --noworker")
            if not options["skip_checks"]:
                self.stdout.write("Performing system checks...\n\n")
                self.check(display_num_errors=True)
            self.check_migrations()
        except InvalidChannelLayerError as error:
            raise CommandError(str(error)) from error

    def _announce(self, alias: str, binding: Binding, with_worker: bool) -> None:
        ends = "CTRL-BREAK" if os.name == "nt" else "CONTROL-C"
        worker = "a worker in it" if with_worker else "no worker in it: start `manage.py runworker` beside it"
        self.stdout.write(
            f"Django {self.get_version()}, settings {settings.SETTINGS_MODULE!r}, "
            f"channel layer {channel_layers[alias]}, {worker}.\nListening on {binding}/ - quit with {ends}.\n"
        )
