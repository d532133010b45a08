"""The ASGI application: lifespan, HTTP that is off or inline, and settings that it refuses."""

import asyncio
import contextlib
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path

from channelcelery.exceptions import InvalidChannelLayerError
from channelcelery.interface import app as app_module
from channelcelery.interface.app import InterfaceApplication
from channelcelery.layers import channel_layers
from channelcelery.layers.layer import ChannelLayer
from channelcelery.observe.endpoint import VARIABLE, Address
from tests.unit.interface.fakes import FakeServer, World, accepted, closed, run, until

MEMORY = "channelcelery.layers.InMemoryChannelLayer"
REDIS = "channelcelery.layers.RedisChannelLayer"


@pytest.fixture(autouse=True)
def fresh_layer(settings: Any) -> Iterator[None]:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY, "CONFIG": {"http": "off"}}}
    former = channel_layers.set("default", None)
    yield
    channel_layers.set("default", former)


class Lifespan:
    """The server's half of the lifespan protocol."""

    def __init__(self, application: InterfaceApplication) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.task = asyncio.ensure_future(application({"type": "lifespan"}, self.events.get, self._send))

    async def _send(self, event: Any) -> None:
        self.sent.append(event)

    async def tell(self, what: str) -> dict[str, Any]:
        self.events.put_nowait({"type": f"lifespan.{what}"})
        count = len(self.sent)
        await until(lambda: len(self.sent) > count)
        return self.sent[-1]


@contextlib.asynccontextmanager
async def started(application: InterfaceApplication) -> Any:
    lifespan = Lifespan(application)
    assert await lifespan.tell("startup") == {"type": "lifespan.startup.complete"}
    yield lifespan
    assert await lifespan.tell("shutdown") == {"type": "lifespan.shutdown.complete"}
    await lifespan.task


async def get(application: InterfaceApplication, method: str = "GET", path: str = "/nowhere/") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    async def send(event: Any) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "http_version": "1.1",
        "scheme": "http",
    }
    await application(scope, incoming.get, send)
    return sent


def connect(application: InterfaceApplication, server: FakeServer) -> asyncio.Task[None]:
    scope = {"type": "websocket", "path": "/", "headers": [(b"host", b"testserver")], "query_string": b""}
    return asyncio.ensure_future(application(scope, server.receive, server.send))


def test_making_one_reads_no_settings() -> None:
    InterfaceApplication("no such alias")


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ({"default": {"BACKEND": MEMORY}}, ["CELERY_BROKER_URL", "CHANNEL_LAYER_URL", "runserver"]),
        ({"default": {"BACKEND": REDIS}}, ["memory://", "CELERY_BROKER_URL"]),
        ({"default": {"BACKEND": "nonsense"}}, ["'default'", "BACKEND", "nonsense"]),
        ({"default": {"BACKEND": MEMORY, "CONFIG": {"http": "maybe"}}}, ["CONFIG['http']", "inline"]),
    ],
)
def test_settings_that_cannot_work_fail_the_start_and_say_why(
    settings: Any, layers: dict[str, Any], parts: list[str]
) -> None:
    settings.CHANNEL_LAYERS = layers

    async def main() -> None:
        application = InterfaceApplication()
        lifespan = Lifespan(application)
        failed = await lifespan.tell("startup")
        assert failed["type"] == "lifespan.startup.failed"
        assert all(part in failed["message"] for part in parts), failed["message"]
        await lifespan.task
        assert len(asyncio.all_tasks()) == 1
        with pytest.raises(InvalidChannelLayerError):
            await get(application)

    run(main)


@pytest.mark.parametrize("mismatch", [False, True])
def test_the_broker_is_compared_once_off_the_loop_and_another_fails_the_start(
    monkeypatch: pytest.MonkeyPatch, mismatch: bool
) -> None:
    threads: list[int] = []

    def check_broker(layer: ChannelLayer) -> None:
        threads.append(threading.get_ident())
        if mismatch:
            raise InvalidChannelLayerError("default", "CELERY_BROKER_URL", "another broker")

    monkeypatch.setattr(ChannelLayer, "check_broker", check_broker)

    async def main() -> None:
        lifespan = Lifespan(InterfaceApplication(allow_local=True))
        answer = await lifespan.tell("startup")
        assert answer["type"] == f"lifespan.startup.{'failed' if mismatch else 'complete'}"
        assert ("another broker" in answer.get("message", "")) is mismatch
        if not mismatch:
            await lifespan.tell("shutdown")
        await lifespan.task

    run(main)
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_an_alias_that_does_not_exist_is_named() -> None:
    with pytest.raises(KeyError, match="no 'other'"):
        InterfaceApplication("other", allow_local=True).check()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_http_that_is_off(method: str) -> None:
    async def main() -> None:
        application = InterfaceApplication(allow_local=True)
        async with started(application):
            start, body = await get(application, method)
            headers = dict(start["headers"])
            assert (start["status"], headers[b"content-type"]) == (404, b"text/plain; charset=utf-8")
            assert (body["body"] == b"") is (method == "HEAD")

    run(main)


