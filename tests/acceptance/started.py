"""The project of the getting-started examples as processes, and a browser that logs in to it."""

import os
import re
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

from tests.acceptance.sites import ROOT, Site, program, wait_for_worker
from tests.servers import LOOPBACK, Process

__all__ = ["Browser", "StartedSite", "prepare"]

#: The password of everybody.
PASSWORD = "open sesame"
_PREPARE = """
import sys, django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
for name in sys.argv[2:]:
    User.objects.create_user(name, password=sys.argv[1])
"""


@dataclass
class StartedSite(Site):
    """The examples' project, not yet started."""

    environment: dict[str, str | None] = field(
        default_factory=lambda: {
            "DJANGO_SETTINGS_MODULE": "tests.acceptance.getting_started.settings",
            "PYTHONPATH": os.fspath(ROOT),
        }
    )

    def manage(self, *arguments: str) -> list[str]:
        """Return the command line of what would be manage.py."""
        return [sys.executable, "-m", "django", *arguments]

    @contextmanager
    def worker(self, *arguments: str, name: str = "worker") -> Iterator[Process]:
        """Run a Celery worker with several processes, ready when the block begins."""
        command = [program("celery"), "-A", "channelcelery", "worker", "--loglevel", "info", "--concurrency", "4"]
        with self.start([*command, "--without-mingle", *arguments], name=name) as process:
            wait_for_worker(process)
            yield process

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run everything: one process in memory, else interface and worker; no consumer may raise but one."""
        with self.production() if self.layer else self.demo():
            yield
        for log in self.directory.glob("*.log"):
            text = log.read_text()
            # of nobody's name there is no first letter
            assert text.count("Traceback") == text.count("\nIndexError: string index out of range"), text


def prepare(directory: Path, *names: str) -> Path:
    """Make a migrated database with some users, to be copied, and return its path."""
    site = StartedSite(directory)
    site.run([sys.executable, "-c", _PREPARE, PASSWORD, *names])
    return Path(shutil.copy(site.database, directory / "prepared.sqlite3"))


@dataclass
class Browser:
    """Somebody's browser: cookies, pages, and sockets that its pages open.

    Args:
        site: where it looks.
    """

    site: Site
    cookies: CookieJar = field(default_factory=CookieJar)

    def ask(self, path: str, data: str | None = None, **headers: str) -> str:
        """Get a page, or post to it, and return its text after redirections."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        request = urllib.request.Request(self.site.url + path, data.encode() if data else None, headers)  # noqa: S310
        with opener.open(request, timeout=20) as response:
            return str(response.read().decode())

    def post(self, path: str, **fields: str) -> str:
        """Fill in a form; Django's cookie against forged ones must be there."""
        tokens = {cookie.name: cookie.value or "" for cookie in self.cookies}
        return self.ask(path, urllib.parse.urlencode(fields), **{"X-CSRFToken": tokens["csrftoken"]})

    def log_in(self, name: str) -> str:
        """Log in as a person does, and return the session's key that the page after it shows."""
        form = self.ask("/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
        assert token, form
        page = self.ask(
            "/login/",
            urllib.parse.urlencode({"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}),
        )
        shown = re.search(rf"<p>{name} (\w+)</p>", page)
        assert shown, page
        return shown[1]

    def socket(self, path: str, origin: str | None = "") -> ClientConnection:
        """Open a socket; a context manager that closes it.

        Args:
            path: with the query string.
            origin: of the page that opens it; this site's by default, None for a client that is no browser.
        """
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        return connect(
            f"ws://{LOOPBACK}:{self.site.port}{path}",
            additional_headers={"Cookie": cookies} if cookies else {},
            origin=self.site.url if origin == "" else origin,  # type: ignore[arg-type]
            proxy=None,
            open_timeout=20,
            close_timeout=1,
        )
