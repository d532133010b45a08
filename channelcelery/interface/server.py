"""The interface on uvicorn: the settings under which its limits hold and its sockets are cheap."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings

from channelcelery.conf import LayerConfig
from channelcelery.interface.access_log import AccessLog, hide_session_keys
from channelcelery.interface.events import Receive, Scope, Send
from channelcelery.interface.faults import Faults
from channelcelery.interface.limits import Gate, files_allow

__all__ = ["Binding", "make_server", "serve", "show_log"]

#: Bytes of a frame that the server takes above CONFIG["frame_size"], so that it is the application that refuses it.
_FRAME_MARGIN = 1024 * 1024
#: Seconds for requests under way to finish when the server ends; what sockets are left is closed at once.
_GRACE = 3


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a server listens: at a socket inherited as `fd`, else at the path `uds`, else at host and port."""

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    fd: int | None = None

    def __str__(self) -> str:
        if self.fd is not None:
            return f"fd:{self.fd}"
        if self.uds is not None:
            return f"unix:{self.uds}"
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def make_server(
    application: Callable[[Scope, Receive, Send], Awaitable[None]],
    config: LayerConfig,
    binding: Binding,
    *,
    access_log: bool = False,
    proxies: Sequence[str] = (),
    faults: Faults | None = None,
    drain: Callable[[], Awaitable[None]] | None = None,
) -> uvicorn.Server:
    """Return a server, to be run on the main thread or awaited.

    Args:
        application: what it serves: an `InterfaceApplication`, perhaps behind another.
        config: what its `check` returned.
        binding: where it listens.
        access_log: whether each request and socket is logged, with its query string but for session keys.
        proxies: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed; where there are any,
            no forwarded header of another peer reaches the application.
        faults: the application's, where connections that are turned away are counted.
        drain: closes its sockets when the server ends, before the server does.
    """
    gate = Gate(config, faults or Faults(), proxies, files_allow())
    hide_session_keys()
    return _Server(
        uvicorn.Config(
            AccessLog(application) if access_log else application,
            host=binding.host,
            port=binding.port,
            uds=binding.uds,
            fd=binding.fd,
            loop="uvloop" if find_spec("uvloop") else "auto",
            **_protocols(gate),
            ws_max_size=config.frame_size + _FRAME_MARGIN,
            ws_ping_interval=config.ping_interval,
            ws_ping_timeout=config.ping_timeout,
            # costs more CPU than all the rest, and memory for each socket
            ws_per_message_deflate=False,
            lifespan="on",
            interface="asgi3",
            log_config=None,
            # its own lines at INFO are those of the access log, told twice
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            timeout_graceful_shutdown=_GRACE,
        ),
        drain,
    )


class _Server(uvicorn.Server):
    """Takes no more connections when it ends, and has its sockets closed slowly: by itself it closes all at once."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; a second Ctrl-C ends it at once."""
        for server in self.servers:
            server.close()
        if self._drain is not None:
            draining = asyncio.ensure_future(self._drain())
            while not draining.done() and not self.force_exit:
                await asyncio.wait([draining], timeout=0.1)
            draining.cancel()
        await super().shutdown(sockets)


def _protocols(gate: Gate) -> dict[str, Any]:
    if not find_spec("httptools"):
        return {"http": "auto", "ws": "websockets-sansio"}
    from channelcelery.interface.protocol import LimitedHttpProtocol
    from channelcelery.interface.socket_protocol import SocketProtocol
    from channelcelery.interface.wheel import Wheel

    return {"http": partial(LimitedHttpProtocol, gate=gate, wheel=Wheel(gate.faults)), "ws": SocketProtocol}


def show_log(verbosity: int = 1) -> None:
    """Show what the interface logs, unless the project's LOGGING says what is to be shown.

    By itself Django shows nothing outside DEBUG, not even that Redis is away (Channels 1.x, item 224).

    Args:
        verbosity: 2 shows each connection (LOGGING may still hold it back), 0 warnings only.
    """
    channels, uvicorns = logging.getLogger("django.channels"), logging.getLogger("uvicorn")
    if settings.LOGGING:
        if verbosity > 1:
            channels.setLevel(logging.DEBUG)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    channels.setLevel({0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    for logger in (channels, uvicorns):
        logger.handlers, logger.propagate = [handler], False


def serve(server: uvicorn.Server) -> bool:
    """Run a server on the main thread until SIGTERM or SIGINT, and tell whether it had started."""
    with _signals_end_here():
        server.run()
    return server.started


@contextmanager
def _signals_end_here() -> Iterator[None]:
    # uvicorn raises the signal again after it ended in order, which would make it look like a crash
    def ignore(number: int, frame: FrameType | None) -> None:
        return None

    former = {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
