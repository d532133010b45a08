"""The page on HTTP: its project, run in one process and asked over real connections (items 91, 96, 97, 105 to 108)."""

import hashlib
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.pages import ROOT, Project
from tests.acceptance.test_docs_examples import SETTINGS, runserver
from tests.processes import LOOPBACK

PAGE = ROOT / "docs" / "http.md"
URLS = """
from django.http import HttpResponse
from django.urls import include, path

from channelcelery import Channel


def write(request):
    Channel("story").send({"title": request.GET["title"]})
    return HttpResponse("written")


urlpatterns = [path("write/", write), path("", include("press.urls"))]
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The page's project, running."""
    project = Project(tmp_path_factory.mktemp("press"), settings="site_settings")
    project.write(PAGE)
    settings = SETTINGS.format(app="press", package="site_urls").replace("site_urls.settings", "site_urls")
    settings = settings.replace('InMemoryChannelLayer"', 'InMemoryChannelLayer", "CONFIG": {"http": "worker"}')
    (project.directory / "press" / "__init__.py").write_text("")
    (project.directory / "site_settings.py").write_text(settings)
    (project.directory / "site_urls.py").write_text(URLS)
    with runserver(project) as found:
        yield found


def ask(port: int, path: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", body, timeout=20) as response:
        return str(response.read().decode())


def test_views(port: int) -> None:
    assert ask(port, "/?edition=late") == "late edition"
    assert ask(port, "/proofs/") == "page 1\npage 2\npage 3\n"
    assert ask(port, "/printed/") == "printed"


def test_consumers(port: int) -> None:
    body = b"hot metal" * 100_000
    assert ask(port, "/typeset/", b"hot metal") == "HOT METAL"
    assert ask(port, "/typeset/", body) == body.decode().upper()
    assert ask(port, "/checksum/", body) == hashlib.sha256(body).hexdigest()
    assert ask(port, "/checksum/", b"") == hashlib.sha256(b"").hexdigest()


def test_a_long_poll(port: int) -> None:
    told: list[str] = []
    readers = [threading.Thread(target=lambda: told.append(ask(port, "/next-story/"))) for _ in range(3)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + 20
    while len(told) < 3 and time.monotonic() < deadline:
        # who comes after a story gets the next one
        assert ask(port, "/write/?title=extra") == "written"
        time.sleep(0.1)
    for reader in readers:
        reader.join(20)
    assert told == ["extra"] * 3


def test_the_page_s_files(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(PAGE)
    assert sorted(path.name for path in (tmp_path / "press").iterdir()) == ["consumers.py", "urls.py", "views.py"]
