"""Finding the consumer of a message against the number of routes; `python -m benchmarks.growth.routes` prints it."""

import json
import os
import random
import subprocess
import sys
import time

from benchmarks.growth.system import Point
from benchmarks.processes import ROOT

__all__ = ["routes"]

_COUNTS = (10, 100, 1000, 5000)
_MATCHES = 2_000


def routes(*, quick: bool) -> list[Point]:
    """Measure in a process of its own, with the settings of the measured project."""
    env = {"DJANGO_SETTINGS_MODULE": "benchmarks.project.settings", "CHANNEL_LAYER_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    points: list[Point] = json.loads(done.stdout)
    return points


def _measure(count: int) -> Point:
    """Return microseconds to find a consumer among routes of as many channels, and among paths of one channel."""
    from channelcelery.layers import channel_layers
    from channelcelery.message import Message
    from channelcelery.routing import Router, null_consumer, route

    layer = channel_layers["default"]
    channels = Router([route(f"channel-{number}", null_consumer) for number in range(count)])
    paths = [route("websocket.receive", null_consumer, path=rf"^/room-{number}/$") for number in range(count)]
    chosen = [random.randrange(count) for _ in range(_MATCHES)]
    found = {}
    for name, router, messages in (
        ("channels_us", channels, [Message({}, f"channel-{number}", layer) for number in chosen]),
        (
            "paths_us",
            Router(paths),
            [Message({"path": f"/room-{number}/"}, "websocket.receive", layer) for number in chosen],
        ),
    ):
        begun = time.process_time()
        assert all(router.match(message) is not None for message in messages)
        found[name] = round((time.process_time() - begun) * 1e6 / _MATCHES, 2)
    return {"routes": count, **found}


def main() -> None:
    """Print the points."""
    import django

    django.setup()
    _measure(10)
    print(json.dumps([_measure(count) for count in _COUNTS]))


if __name__ == "__main__":
    main()
