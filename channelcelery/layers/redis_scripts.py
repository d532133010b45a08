"""The layer's Lua scripts on one Redis."""

from functools import cache
from typing import Any

import redis

from channelcelery.broker.script_runner import Script, ScriptRunner
from channelcelery.layers.redis_clients import reaching_redis, script

__all__ = ["Scripts"]

#: Connections that are kept of those of one process.
_KEPT = 8


class Scripts:
    """Runs the layer's scripts; safe to share between threads, and usable again after a fork.

    Args:
        client: whose connections these are; it is closed by who made it.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._runner = ScriptRunner(client.connection_pool, _KEPT)

    def run(self, name: str, *arguments: Any) -> Any:
        """Run a script and return its answer, undecoded.

        Args:
            name: its file's name without the suffix.
            arguments: its ARGV; it has no KEYS.

        Raises:
            LayerUnavailable: Redis did not answer. The script may have run, so it is not sent again.
        """
        with reaching_redis():
            return self._runner.run(_script(name), (), arguments)


@cache
def _script(name: str) -> Script:
    return Script(script(name))
