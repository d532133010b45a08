"""The interface as operators run it: `runinterface` and plain uvicorn, on real Redis and a real broker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect, unix_connect

from channelcelery.conf import layer_config
from channelcelery.layers.redis import RedisChannelLayer
from tests.integration.interfaces import StandIn
from tests.integration.wire import Wire
from tests.integration.workers import ROOT, WorkerSetup
from tests.servers import Process, RedisServer, free_port, wait_until

MANAGE = [sys.executable, "-m", "django", "runinterface"]


@dataclass
class Running:
    """An interface process, the port that it listens at, and a stand-in for its workers."""

    process: Process
    port: int
    worker: StandIn

    @contextmanager
    def accepted(self, path: str = "/") -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
        """Open a socket and accept it."""
        with Opening(self.port, path) as opening:
            message = self.worker.next("connect")
            self.worker.reply(message, accept=True)
            yield opening.client(), message


class Opening:
    """A handshake under way in a thread, so that the test can play the worker."""

    def __init__(self, port: int, path: str) -> None:
        self._url = f"ws://127.0.0.1:{port}{path}"
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(self._open)

    def _open(self) -> ClientConnection:
        return connect(self._url, compression=None, proxy=None, close_timeout=1).__enter__()

    def client(self) -> ClientConnection:
        return self._future.result(10)

    def __enter__(self) -> "Opening":
        return self

    def __exit__(self, *error: object) -> None:
        if self._future.exception(10) is None:
            self._future.result().close()
        self._pool.shutdown()


def status(port: int) -> int:
    """Try a handshake and return the HTTP status with which it was refused, or 101."""
    try:
        with connect(f"ws://127.0.0.1:{port}/", proxy=None, open_timeout=10):
            return 101
    except InvalidStatus as error:
        return int(error.response.status_code)


def wait_until_recorded(setup: WorkerSetup, message: dict[str, Any]) -> None:
    """Wait until Redis knows of a socket: then others can tell of its end."""
    node, _, token = message["reply_channel"].partition("!")[2].partition(".")
    with redis.Redis.from_url(setup.layer) as store:
        wait_until(lambda: store.hexists(f"cc:node:{node}:channels", token), what="the socket to be recorded")


def closed_with(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=15)
    return caught.value.rcvd.code if caught.value.rcvd else 1006


@contextmanager
def stand_in(setup: WorkerSetup) -> Iterator[StandIn]:
    entry = {
        "BACKEND": "channelcelery.layers.RedisChannelLayer",
        "CONFIG": {"hosts": [setup.layer], "node_expiry": 2.0},
    }
    layer = RedisChannelLayer(layer_config("default", entry))
    worker = StandIn(layer, setup.broker, "cc:")
    try:
        yield worker
    finally:
        worker.close()
        layer.close()


@contextmanager
def interface(setup: WorkerSetup, *arguments: str, command: list[str] = MANAGE, cwd: Path = ROOT) -> Iterator[Running]:
    """Run an interface process for the length of a `with` block."""
    port = free_port()
    with (
        Process([*command, "--port", str(port), *arguments], env=setup.env(), cwd=cwd, name="interface") as process,
        stand_in(setup) as worker,
    ):
        wait_until(lambda: _listens(process, port), what="the interface to listen", timeout=20)
        yield Running(process, port, worker)


def _listens(process: Process, port: int) -> bool:
    assert process.returncode is None, process.output()
    return _accepts(("127.0.0.1", port))


def wait_until_ready(port: int, code: int = 403) -> None:
    """Wait until handshakes are no longer refused with 503: without an answer they are then, with 403."""
    wait_until(lambda: status(port) == code, timeout=20, what=f"handshakes to get {code}")


@pytest.fixture
def quick(setup: WorkerSetup) -> WorkerSetup:
    """Settings under which a dead or silent one is noticed in a second or two."""
    setup.config = '{"http": "off", "connect_timeout": 2, "heartbeat": 0.2, "node_expiry": 2.0}'
    return setup


redis_only = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)


def test_a_socket_lives_and_sigterm_ends_all_in_order(quick: WorkerSetup) -> None:
    """Expect 1012, a disconnect, exit status 0, and no key of the process left."""
    with interface(quick) as it, it.accepted("/a/") as (client, message):
        it.worker.layer.group_add("g", message["reply_channel"])
        it.worker.layer.send_group("g", {"text": "hello"})
        assert client.recv(timeout=5) == "hello"
        client.send("there")
        assert it.worker.next("receive")["text"] == "there"
        it.process.terminate()
        assert closed_with(client) == 1012
        assert it.process.wait() == 0
        assert it.worker.next("disconnect")["reply_channel"] == message["reply_channel"]
        node = message["reply_channel"].partition("!")[2].partition(".")[0]
        with redis.Redis.from_url(quick.layer) as store:
            left = [key for key in store.scan_iter() if node.encode() in key or b"group" in key]
        assert left == []


@redis_only
def test_sigterm_closes_sockets_one_after_the_other(quick: WorkerSetup) -> None:
    """Expect them closed with 1012, few by little, and none taken meanwhile, with nothing of them left."""
    quick.config = json.dumps(json.loads(quick.config) | {"drain_seconds": 30})
    ended: list[float] = []

    def hear(client: ClientConnection) -> int | None:
        code = closed_with(client)
        ended.append(time.monotonic())
        return code

    with interface(quick) as it, ExitStack() as stack:
        clients = [stack.enter_context(it.accepted())[0] for _ in range(100)]
        with ThreadPoolExecutor(len(clients)) as pool:
            codes = [pool.submit(hear, client) for client in clients]
            it.process.terminate()
            wait_until(lambda: ended, what="the first to be closed")
            assert not _accepts(("127.0.0.1", it.port))
            assert [code.result(15) for code in codes] == [1012] * len(clients)
        assert it.process.wait() == 0
        wait_until(lambda: len(it.worker.waiting("disconnect")) == len(clients), what="their disconnects")
        with redis.Redis.from_url(quick.layer) as store:
            assert list(store.scan_iter("cc:node:*")) == store.zrange("cc:nodes", 0, -1) == []
    # a hundred a second, since there are few
    assert ended[-1] - ended[0] > 0.6


@redis_only
def test_ctrl_c_is_no_error_and_the_first_line_hides_passwords(quick: WorkerSetup) -> None:
    quick.environment["CELERY_BROKER_URL"] = quick.broker.replace("redis://", "redis://user:hunter2@")
    with interface(quick) as it:
        line = it.process.wait_for_output(r"^Interface at .*$").group()
        assert f"http://127.0.0.1:{it.port}" in line
        assert quick.layer in line
        assert f"broker {quick.broker}." in line
        it.process.signal_group(signal.SIGINT)
        assert it.process.wait() == 0
        assert "Traceback" not in it.process.output()
        assert "hunter2" not in it.process.output()


@redis_only
def test_plain_uvicorn_in_another_directory(quick: WorkerSetup, tmp_path: Path) -> None:
    """The line that channelcelery.asgi documents, with nothing set but DJANGO_SETTINGS_MODULE."""
    uvicorn = str(Path(sys.executable).parent / "uvicorn")
    line = [uvicorn, "channelcelery.asgi:application", "--ws", "websockets-sansio", "--host", "127.0.0.1"]
    line += ["--ws-max-size", "2097152", "--ws-per-message-deflate", "false", "--no-server-header", "--no-access-log"]
    with interface(quick, command=line, cwd=tmp_path) as it, it.accepted() as (client, message):
        it.worker.reply(message, text="hello")
        assert client.recv(timeout=5) == "hello"
        it.process.terminate()
        assert closed_with(client) == 1012
        it.process.wait()


@redis_only
def test_unix_socket(quick: WorkerSetup, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    command = [*MANAGE, "--uds", str(path)]
    with Process(command, env=quick.env(), cwd=ROOT) as process, stand_in(quick) as worker:
        wait_until(lambda: _accepts(str(path), socket.AF_UNIX), timeout=20, what="the interface to listen")
        process.wait_for_output(rf"Interface at unix:{path}")
        with pytest.raises(InvalidStatus), unix_connect(str(path), "ws://localhost/x/", open_timeout=10):
            pass
        assert worker.next("connect")["path"] == "/x/"


@redis_only
def test_inherited_socket(quick: WorkerSetup) -> None:
    with socket.socket() as listener, stand_in(quick) as worker:
        listener.bind(("127.0.0.1", 0))
        listener.set_inheritable(True)
        # Process closes what a shell would not pass on, so that a shell passes it on
        script = f"exec {sys.executable} -m django runinterface --fd 0"
        command = ["sh", "-c", script]
        port = listener.getsockname()[1]
        environment = {key: value for key, value in {**os.environ, **quick.env()}.items() if value is not None}
        process = subprocess.Popen(command, stdin=listener, env=environment, cwd=ROOT)
        try:
            wait_until(lambda: _accepts(("127.0.0.1", port)), timeout=20, what="the interface to listen")
            assert status(port) in {403, 503}
            wait_until(lambda: worker.waiting("connect") or status(port) == 0, timeout=20, what="a connect")
        finally:
            process.terminate()
            assert process.wait(20) == 0


def _accepts(address: Any, family: int = socket.AF_INET) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


@pytest.mark.parametrize("missing", ["CELERY_BROKER_URL", "CHANNEL_LAYER_URL"])
@pytest.mark.parametrize("how", ["command", "uvicorn"])
@redis_only
def test_memory_is_refused_with_the_mend(quick: WorkerSetup, missing: str, how: str) -> None:
    env = quick.env() | {missing: None}
    uvicorn = [sys.executable, "-m", "uvicorn", "channelcelery.asgi:application"]
    command = [*(MANAGE if how == "command" else uvicorn), "--port", str(free_port())]
    with Process(command, env=env, cwd=ROOT) as process:
        assert process.wait(20) != 0
        assert missing in process.output()
        assert "could not reach any other process" in process.output()


@redis_only
def test_another_broker_than_that_of_the_others_is_refused(quick: WorkerSetup) -> None:
    with interface(quick):
        env = quick.env() | {"CELERY_BROKER_URL": f"{quick.broker}5"}
        with Process([*MANAGE, "--port", str(free_port())], env=env, cwd=ROOT) as process:
            assert process.wait(20) != 0
            assert "CELERY_BROKER_URL" in process.output()
            assert "Traceback" not in process.output()


@redis_only
def test_a_port_in_use_is_said(quick: WorkerSetup) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [*MANAGE, "--port", str(taken.getsockname()[1])]
        with Process(command, env=quick.env(), cwd=ROOT) as process:
            assert process.wait(20) != 0
            assert "address already in use" in process.output()


@redis_only
def test_an_alias_that_does_not_exist(quick: WorkerSetup) -> None:
    with Process([*MANAGE, "--layer", "other"], env=quick.env(), cwd=ROOT) as process:
        assert process.wait(20) == 1
        assert "CHANNEL_LAYERS has no 'other'" in process.output()
        assert "Traceback" not in process.output()


TRIPWIRE = """
import os
with open(os.environ["TRIPWIRE"], "a") as file:
    file.write(__name__ + "\\n")
