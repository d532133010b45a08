"""Where probes and Prometheus ask a process: /live, /ready and /metrics, on a thread of their own."""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from socketserver import ThreadingMixIn
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.exceptions import ImproperlyConfigured

from channelcelery.observe.metrics import Value, families

__all__ = ["VARIABLE", "Address", "Endpoint", "Probe", "address_of"]

#: The environment variable that says where, if no option does.
VARIABLE = "CHANNELCELERY_METRICS"
#: Seconds for a client to send its request, and to take the answer.
_PATIENCE = 5.0
#: Seconds between two looks whether it is to end.
_POLL = 0.2
#: Requests that are answered at a time; others are turned away.
_AT_ONCE = 8


class Probe(Protocol):
    """What a process tells of itself; called on any thread."""

    def live(self) -> str:
        """Return why the process should be started again, or ""."""

    def ready(self) -> str:
        """Return why the process cannot do its work for now, or ""."""

    def values(self) -> Mapping[str, Value]:
        """Return the metrics."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def address_of(text: str) -> Address:
    """Read "9464", or "10.0.0.5:9464" where others than this machine are to ask.

    Raises:
        ImproperlyConfigured: it is something else, or the client library of Prometheus is not there.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ImproperlyConfigured(f"metrics: write a port, or address:port, not {text!r}")
    if find_spec("prometheus_client") is None:
        raise ImproperlyConfigured("metrics need the package prometheus-client: pip install 'channelcelery[metrics]'")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


class Endpoint:
    """Listens until it is closed, or the process ends.

    Args:
        address: where.
        probe: what is asked.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, address: Address, probe: Probe) -> None:
        self._probe = probe
        server = _IPv6Server if ":" in address.host else _Server
        try:
            self._server = make_server(address.host, address.port, self._answer, server, _Handler)
        except OSError as error:
            raise OSError(error.errno, f"metrics cannot be had at {address}: {error.strerror}") from error
        self.address = Address(address.host, self._server.server_port)
        self._collect = _exposition(probe)
        # the pool's processes must not hold the port when this one is gone
        os.register_at_fork(after_in_child=self._server.socket.close)
        serve, name = self._server.serve_forever, "channelcelery-metrics"
        threading.Thread(target=serve, args=(_POLL,), name=name, daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            return _text("405 Method Not Allowed", "GET it.", start_response)
        match environ["PATH_INFO"]:
            case "/live":
                return _verdict(self._probe.live(), start_response)
            case "/ready":
                return _verdict(self._probe.ready(), start_response)
            case "/metrics":
                return self._collect(environ, start_response)
        return _text("404 Not Found", "There are /live, /ready and /metrics.", start_response)


def _exposition(probe: Probe) -> Callable[..., Iterable[bytes]]:
    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.registry import Collector

    class Values(Collector):
        def collect(self) -> Iterator[Any]:
            return families(probe.values())

        def describe(self) -> Iterator[Any]:
            return iter(())  # or values were collected when it is registered

    registry = CollectorRegistry()
    registry.register(Values())
    application: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)
    return application


def _verdict(reason: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    return _text("503 Service Unavailable" if reason else "200 OK", reason or "ok", start_response)


def _text(status: str, text: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    # closing waits for no answer
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, *arguments: Any) -> None:
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(*arguments)

    def server_bind(self) -> None:
        # without a look-up of the host's name, which may take its time
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the client is gone, or too slow."""


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: it is asked every few seconds."""
