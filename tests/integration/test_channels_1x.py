"""A project in the manner of Channels 1.x, through a real interface and a real worker: sessions, users, classes."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, wait_until
from tests.servers import redis_server

LOGIN = """
import sys, django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
for name in sys.argv[1:]:
    client = Client()
    client.force_login(User.objects.create_user(name))
    print(client.session.session_key)
"""


@dataclass
class Running:
    """The project as processes.

    Args:
        setup: where they find each other.
        port: of the interface.
        processes: interface and worker.
    """

    setup: WorkerSetup
    port: int
    processes: list[Process]

    def open(self, path: str, cookie: str | None = None, origin: str | None = None) -> ClientConnection:
        """Open a socket as a browser does that is logged in."""
        headers = {} if cookie is None else {"Cookie": f"sessionid={cookie}"}
        origin = origin or f"http://{LOOPBACK}:{self.port}"
        url = f"ws://{LOOPBACK}:{self.port}{path}"
        return connect(url, additional_headers=headers, origin=origin, proxy=None, close_timeout=1)  # type: ignore[arg-type]

    def python(self, *arguments: str) -> list[str]:
        """Run Python in the project, to its end, and return the lines that it printed."""
        with Process([sys.executable, *arguments], env=self.setup.env(), cwd=ROOT, name="python") as process:
            assert process.wait(60) == 0, process.output()
            return process.output().splitlines()

    def log_in(self, *names: str) -> list[str]:
        """Make users, log each in, and return the keys of their sessions."""
        return self.python("-c", LOGIN, *names)

    def session_keys(self) -> list[str]:
        """Return the keys of all sessions in the database."""
        return sorted(key for (key,) in self.database("SELECT session_key FROM django_session"))

    def database(self, query: str) -> list[Any]:
        """Return what the database answers to a query."""
        with closing(sqlite3.connect(self.setup.env()["TEST_DATABASE"] or "")) as connection, connection:
            return connection.execute(query).fetchall()

    def sockets(self) -> int:
        """Return how many sockets Redis knows of."""
        with redis.Redis.from_url(self.setup.layer) as client:
            return sum(map(client.hlen, client.keys("cc:node:*:channels")))


@contextmanager
def running(broker: str, layer: str, directory: Path) -> Iterator[Running]:
    """Run the project for the length of a block."""
    setup, port = WorkerSetup(broker, layer, directory), free_port()
    setup.environment["DJANGO_SETTINGS_MODULE"] = "tests.project_1x.settings"
    Running(setup, 0, []).python("-m", "django", "migrate", "--noinput", "--verbosity", "0")
    command = [sys.executable, "-m", "django", "runinterface", "--access-log", "--port", str(port)]
    with (
        Process(command, env=setup.env(), cwd=ROOT, name="interface") as interface,
        setup.worker("prefork", 2) as worker,
    ):
        interface.wait_for_output("sockets are taken", timeout=40)
        yield Running(setup, port, [interface, worker])


@pytest.fixture(scope="module", params=["redis", "amqp"])
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The project on either broker, once for all tests of a file."""
    rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
    with redis_server() as server:
        broker = rabbit.new_vhost() if rabbit else server.database(1)
        with running(broker, server.url, tmp_path_factory.mktemp("project")) as it:
            yield it


@pytest.fixture
def project(standing: Running) -> Iterator[Running]:
    """The same, without users and sessions."""
    yield standing
    wait_until(lambda: not standing.sockets(), what="the sockets to be forgotten")
    wait_until(lambda: not any(key.startswith("chn") for key in standing.session_keys()), what="their sessions to go")
    standing.database("DELETE FROM django_session")
    standing.database("DELETE FROM auth_user")


def heard(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=10))


def test_given_channel_session_expect_people_in_a_room_to_chat(project: Running) -> None:
    """Items 69, 131 and defect 15: the room comes from the session, which goes with the connection."""
    with project.open("/chat/a/") as ann, project.open("/chat/a/") as bob, project.open("/chat/b/") as cyd:
        assert [key[:3] for key in project.session_keys()] == ["chn"] * 3
        ann.send("hello")
        assert [ann.recv(timeout=10), bob.recv(timeout=10)] == ["hello", "hello"]
        cyd.send("echo")
        assert cyd.recv(timeout=10) == "echo"
    wait_until(lambda: project.session_keys() == [], what="the connections' sessions to be deleted")