"""

SITE = {
    "site_under_test/__init__.py": "",
    "site_under_test/consumers.py": TRIPWIRE,
    "site_under_test/routing.py": TRIPWIRE + "channel_routing = []",
    "site_under_test/urls.py": TRIPWIRE + "urlpatterns = []",
    "site_under_test/views.py": TRIPWIRE,
    "site_settings.py": """
import os
SECRET_KEY, USE_TZ, ALLOWED_HOSTS = "x", True, ["127.0.0.1"]
ROOT_URLCONF = "site_under_test.urls"
INSTALLED_APPS = ["channelcelery", "site_under_test"]
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
CHANNEL_LAYERS = {"default": {
    "BACKEND": "channelcelery.layers.RedisChannelLayer",
    "CONFIG": {"hosts": [os.environ["CHANNEL_LAYER_URL"]], "http": os.environ["HTTP"], "connect_timeout": 0.5},
    "ROUTING": "site_under_test.routing.channel_routing",
}}
""",
    # so that the modules of a process that served a socket can be looked at
    "sitecustomize.py": """
import atexit, os, sys
def tell():
    names = [name for name in sys.modules if name.startswith(("channelcelery.", "site_under_test."))]
    with open(os.environ["MODULES"], "w") as file:
        file.write("\\n".join(names))
