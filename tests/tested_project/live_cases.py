"""Its tests through real processes; run by our tests, not collected by name."""

import json
import os
import time
import urllib.request
from typing import Any

from django.contrib.auth import get_user_model
from django.test import override_settings
from websockets.sync.client import ClientConnection, connect

from channelcelery import Group
from channelcelery.test import ChannelLiveServerTestCase
from channelcelery.test.live import LiveSite


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - our own
        return bytes(response.read())


def open_socket(url: str) -> ClientConnection:
    return connect(url, proxy=None, open_timeout=20, close_timeout=2)


def note(site: LiveSite) -> None:
    """Write down what is to be gone afterwards."""
    with open(os.environ["TESTED_NOTES"], "a") as notes:
        notes.write(json.dumps({"prefix": site.config.prefix, "pids": site.pids}) + "\n")


@override_settings(GREETING="good day")
class LiveTests(ChannelLiveServerTestCase):
    """Pages, sockets, the database and groups, through interface and worker."""

    workers: set[str] = set()

    def state(self) -> Any:
        return json.loads(get(f"{self.live_server_url}/state/"))

    def say(self, name: str) -> str:
        """Say a name in the lobby, and return who added it."""
        with open_socket(f"{self.live_server_ws_url}/room/lobby/") as socket:
            socket.send(name)
            self.assertEqual(socket.recv(20), f": {name}")
            return str(socket.recv(20))

    def test_the_processes_see_what_the_test_sees(self) -> None:
        get_user_model().objects.create(username="ann")
        self.assertEqual(self.state(), {"people": ["ann"], "greeting": "good day", "debug": False})
        self.workers.add(self.say("bob"))
        self.assertEqual(self.state()["people"], ["ann", "bob"])
        self.assertTrue(get_user_model().objects.filter(username="bob").exists())

    def test_each_test_has_an_empty_database_and_the_same_processes(self) -> None:
        self.assertEqual(self.state()["people"], [])
        self.workers.add(self.say("carl"))
        self.assertEqual(self.workers, {f"added by {self.live_site.pids[0]}"})

    def test_a_test_can_send_to_sockets(self) -> None:
        with open_socket(f"{self.live_server_ws_url}/double/") as socket:
            Group("doublers").send({"text": "from the test"})
            self.assertEqual(socket.recv(20), "from the test")

    def test_static_files(self) -> None:
        self.assertIn(b"WebSocket", get(f"{self.live_server_url}/static/tested/page.js"))

    def test_the_site_is_on_a_layer_of_its_own(self) -> None:
        self.assertTrue(self.live_site.config.prefix.startswith("tested:"))
        note(self.live_site)


class FailingTests(ChannelLiveServerTestCase):
    """A failure, with what the processes said of it."""

    worker_threads = 2

    def test_that_fails(self) -> None:
        with open_socket(f"{self.live_server_ws_url}/room/lobby/") as socket:
            socket.send("broken")
            socket.recv(20)
            with self.assertRaises(TimeoutError):
                socket.recv(1)
        self.fail("so that the output is shown")


class HangingTests(ChannelLiveServerTestCase):
    """A test run that is killed."""

    def test_that_hangs(self) -> None:
        note(self.live_site)
        time.sleep(120)


class BrowserTests(ChannelLiveServerTestCase):
    """A page with a socket, in a real browser."""

    def test_page(self) -> None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ["TESTED_CHROMIUM"], args=json.loads(os.environ["TESTED_CHROMIUM_ARGUMENTS"])
            )
            page = browser.new_page()
            page.goto(f"{self.live_server_url}/page/")
            page.wait_for_function("document.title === '{\"doubled\": 42}'", timeout=20_000)
            browser.close()
