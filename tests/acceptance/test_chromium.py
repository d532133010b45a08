"""The browser that acceptance tests drive: two contexts are two people."""

import asyncio
import functools
import http.server
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.servers import LOOPBACK

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class Page(http.server.BaseHTTPRequestHandler):
    """Serves a page that shows the name it was asked for and the cookies it got."""

    def do_GET(self) -> None:
        body = f"<h1>{self.path[1:]}, {self.headers.get('Cookie', 'no cookie')}</h1>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path != "/favicon.ico":
            self.send_header("Set-Cookie", f"name={self.path[1:]}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Page) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.05))
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.browser
def test_given_two_contexts_expect_two_people(browser: "Browser", address: str) -> None:
    for name in ("ann", "bob"):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/{name}")
        assert page.inner_text("h1") == f"{name}, no cookie"
        page.reload()
        assert page.inner_text("h1") == f"{name}, name={name}"
        context.close()


def test_given_a_browser_test_before_expect_asyncio_to_work() -> None:
    assert asyncio.run(asyncio.sleep(0, "works")) == "works"