atexit.register(tell)
""",
}


@redis_only
@pytest.mark.parametrize("http", ["off", "worker"])
def test_it_imports_no_routing_consumer_or_view(quick: WorkerSetup, tmp_path: Path, http: str) -> None:
    """Item 11."""
    for name, text in SITE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    modules, tripwire = tmp_path / "modules", tmp_path / "tripwire"
    quick.environment |= {
        "DJANGO_SETTINGS_MODULE": "site_settings",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        "MODULES": str(modules),
        "TRIPWIRE": str(tripwire),
        "HTTP": http,
    }
    with interface(quick, cwd=tmp_path) as it:
        wait_until_ready(it.port)
        assert it.worker.next("connect")["path"] == "/"
        with Wire(it.port) as client:
            client.request()
            if http == "worker":
                it.worker.reply(it.worker.next("http.request"), status=200)
            assert client.response()[0] == (200 if http == "worker" else 404)
        it.process.terminate()
        assert it.process.wait() == 0
    assert not tripwire.exists(), tripwire.read_text()
    loaded = set(modules.read_text().split())
    assert "channelcelery.interface.session" in loaded
    assert not {name for name in loaded if name.startswith(("channelcelery.worker", "site_under_test."))}
    forbidden = {"routing", "consumers", "message", "sessions", "auth", "generic", "handler", "reliable"}
    assert not loaded & {f"channelcelery.{name}" for name in forbidden}


@redis_only
def test_redis_that_is_down_at_the_start(quick: WorkerSetup, new_redis: Any) -> None:
    server: RedisServer = new_redis()
    quick.layer = server.url
    server.stop()
    with interface(quick) as it:
        assert status(it.port) == 503
        it.process.wait_for_output(r"WARNING django.channels.interface: .*Are CONFIG\['hosts'\] right and Redis up\?")
        server.start()
        wait_until_ready(it.port)
        it.worker.waiting("connect").clear()
        with it.accepted() as (client, message):
            it.worker.reply(message, text="hello")
            assert client.recv(timeout=5) == "hello"


@redis_only
@pytest.mark.parametrize("appendonly", [True, False])
def test_redis_that_is_killed_under_open_sockets(quick: WorkerSetup, new_redis: Any, appendonly: bool) -> None:
    """Expect the socket to stay, 503 for new ones meanwhile, and its group to be there again, data lost or not."""
    server: RedisServer = new_redis(appendonly=appendonly)
    quick.layer = server.url
    with interface(quick) as it, it.accepted() as (client, message):
        it.worker.layer.group_add("g", message["reply_channel"])
        it.worker.layer.send_group("g", {"text": "before"})
        assert client.recv(timeout=5) == "before"
        time.sleep(1.2)  # what `appendonly` keeps is on disk after a second
        server.kill()
        wait_until(lambda: status(it.port) == 503, what="new sockets to be refused")
        server.start()

        def arrives() -> bool:
            try:
                it.worker.layer.send_group("g", {"text": "after"})
                return client.recv(timeout=0.3) == "after"
            except TimeoutError:
                return False

        wait_until(arrives, timeout=15, what="the group to be there again")
        wait_until_ready(it.port)


@redis_only
def test_redis_that_is_emptied_under_open_sockets(quick: WorkerSetup) -> None:
    with interface(quick) as it, it.accepted() as (client, message):
        it.worker.layer.group_add("g", message["reply_channel"])
        it.worker.layer.send_group("g", {"text": "before"})
        assert client.recv(timeout=5) == "before"
        wait_until_recorded(quick, message)
        with redis.Redis.from_url(quick.layer) as store:
            store.flushdb()
        wait_until(lambda: it.worker.layer.group_channels("g"), timeout=10, what="the group to be written again")
        it.worker.layer.send_group("g", {"text": "after"})
        assert client.recv(timeout=5) == "after"


@redis_only
def test_a_frozen_process_that_others_buried_begins_anew(quick: WorkerSetup) -> None:
    """Expect one disconnect for its socket, by whoever buried it, then 1012, and a new name for the next."""
    with interface(quick) as it, it.accepted() as (client, message):
        wait_until_recorded(quick, message)
        it.process.signal(signal.SIGSTOP)
        orphans = wait_until(it.worker.layer.replies.reap, timeout=15, what="it to count as dead", interval=0.2)
        assert [orphan.address.channel() for orphan in orphans] == [message["reply_channel"]]
        it.process.signal(signal.SIGCONT)
        assert closed_with(client) == 1012
        wait_until_ready(it.port)
        fresh = it.worker.next("connect")
        assert fresh["reply_channel"].rpartition(".")[0] != message["reply_channel"].rpartition(".")[0]
        assert [m for m in it.worker.waiting("disconnect") if m["reply_channel"] == message["reply_channel"]] == []


@redis_only
def test_sockets_of_a_killed_process_are_disconnected_by_another(quick: WorkerSetup) -> None:
    with interface(quick) as it, interface(quick) as other, it.accepted("/a/") as (_, message):
        it.worker.layer.group_add("g", message["reply_channel"])
        wait_until_recorded(quick, message)
        it.process.kill()
        gone = other.worker.next("disconnect", timeout=15)
        assert gone == {"reply_channel": message["reply_channel"], "path": "/a/", "code": 1006}
        assert it.worker.layer.group_channels("g") == []
