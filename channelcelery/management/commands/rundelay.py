"""`manage.py rundelay`: sends delayed messages that are due, for projects that stop their workers (items 207, 223)."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from channelcelery.exceptions import BrokerUnavailable, LayerUnavailable
from channelcelery.layers import DEFAULT_CHANNEL_LAYER, channel_layers
from channelcelery.layers.upkeep import send_due
from channelcelery.management.options import seconds, shared_layer

__all__ = ["Command"]


class Command(BaseCommand):
    """Send what is due. Every worker does this too, so that the command is only needed where none runs."""

    help = "Sends delayed messages that are due; workers do so by themselves."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="the alias whose messages are sent")
        parser.add_argument("--sleep", type=seconds, default=0.05, help="seconds between two looks")

    def handle(self, *args: Any, **options: Any) -> None:
        shared_layer(options["layer"], "rundelay")
        layer = channel_layers[options["layer"]]
        self.stdout.write(f"Sending delayed messages of {layer}.")
        try:
            while True:
                self._send(layer)
                time.sleep(options["sleep"])
        except KeyboardInterrupt:
            return

    def _send(self, layer: Any) -> None:
        try:
            send_due(layer)
        except (BrokerUnavailable, LayerUnavailable) as error:
            self.stderr.write(f"delayed messages wait: {error}")
            time.sleep(1)
