"""`manage.py runinterface`: holds sockets in production; the options are daphne's where they make sense (item 225)."""

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from kombu.utils.url import maybe_sanitize_url

from channelcelery.checks import LAYERS_TAG
from channelcelery.conf import DEFAULT_CHANNEL_LAYER
from channelcelery.management.options import (
    addresses,
    changes,
    command_errors,
    descriptor,
    metrics,
    port,
    root_path,
    seconds,
)
from channelcelery.observe.endpoint import VARIABLE

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
        add = parser.add_argument
        add("-b", "--bind", "--host", dest="host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
        add("-p", "--port", type=port, default=8000, help="port to listen at (8000)")
        add("-u", "--unix-socket", "--uds", dest="uds", help="path of a Unix socket to listen at instead")
        add("--fd", type=descriptor, help="inherited socket to listen at instead, by its file descriptor")
        add("--layer", default=DEFAULT_CHANNEL_LAYER, help="alias in CHANNEL_LAYERS (default)")
        add("--root-path", type=root_path, default="", help="where the site is mounted (FORCE_SCRIPT_NAME)")
        add("--ws-protocol", dest="subprotocols", nargs="*", action="extend", help="instead of CHANNELS_WS_PROTOCOLS")
        add("--proxy-headers", action="store_true", help="believe X-Forwarded-For and X-Forwarded-Proto of a proxy")
        add(
            "--forwarded-allow-ips",
            type=addresses,
            help="which proxies: addresses and networks with commas between them, or * where only the proxy gets "
            "here, as at a Unix socket (FORWARDED_ALLOW_IPS of the environment, else 127.0.0.1,::1)",
        )
        add("--access-log", nargs="?", const="-", metavar="FILE", help="log each request and socket, to a file or not")
        add(
            "--metrics",
            type=metrics,
            default=os.environ.get(VARIABLE) or None,
            metavar="[ADDRESS:]PORT",
            help=f"answer /live, /ready and /metrics there ({VARIABLE} of the environment, else nowhere)",
        )
        # in CONFIG for every process, here for this one
        for key, names in {
            "http_timeout": ("-t", "--http-timeout", "--http_timeout"),
            "connect_timeout": ("--websocket-connect-timeout", "--websocket_connect_timeout"),
            "connection_lifetime": ("--websocket-timeout", "--websocket_timeout"),
            "ping_interval": ("--ping-interval",),
            "ping_timeout": ("--ping-timeout",),
        }.items():
            add(*names, dest=key, type=seconds, metavar="SECONDS", help=f"instead of CONFIG[{key!r}]")

    def handle(self, *args: Any, **options: Any) -> None:
        # imported here, so that `manage.py help` needs neither uvicorn nor a broker's library
        from channelcelery.broker.connection import broker_identity
        from channelcelery.interface.access_log import show_requests
        from channelcelery.interface.app import InterfaceApplication
        from channelcelery.interface.server import Binding, make_server, serve, show_log

        show_log(options["verbosity"])
        application = InterfaceApplication(
            options["layer"],
            changes=changes(options),
            subprotocols=options["subprotocols"],
            root_path=options["root_path"] or settings.FORCE_SCRIPT_NAME or "",
            metrics=options["metrics"] or "",
        )
        with command_errors():
            config = application.check()
            if options["access_log"]:
                show_requests(None if options["access_log"] == "-" else options["access_log"])
        binding = Binding(options["host"], options["port"], options["uds"], options["fd"])
        hosts = ", ".join(maybe_sanitize_url(url) for url in config.hosts)
        access_log, proxies = options["access_log"] is not None, _proxies(options)
        server = make_server(
            application,
            config,
            binding,
            access_log=access_log,
            proxies=proxies,
            faults=application.faults,
            drain=application.drain,
        )
        application.listens = lambda: server.started
        self.stdout.write(
            f"Interface at {binding}, layer {config.alias} at {hosts}, broker {broker_identity()}. Ctrl-C ends it."
        )
        if not serve(server):
            raise CommandError(f"it could not listen at {binding}; the log says why")


def _proxies(options: dict[str, Any]) -> list[str]:
    listed: list[str] | None = options["forwarded_allow_ips"]
    if not options["proxy_headers"]:
        if listed is not None:
            raise CommandError("--forwarded-allow-ips says whose headers count; add --proxy-headers, so that they do")
        return []
    return listed or addresses(os.environ.get("FORWARDED_ALLOW_IPS") or "127.0.0.1,::1")