def test_given_users_expect_those_whose_names_begin_alike_to_chat(project: Running) -> None:
    """Items 148, 149, 152, 154 and 173: login cookie, then the connection's own user."""
    ann, art, bob = project.log_in("ann", "art", "bob")
    with project.open("/users/", ann) as first, project.open("/users/", art) as second:
        with project.open("/users/", bob) as other:
            first.send("hello")
            assert [first.recv(timeout=10), second.recv(timeout=10)] == ["ann: hello"] * 2
            other.send("echo")
            assert other.recv(timeout=10) == "bob: echo"
        first.close()
        assert second.recv(timeout=10) == "ann left"
    wait_until(lambda: project.session_keys() == sorted([ann, art, bob]), what="only the browsers' sessions to be left")


@pytest.mark.parametrize("cookie", [None, "z" * 32])
def test_given_nobody_expect_the_socket_refused(project: Running, cookie: str | None) -> None:
    """Item 149."""
    with pytest.raises(InvalidStatus), project.open("/users/", cookie):
        pass


def test_given_a_session_key_in_the_url_expect_its_user_and_no_log_of_it(project: Running) -> None:
    """Items 128 and 139."""
    (ann,) = project.log_in("ann")
    with project.open(f"/users/?session_key={ann}") as client:
        client.send("hello")
        assert client.recv(timeout=10) == "ann: hello"
    project.processes[0].wait_for_output("session_key=…")
    for process in project.processes:
        assert ann not in process.output()


def test_given_the_key_of_a_connection_in_a_url_expect_nobody(project: Running) -> None:
    """Item 132: even who had read it in the database could not use it."""
    (ann,) = project.log_in("ann")
    with project.open("/users/", ann):
        (key,) = set(project.session_keys()) - {ann}
        assert key.startswith("chn")
        with pytest.raises(InvalidStatus), project.open(f"/users/?session_key={key}"):
            pass


def test_given_a_class_expect_groups_sessions_and_users(project: Running) -> None:
    """Items 181 to 188."""
    (ann,) = project.log_in("ann")
    with project.open("/board/x/", ann) as first, project.open("/board/x/") as second:
        first.send(json.dumps({"add": 2}))
        assert [heard(first), heard(second)] == [{"user": "ann", "sum": 2, "http": True}] * 2
        first.send(json.dumps({"add": 3}))
        assert [heard(first), heard(second)] == [{"user": "ann", "sum": 5, "http": True}] * 2
        second.send(json.dumps({"add": 1}))
        assert [heard(first), heard(second)] == [{"user": "", "sum": 1, "http": False}] * 2
        second.send("no json")
        project.processes[1].wait_for_output("JSONDecodeError")
        second.send(json.dumps({"add": 1}))
        assert heard(second)["sum"] == 2


def test_given_a_demultiplexer_expect_several_streams_on_one_socket(project: Running) -> None:
    """Items 190 to 194."""
    with project.open("/streams/") as first, project.open("/streams/") as second:
        for client in (first, second):
            assert heard(client) == {"stream": "double", "payload": {"status": "connected"}}
        first.send(json.dumps({"stream": "double", "payload": {"number": 21}}))
        assert heard(first) == {"stream": "double", "payload": {"doubled": 42}}
        first.send(json.dumps({"stream": "nobody", "payload": {}}))
        project.processes[1].wait_for_output("stream not mapped")
        first.send(json.dumps({"stream": "whisper", "payload": {"text": "psst"}}))
        for client in (first, second):
            assert heard(client) == {"stream": "whispers", "payload": {"text": "psst"}}


def test_given_a_page_of_another_site_expect_its_socket_refused(project: Running) -> None:
    """Item 177: with the cookie, too."""
    (ann,) = project.log_in("ann")
    with pytest.raises((InvalidStatus, ConnectionClosed)), project.open("/users/", ann, origin="http://evil.example"):
        pass
