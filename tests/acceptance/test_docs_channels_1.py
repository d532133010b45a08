"""The project on the page about moving from Channels 1.x, as two processes on both brokers."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.acceptance.pages import ROOT, Project, commands
from tests.acceptance.sites import open_socket, program
from tests.acceptance.test_docs_examples import RUN_DOCTEST
from tests.acceptance.test_docs_sessions import LOGIN, SETTINGS
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until

PAGE = ROOT / "docs" / "channels-1.md"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """What the page shows, with the settings that it leaves out."""
    (tmp_path / "talk").mkdir()
    text = SETTINGS.format(app="talk", directory=tmp_path, routing=None)
    (tmp_path / "talk" / "settings.py").write_text(f"{text}\nfrom talk.layers import *\n")
    project = Project(tmp_path, settings="talk.settings")
    project.write(PAGE)
    project.run("-m", "django", "migrate", "--verbosity", "0")
    return project


def test_the_example(project: Project, redis_url: str, broker_url: str) -> None:
    """Items 32, 64, 65, 69 and 149: a project of Channels 1.x with one word changed."""
    given = [" ".join(words) for words in commands(PAGE)]
    assert {"python manage.py runinterface --port 8000", "celery -A channelcelery worker"} <= set(given)
    (ann,) = project.run("-c", LOGIN, "ann").split()
    port = free_port()
    env = project.env(REDIS_URL=redis_url, BROKER_URL=broker_url)
    interface = [sys.executable, "-m", "django", "runinterface", "--port", str(port)]
    worker = [program("celery"), "-A", "channelcelery", "worker", "--loglevel", "info", "--concurrency", "1"]
    with ExitStack() as stack:
        held = stack.enter_context(Process(interface, cwd=project.directory, env=env, name="interface"))
        ran = stack.enter_context(Process([*worker, "--without-mingle"], cwd=project.directory, env=env, name="worker"))
        held.wait_for_output("sockets are taken", timeout=40)
        wait_until(lambda: is_listening(port), what="the interface to listen")
        ran.wait_for_output(r"running \d+ channels", timeout=40)
        url, origin = f"ws://{LOOPBACK}:{port}/chat/lobby/", f"http://{LOOPBACK}:{port}"
        cookie = {"Cookie": f"sessionid={ann}"}
        with (
            connect(url, additional_headers=cookie, origin=origin, proxy=None) as first,  # type: ignore[arg-type]
            open_socket(port, "/chat/lobby/") as second,
        ):
            for client, said in ((first, "ann: hello"), (second, "somebody: hello")):
                client.send("hello")
                assert [first.recv(10), second.recv(10)] == [said] * 2


def test_what_the_page_shows_in_the_interpreter(
    project: Project, redis_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items 45, 49 and 50."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("BROKER_URL", broker_url)
    project.run("-c", RUN_DOCTEST, str(PAGE))
