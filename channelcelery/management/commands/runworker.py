"""`manage.py runworker`: a Celery worker for the project's channels, by its Channels 1.x name (item 222)."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from channelcelery.broker.connection import broker_app, require_shared
from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.layers import DEFAULT_CHANNEL_LAYER, channel_layers
from channelcelery.worker.install import install

__all__ = ["Command"]


class Command(BaseCommand):
    """Run consumers. This is `celery worker` of the project's app; use that for every option that Celery has."""

    help = "Runs the consumers of the project's channels in a Celery worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="the alias that must be usable")
        parser.add_argument("--only-channels", action="append", default=[], help="run only what matches; repeatable")
        parser.add_argument(
            "--exclude-channels", action="append", default=[], help="don't run what matches; repeatable"
        )
        parser.add_argument("--threads", type=int, default=1, help="threads; 1 (the default) means processes by --pool")
        parser.add_argument("--pool", default=None, help="prefork (the default), threads or solo")
        parser.add_argument("--concurrency", type=int, default=None, help="processes or threads of the pool")

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["layer"]
        try:
            require_shared(channel_layers.config(alias), "runworker")
        except (KeyError, InvalidChannelLayerError) as error:
            raise CommandError(str(error)) from error
        pool = options["pool"] or ("threads" if options["threads"] > 1 else "prefork")
        concurrency = options["concurrency"] or (options["threads"] if pool == "threads" else None)
        argv = ["worker", f"--pool={pool}", f"--loglevel={'DEBUG' if options['verbosity'] > 1 else 'INFO'}"]
        if concurrency:
            argv.append(f"--concurrency={concurrency}")
        argv += [f"--only-channels={glob}" for glob in options["only_channels"]]
        argv += [f"--exclude-channels={glob}" for glob in options["exclude_channels"]]
        install(broker_app()).worker_main(argv)
