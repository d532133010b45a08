"""`manage.py runworker`: a Celery worker for the project's channels, by its Channels 1.x name (item 222)."""

from argparse import ArgumentParser
from typing import Any

from click import ClickException
from django.core.management.base import BaseCommand, CommandError

from channelcelery.broker.connection import broker_app
from channelcelery.layers import DEFAULT_CHANNEL_LAYER
from channelcelery.management.options import count, metrics, shared_layer
from channelcelery.worker.install import install

__all__ = ["Command"]


class Command(BaseCommand):
    """Run consumers. This is `celery worker` of the project's app; use that for every option that Celery has."""

    help = "Runs the consumers of the project's channels in a Celery worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--layer", default=DEFAULT_CHANNEL_LAYER, help="the alias that must be usable")
        add("--only-channels", action="append", default=[], help="run only what matches; repeatable")
        add("--exclude-channels", action="append", default=[], help="don't run what matches; repeatable")
        add("--threads", type=count, default=1, help="threads; 1 (the default) means processes by --pool")
        add("--pool", default=None, help="prefork (the default), threads or solo")
        add("--concurrency", type=count, default=None, help="processes or threads of the pool")
        add("--metrics", type=metrics, default="", metavar="[ADDRESS:]PORT", help="answer /live, /ready and /metrics")

    def handle(self, *args: Any, **options: Any) -> None:
        shared_layer(options["layer"], "runworker")
        pool = options["pool"] or ("threads" if options["threads"] > 1 else "prefork")
        concurrency = options["concurrency"] or (options["threads"] if pool == "threads" else None)
        level = {0: "WARNING", 1: "INFO"}.get(options["verbosity"], "DEBUG")
        argv = ["worker", f"--pool={pool}", f"--loglevel={level}"]
        if concurrency:
            argv.append(f"--concurrency={concurrency}")
        argv += [f"--only-channels={glob}" for glob in options["only_channels"]]
        argv += [f"--exclude-channels={glob}" for glob in options["exclude_channels"]]
        if options["metrics"]:
            argv.append(f"--metrics={options['metrics']}")
        try:
            install(broker_app()).worker_main(argv)
        except ClickException as error:  # what a worker says of wrong settings, routing or pools
            raise CommandError(error.format_message()) from error