@pytest.mark.parametrize("debug", [False, True])
def test_http_that_is_inline_is_django_s_own_and_said_at_start(
    settings: Any, debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY, "CONFIG": {"http": "inline"}}}
    settings.ROOT_URLCONF, settings.MIDDLEWARE, settings.DEBUG = __name__, [], debug

    async def main() -> None:
        application = InterfaceApplication(allow_local=True)
        async with started(application):
            start, body, *_ = await get(application, path="/page/")
            assert (start["status"], body["body"]) == (200, b"a page")
            start, *_ = await get(application, path="/nowhere/")
            assert start["status"] == 404

    with caplog.at_level("INFO", "django.channels"):
        run(main)
    assert "deploying new ones restarts its sockets" in caplog.text


urlpatterns = [path("page/", lambda request: HttpResponse("a page"))]


def test_static_files_are_served_in_debug(settings: Any) -> None:
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

    from channelcelery.interface.http import http_application

    settings.MIDDLEWARE, settings.STATIC_URL = [], "/static/"
    settings.INSTALLED_APPS = ["django.contrib.staticfiles", "channelcelery"]
    for debug in (False, True):
        settings.DEBUG = debug
        found = http_application(World(http="inline").around)
        assert isinstance(found.application, ASGIStaticFilesHandler) is debug


def test_a_socket_lives_and_is_closed_at_the_end() -> None:
    async def main() -> None:
        application = InterfaceApplication(allow_local=True)
        server = FakeServer()
        async with started(application):
            running = application._running
            assert running is not None
            await until(lambda: running.node.ready)
            task = connect(application, server)
            await until(lambda: len(running.node.hub))
            (token,) = running.node.hub.channels()
            channel_layers["default"].send(f"websocket.send!{running.node.name}.{token}", {"text": "hello"})
            await until(lambda: len(server.sent) == 2)
        await task
        assert server.sent == [accepted(), {"type": "websocket.send", "text": "hello"}, closed(1012)]

    run(main)


def test_a_server_without_lifespan_opens_it_at_the_first_connection() -> None:
    async def main() -> None:
        application = InterfaceApplication(allow_local=True)
        server = FakeServer()
        await connect(application, server)
        assert server.sent == [{"type": "websocket.close"}], "it is not ready yet, and this server cannot say 503"
        running = application._running
        assert running is not None
        await until(lambda: running.node.ready)
        second = FakeServer()
        task = connect(application, second)
        await until(lambda: len(running.node.hub))
        await application.close()
        await task
        assert second.sent == [{"type": "websocket.close"}]
        assert application.dropped == {"not_ready": 1}

    run(main)


def test_other_connections_are_refused_as_asgi_asks() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="'telepathy'"):
            await InterfaceApplication()({"type": "telepathy"}, None, None)  # type: ignore[arg-type]

    run(main)


def test_get_channel_layer_gives_the_layer_of_an_alias() -> None:
    """Item 46."""
    from channelcelery import asgi
    from channelcelery.asgi import application, get_channel_layer

    assert asgi.channel_layers is channel_layers
    assert asgi.InvalidChannelLayerError is InvalidChannelLayerError
    assert get_channel_layer() is channel_layers["default"]
    assert get_channel_layer("default").alias == "default"
    with pytest.raises(KeyError):
        get_channel_layer("other")
    assert application.alias == "default"


def test_an_asgi_py_of_1x_sets_django_up() -> None:
    """Item 46: in a process of its own, before anything of the project was imported."""
    code = """
from channelcelery.asgi import get_channel_layer
layer = get_channel_layer()
print(layer, "websocket.receive" in layer.router.channels)
"""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.project_1x.settings"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == "default (channelcelery.layers.memory.InMemoryChannelLayer) True\n"


class Asked:
    """An endpoint that listens nowhere."""

    def __init__(self, address: Address, probe: Any) -> None:
        self.address, self.probe, self.closed = address, probe, False

    def close(self) -> None:
        self.closed = True


def test_given_metrics_expect_the_process_ready_once_it_listens_and_no_more_once_it_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Asked] = []
    monkeypatch.setattr(app_module, "Endpoint", lambda *given: made.append(Asked(*given)) or made[-1])

    async def scenario() -> None:
        application = InterfaceApplication(allow_local=True, metrics="0.0.0.0:9464")
        async with started(application):
            [asked] = made
            assert asked.address == Address("0.0.0.0", 9464)
            await until(lambda: asked.probe.ready() == "")
            application.listens = lambda: False
            assert asked.probe.ready() != ""
            application.listens = lambda: True
            await application.drain()
            assert asked.probe.ready() != "", "a balancer is to send nothing more"
            assert await asyncio.to_thread(asked.probe.live) == ""
            assert not asked.closed
        assert asked.closed

    run(scenario)


def test_given_an_address_in_the_environment_expect_asgi_servers_to_have_metrics_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from channelcelery import asgi

    monkeypatch.setenv(VARIABLE, "9464")
    try:
        assert importlib.reload(asgi).application._metrics == "9464"
    finally:
        monkeypatch.delenv(VARIABLE)
        assert importlib.reload(asgi).application._metrics == ""
