"""The examples on sessions, users and class-based consumers, run as a reader would."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.pages import ROOT, Project
from tests.acceptance.sites import open_socket
from tests.acceptance.test_docs_examples import runserver
from tests.processes import LOOPBACK

DOCS = ROOT / "docs"

#: What the pages leave out of their projects.
SETTINGS = """
SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "channelcelery", "{app}",
]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "{directory}/db.sqlite3"}}}}
CHANNEL_LAYERS = {{
    "default": {{"BACKEND": "channelcelery.layers.InMemoryChannelLayer", "ROUTING": {routing!r}}},
}}
LOGGING = {{
    "version": 1,
    "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
    "loggers": {{"django": {{"handlers": ["console"], "level": "INFO"}}}},
}}
ROOT_URLCONF = "{app}.settings"
urlpatterns = []
"""

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


def project_of(page: str, app: str, directory: Path, routing: str | None = None) -> Project:
    """Return the project that a page describes, with a database."""
    (directory / app).mkdir()
    text = SETTINGS.format(app=app, directory=directory, routing=routing)
    (directory / app / "settings.py").write_text(text)
    project = Project(directory, settings=f"{app}.settings")
    project.write(DOCS / f"{page}.md")
    project.run("-m", "django", "migrate", "--verbosity", "0")
    return project


@pytest.fixture
def rooms(tmp_path: Path) -> Project:
    return project_of("sessions-and-auth", "rooms", tmp_path)


def test_who_is_logged_in_chats(rooms: Project) -> None:
    ann, bob = rooms.run("-c", LOGIN, "ann", "bob").split()

    def enter(port: int, cookie: str | None, query: str = "") -> ClientConnection:
        headers = {"Cookie": f"sessionid={cookie}"} if cookie else {}
        url = f"ws://{LOOPBACK}:{port}/rooms/a/{query}"
        origin = f"http://{LOOPBACK}:{port}"
        return connect(url, additional_headers=headers, origin=origin, proxy=None, close_timeout=1)  # type: ignore[arg-type]

    with runserver(rooms) as port:
        with enter(port, ann) as first, enter(port, None, f"?session_key={bob}") as second:
            second.send("hello")
            assert [first.recv(10), second.recv(10)] == ["bob: hello"] * 2
            second.close()
            assert first.recv(10) == "bob left"
        with pytest.raises(InvalidStatus), enter(port, None):
            pass
    rooms.settings = "rooms.settings_deployed"
    with runserver(rooms) as port, pytest.raises(InvalidStatus), enter(port, None, f"?session_key={bob}"):
        pass


def test_the_other_files_of_the_page_can_be_imported(rooms: Project) -> None:
    """Expect the settings to pass the checks, and the validator to be one."""
    for settings, warned in (("rooms.settings", True), ("rooms.settings_deployed", False)):
        code = (
            "import django; django.setup()\n"
            "from channelcelery.checks import check_deployment\n"
            "print([warning.id for warning in check_deployment()])"
        )
        rooms.settings = settings
        assert ("channelcelery.W003" in rooms.run("-c", code)) is warned
    rooms.settings = "rooms.settings_redis"
    code = "import django; django.setup(); from rooms.origins import only_secure; print(only_secure(print).func)"
    assert "print" in rooms.run("-c", code)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[int]:
    with runserver(project_of("class-based-consumers", "board", tmp_path, "board.routing.routing")) as port:
        yield port


def test_the_classes(board: int) -> None:
    with open_socket(board, "/shout/") as socket:
        socket.send("hello")
        assert socket.recv(10) == "HELLO"
    with open_socket(board, "/count/x/") as first, open_socket(board, "/count/x/") as second:
        for number, total in ((2, 2), (3, 5)):
            first.send(json.dumps({"add": number}))
            assert [json.loads(first.recv(10)), json.loads(second.recv(10))] == [{"sum": total}] * 2
    with open_socket(board, "/streams/") as socket:
        socket.send(json.dumps({"stream": "again", "payload": {"number": 21}}))
        assert json.loads(socket.recv(10)) == {"stream": "again", "payload": {"doubled": 42}}
