"""The examples of the documentation, run as a reader would: files written, commands given, sockets talked to."""

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.pages import ROOT, Project, commands
from tests.acceptance.sites import open_socket, program
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until

DOCS = ROOT / "docs"
STARTED = DOCS / "getting-started.md"

#: What a page leaves out of its project.
SETTINGS = """
SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channelcelery", "{app}"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
CHANNEL_LAYERS = {{"default": {{"BACKEND": "channelcelery.layers.InMemoryChannelLayer"}}}}
LOGGING = {{
    "version": 1,
    "handlers": {{"console": {{"class": "logging.StreamHandler"}}}},
    "loggers": {{"django": {{"handlers": ["console"], "level": "INFO"}}}},
}}
ROOT_URLCONF = "{package}.settings"
urlpatterns = []
"""

RUN_DOCTEST = """
import doctest, sys, django
django.setup()
failed, tried = doctest.testfile(sys.argv[1], module_relative=False)
assert tried, "nothing was tried"
sys.exit(failed)
"""


@contextmanager
def runserver(project: Project) -> Iterator[int]:
    """Run a project in one process; gives its port."""
    port = free_port()
    manage = ["manage.py"] if (project.directory / "manage.py").exists() else ["-m", "django"]
    command = [sys.executable, *manage, "runserver", "--noreload", f"{LOOPBACK}:{port}"]
    with Process(command, cwd=project.directory, env=project.env(), name="runserver") as process:
        process.wait_for_output("sockets are taken", timeout=40)
        wait_until(lambda: is_listening(port), what="runserver to listen")
        yield port


def chat(port: int, room: str) -> None:
    """Let two people talk in a room of the chat that several pages build."""
    with open_socket(port, f"/chat/{room}/") as ann, open_socket(port, f"/chat/{room}/") as bob:
        ann.send("hello")
        assert [ann.recv(10), bob.recv(10)] == ["hello", "hello"]
        bob.send("hello to you")
        assert [ann.recv(10), bob.recv(10)] == ["hello to you", "hello to you"]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tutorial's project with its chat, as the tutorial's commands make it."""
    project = Project(tmp_path_factory.mktemp("started"))
    project.run("-m", "django", "startproject", "mysite", ".")
    project.run("manage.py", "startapp", "talk")
    project.write(STARTED, until="## A channel of your own")
    project.run("manage.py", "migrate", "--verbosity", "0")
    return project


class TestGettingStarted:
    """The tutorial, each part on top of those before it."""

    def test_the_page_names_the_commands_that_are_given_here(self) -> None:
        given = [" ".join(words) for words in commands(STARTED)]
        for command in (
            "django-admin startproject mysite .",
            "python manage.py startapp talk",
            "python manage.py migrate",
            "python manage.py runserver",
            "python manage.py makemigrations talk",
            "python manage.py runinterface",
            "celery -A channelcelery worker",
        ):
            assert command in given

    def test_if_only_the_echo_is_written_then_it_echoes(self, tmp_path: Path) -> None:
        project = Project(tmp_path, settings="mysite.settings")
        (tmp_path / "mysite").mkdir()
        (tmp_path / "mysite" / "settings.py").write_text(SETTINGS.format(app="talk", package="mysite"))
        project.write(STARTED, after="## An echo", until="## A chat")
        with runserver(project) as port, open_socket(port, "/echo/") as socket:
            socket.send("hello")
            assert socket.recv(10) == "hello"

    def test_the_chat(self, started: Project) -> None:
        with runserver(started) as port:
            chat(port, "lobby")
            with open_socket(port, "/echo/") as socket:
                socket.send(b"bytes have no text")
                socket.send("still open")
                assert socket.recv(10) == "still open"
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/chat/lobby/", timeout=10) as response:
                assert "<h1>lobby</h1>" in response.read().decode()

    def test_the_channel_of_its_own_in_one_process_and_in_two(self, started: Project, redis_url: str) -> None:
        started.write(STARTED, after="## A channel of your own")
        started.run("manage.py", "makemigrations", "talk", "--verbosity", "0")
        started.run("manage.py", "migrate", "--verbosity", "0")
        said = [f"line {number}" for number in range(12)]
        with runserver(started) as port, open_socket(port, "/chat/kept/") as ann:
            for text in said:
                ann.send(text)
                assert ann.recv(10) == text
        with two_processes(started, redis_url) as port:
            chat(port, "lobby")
            with open_socket(port, "/chat/kept/") as late:
                assert [late.recv(10) for _ in range(10)] == said[-10:]


@contextmanager
def two_processes(project: Project, url: str) -> Iterator[int]:
    """Run a project's interface and worker, with one Redis for everything; gives the interface's port."""
    port = free_port()
    shared = {"CHANNEL_LAYER_URL": url, "CELERY_BROKER_URL": url}
    interface = [sys.executable, "manage.py", "runinterface", "--port", str(port)]
    worker = [program("celery"), "-A", "channelcelery", "worker", "--loglevel", "info", "--concurrency", "1"]
    worker += ["--without-mingle"]
    with ExitStack() as stack:
        start = stack.enter_context
        held = start(Process(interface, cwd=project.directory, env=project.env(**shared), name="interface"))
        settings = project.env(**shared) | {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
        ran = start(Process(worker, cwd=project.directory, env=settings, name="worker"))
        held.wait_for_output("sockets are taken", timeout=40)
        wait_until(lambda: is_listening(port), what="the interface to listen")
        ran.wait_for_output(r"running \d+ channels", timeout=40)
        yield port


@pytest.mark.parametrize(("page", "app"), [("concepts", "news"), ("routing", "shop"), ("groups", "news")])
def test_what_a_page_shows_in_the_interpreter(page: str, app: str, tmp_path: Path) -> None:
    project = Project(tmp_path, settings=f"{app}.settings")
    (tmp_path / app).mkdir()
    (tmp_path / app / "settings.py").write_text(SETTINGS.format(app=app, package=app))
    project.write(DOCS / f"{page}.md")
    project.run("-c", RUN_DOCTEST, str(DOCS / f"{page}.md"))


class TestReadme:
    """The example on the front page."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Project:
        (tmp_path / "example").mkdir()
        (tmp_path / "example" / "settings.py").write_text(SETTINGS.format(app="chat", package="example"))
        project = Project(tmp_path, settings="example.settings")
        project.write(ROOT / "README.md")
        return project

    def test_the_chat(self, project: Project) -> None:
        with runserver(project) as port:
            chat(port, "lobby")

    def test_the_celery_app_has_our_step(self, project: Project) -> None:
        code = "from example.celery import app; print(app.steps['consumer'])"
        assert "channelcelery" in project.run("-c", code)


def test_the_settings_on_the_page_are_right(tmp_path: Path) -> None:
    """Expect the layer that `settings.md` shows to pass the checks."""
    project = Project(tmp_path)
    project.write(DOCS / "settings.md")
    code = (
        "from channelcelery.conf import layer_config\n"
        "import runpy; layers = runpy.run_path('site/settings.py')['CHANNEL_LAYERS']\n"
        "print([layer_config(alias, entry).capacity_of('websocket.receive') for alias, entry in layers.items()])"
    )
    assert project.run("-c", code) == "[50000]\n"
