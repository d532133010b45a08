"""The examples on data binding and on JavaScript, run as a reader would: in a project, and in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.pages import Project
from tests.acceptance.test_docs_examples import RUN_DOCTEST, runserver
from tests.acceptance.test_docs_sessions import DOCS, LOGIN, project_of
from tests.processes import LOOPBACK, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

#: What the pages leave out of their project's settings: pages, static files, and who serves them.
MORE_SETTINGS = """
DEBUG = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS += ["django.contrib.staticfiles"]
STATIC_URL = "/static/"
ROOT_URLCONF = "values.all_urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
CHANNEL_LAYERS["default"]["CONFIG"] = {"http": "inline"}
"""
ALL_URLS = """
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path
from values.models import IntegerValue
from values.urls import urlpatterns

def save(request, name, value):
    IntegerValue.objects.update_or_create(name=name, defaults={"value": value})
    return HttpResponse()

urlpatterns = [
    *urlpatterns,
    path("module/", lambda request: render(request, "values_module.html")),
    path("save/<name>/<int:value>/", save),
]
"""
#: What the page's `sent` does: the last frame that the layer was given for a group.
SENT = """
import django, json
django.setup()
from channelcelery.layers import channel_layers
from tests.fakes import FakeLayer

layer = FakeLayer()
channel_layers.set("default", layer)
import builtins
builtins.sent = lambda: json.loads(layer.replies.delivered[-1][1]["text"])
"""


@pytest.fixture
def values(tmp_path: Path) -> Project:
    """The project of both pages, with a table."""
    project = project_of("binding", "values", tmp_path, "values.routing.routing")
    project.write(DOCS / "javascript.md")
    (tmp_path / "values" / "all_urls.py").write_text(ALL_URLS)
    with (tmp_path / "values" / "settings.py").open("a") as settings:
        settings.write(MORE_SETTINGS)
    (tmp_path / "values" / "__init__.py").touch()
    project.run("-m", "django", "migrate", "--run-syncdb", "--verbosity", "0")
    return project


def test_what_the_page_shows_in_the_interpreter(values: Project, repository: Path) -> None:
    code = f"import sys; sys.path.append({str(repository)!r})\n{SENT}\n{RUN_DOCTEST}"
    values.run("-c", code, str(DOCS / "binding.md"))


@pytest.fixture
def people(browser: "Browser") -> Iterator["BrowserContext"]:
    """A browser whose pages' complaints fail the test."""
    complaints: list[str] = []
    with browser.new_context() as context:
        context.set_default_timeout(15_000)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        yield context
    assert complaints == []


@pytest.mark.browser
def test_the_page(values: Project, people: "BrowserContext") -> None:
    """Expect it to show what is saved, by others and by a click of who is logged in."""
    from playwright.sync_api import expect

    (ann,) = values.run("-c", LOGIN, "ann").split()
    with runserver(values) as port:
        url = f"http://{LOOPBACK}:{port}"
        stranger, module = people.new_page(), people.new_page()
        stranger.goto(url)
        people.add_cookies([{"name": "sessionid", "value": ann, "url": url}])
        own = people.new_page()
        own.goto(url)
        module.goto(f"{url}/module/")
        for page in (own, stranger):
            expect(page.locator("#state")).to_have_text("online")
        for name, value in (("one", 1), ("two", 2), ("one", 5)):
            own.request.get(f"{url}/save/{name}/{value}/")
        for page in (own, stranger):
            expect(page.locator("li")).to_have_text(["two: 2", "one: 5"])

        def module_has_it() -> bool:
            own.request.get(f"{url}/save/one/5/")  # again: that page does not show when it is connected
            return module.locator("#got").text_content() == "one"

        wait_until(module_has_it, timeout=15, what="the page with the module to be told")
        stranger.get_by_text("two: 2").click()  # dropped in silence
        own.get_by_text("one: 5").click()
        for page in (own, stranger):
            expect(page.locator("li")).to_have_text(["two: 2", "one: 6"])
        expect(module.locator("#got")).to_have_text("one")
    for page in (own, stranger):
        expect(page.locator("#state")).to_have_text("offline")
