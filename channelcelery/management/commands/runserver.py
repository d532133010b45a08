"""`manage.py runserver`: interface and worker in one process, with autoreload and static files (items 219 to 221)."""

import os
import threading
from collections.abc import Mapping
from typing import Any

import click
import uvicorn
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.runserver import Command as DjangoCommand
from django.utils import autoreload

from channelcelery.handler import ViewConsumer
from channelcelery.interface.access_log import show_requests_as_django
from channelcelery.interface.app import InterfaceApplication
from channelcelery.interface.server import Binding, make_server, serve, show_log
from channelcelery.layers import DEFAULT_CHANNEL_LAYER, channel_layers
from channelcelery.management.options import changes, command_errors, seconds, shared_layer
from channelcelery.routing import make_router, replace_router
from channelcelery.worker.embedded import EmbeddedWorker

__all__ = ["Command"]


#: Seconds that consumers have to end when the code has changed, or somebody pressed Ctrl-C beside autoreload.
_RELOAD = 1.0


class Command(DjangoCommand):
    """Serve pages and sockets and run consumers, for development; without a layer this is Django's own command."""

    addr: str
    port: str
    _worker: EmbeddedWorker | None = None

    help = "Starts a server for development: pages, sockets and a worker in one process."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--noworker", action="store_true", help="run no consumers; start runworker beside it")
        add("--noasgi", action="store_true", help="run Django's own server: pages only, and no consumers")
        add("--layer", default=DEFAULT_CHANNEL_LAYER, help="the alias to serve")
        for key, names in {
            "http_timeout": ("--http_timeout", "--http-timeout"),
            "connect_timeout": ("--websocket_handshake_timeout", "--websocket-handshake-timeout"),
        }.items():
            add(*names, dest=key, type=seconds, metavar="SECONDS", help=f"instead of CONFIG[{key!r}]")
        if apps.is_installed("django.contrib.staticfiles"):
            # as the command of staticfiles has them, whose place this one takes (item 221)
            add("--nostatic", action="store_false", dest="use_static_handler", help="serve no static files")
            add("--insecure", action="store_true", dest="insecure_serving", help="serve them outside DEBUG too")

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return what Django's own server serves (item 220)."""
        handler = super().get_handler(*args, **options)
        return StaticFilesHandler(handler) if _has_static(options) else handler

    def run(self, **options: Any) -> None:
        try:
            super().run(**options)
        finally:
            # autoreload leaves the thread that runs `inner_run` to the end of the process, in which Python takes the
            # worker's threads from it before it ends
            if self._worker is not None:
                self._worker.stop(_RELOAD)

    def inner_run(self, *args: Any, **options: Any) -> None:
        alias = options["layer"]
        if options["noasgi"] or (alias == DEFAULT_CHANNEL_LAYER and alias not in channel_layers):
            super().inner_run(*args, **options)
            return
        autoreload.raise_last_exception()

        def show() -> None:
            show_log(options["verbosity"])
            show_requests_as_django()

        show()
        binding = Binding(self.addr, int(self.port))
        worker = None if options["noworker"] else EmbeddedWorker(4 if options["use_threading"] else 1, show)
        self._preflight(worker is None, options)
        server = self._server(binding, options)
        try:
            if worker is not None:
                if not options.get("use_static_handler", True):
                    _leave_files_to_views(alias)
                self._worker = worker
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
                self._worker = None
        if not started:
            # as Django's own command does, so that autoreload's parent ends too
            os._exit(1)

    def _preflight(self, without_worker: bool, options: dict[str, Any]) -> None:
        if without_worker:
            shared_layer(options["layer"], "runserver --noworker")
        if not options["skip_checks"]:
            self.stdout.write("Performing system checks...\n\n")
            self.check(display_num_errors=True)
        self.check_migrations()

    def _server(self, binding: Binding, options: dict[str, Any]) -> uvicorn.Server:
        application = InterfaceApplication(
            options["layer"],
            allow_local=True,
            changes=changes(options),
            root_path=settings.FORCE_SCRIPT_NAME or "",  # item 47
            static=False,  # which is decided here, as staticfiles' own command does
        )
        with command_errors():
            config = application.check()
        served: Any = application
        if _has_static(options):
            served = ASGIStaticFilesHandler(served)
        return make_server(served, config, binding, access_log=True, faults=application.faults)

    def _announce(self, alias: str, binding: Binding, with_worker: bool) -> None:
        ends = "CTRL-BREAK" if os.name == "nt" else "CONTROL-C"
        worker = "a worker in it" if with_worker else "no worker in it: start `manage.py runworker` beside it"
        self.stdout.write(
            f"Django {self.get_version()}, settings {settings.SETTINGS_MODULE!r}, "
            f"channel layer {channel_layers[alias]}, {worker}.\nListening on {binding}/ - quit with {ends}.\n"
        )


def _leave_files_to_views(alias: str) -> None:
    """Let the worker's default for requests be the views alone: with DEBUG it would serve files too (item 112).

    Args:
        alias: the layer that requests come by.
    """
    with command_errors():
        router = make_router(alias)
    router.check_default(ViewConsumer())
    replace_router(alias, router)


def _has_static(options: Mapping[str, Any]) -> bool:
    """Tell whether static files are served in front of all else, as staticfiles' own command decides it (item 112)."""
    return bool(options.get("use_static_handler") and (settings.DEBUG or options["insecure_serving"]))
