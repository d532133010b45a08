"""`manage.py runinterface`: holds sockets in production."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu.utils.url import maybe_sanitize_url

from channelcelery.checks import LAYERS_TAG
from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.exceptions import InvalidChannelLayerError

__all__ = ["Command"]


class Command(BaseCommand):
    help = (
        "Holds sockets, and runs no consumer: those run in Celery workers, which can be restarted without closing a "
        "socket. Any ASGI server does the same: uvicorn channelcelery.asgi:application --ws websockets-sansio "
        "--host 127.0.0.1 --port 8000 --ws-max-size 2097152 --ws-per-message-deflate false --no-server-header"
    )
    # not those of routing and URLconf, since this process imports neither
    requires_system_checks = [LAYERS_TAG]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen at (8000)")
        parser.add_argument("--uds", help="path of a Unix socket to listen at instead")
        parser.add_argument("--fd", type=int, help="inherited socket to listen at instead, by its file descriptor")
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="alias in CHANNEL_LAYERS (default)")
        parser.add_argument("--access-log", action="store_true", help="log every request, with its query string")

    def handle(self, *args: Any, **options: Any) -> None:
        # imported here, so that `manage.py help` needs neither uvicorn nor a broker's library
        from channelcelery.broker.connection import broker_identity
        from channelcelery.interface.app import InterfaceApplication
        from channelcelery.interface.server import Binding, make_server, serve, show_log

        show_log(options["verbosity"])
        application = InterfaceApplication(options["layer"])
        try:
            config = application.check()
        except InvalidChannelLayerError as error:
            raise CommandError(str(error)) from error
        except KeyError as error:  # its own text would be quoted
            raise CommandError(error.args[0]) from error
        binding = Binding(options["host"], options["port"], options["uds"], options["fd"])
        hosts = ", ".join(maybe_sanitize_url(url) for url in config.hosts)
        self.stdout.write(
            f"Interface at {binding}, layer {config.alias} at {hosts}, broker {broker_identity()}. Ctrl-C ends it."
        )
        if not serve(make_server(application, config, binding, access_log=options["access_log"])):
            raise CommandError(f"it could not listen at {binding}; the log says why")
