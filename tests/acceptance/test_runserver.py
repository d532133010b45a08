"""`manage.py runserver` on the smallest site: what it serves and logs, and what its options change."""

import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.shop import Shop, make_shop
from tests.processes import is_listening
from tests.servers import LOOPBACK, Process, wait_until

#: Runs the rest of its arguments in a terminal and writes what they write.
#: Runs a command in a terminal; it ends with it, which is in a session of its own and hears of no signal of ours.
IN_A_TERMINAL = [
    sys.executable,
    "-c",
    "import os, pty, signal, sys\n"
    "pid, terminal = pty.fork()\n"
    "if not pid: os.execvp(sys.argv[1], sys.argv[1:])\n"
    "signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))\n"
    "try:\n"
    "    while said := os.read(terminal, 4096): os.write(1, said)\n"
    "except OSError: pass\n"
    "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The site in memory, not yet started."""
    return make_shop(tmp_path)


def get(shop: Shop, path: str) -> tuple[int, str]:
    """Get a page and return its status and its text."""
    try:
        with urllib.request.urlopen(shop.url + path, timeout=10) as answer:  # noqa: S310 - our own address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def handshake(shop: Shop, path: str) -> int:
    """Open a socket, close it, and return the status of the answer."""
    try:
        with shop.socket(path):
            return 101
    except InvalidStatus as error:
        return int(error.response.status_code)


@contextmanager
def django_s_own(shop: Shop, *arguments: str) -> Iterator[Process]:
    """Run what is to be Django's own server."""
    command = shop.manage("runserver", "--noreload", *arguments, f"{LOOPBACK}:{shop.port}")
    with shop.start(command, name="runserver") as process:
        wait_until(lambda: is_listening(shop.port), timeout=20, what="the server to listen")
        yield process


def test_an_entry_in_installed_apps_and_a_layer_are_enough(shop: Shop) -> None:
    """Item 227, and 112: consumers are found, run and answer; static files are served.

    Item 219: it says which layer it is on, and where it listens.
    """
    with shop.demo() as process:
        assert "channel layer default (channelcelery.layers.memory.InMemoryChannelLayer), a worker in it" in (
            process.output()
        )
        assert f"Listening on http://{LOOPBACK}:{shop.port}/" in process.output()
        with shop.socket("/echo/") as client:
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
        # item 85: the other signal is for processes that are workers and nothing else
        assert re.findall(r"signal (\w+)", process.output()) == ["worker_ready"]
        assert get(shop, "/page/") == (200, f"http {LOOPBACK}")
        assert get(shop, "/static/shop.css") == (200, "body { color: green }")
        assert get(shop, "/static/nothing.css")[0] == 404


def test_each_request_and_turn_of_a_socket_is_a_line(shop: Shop) -> None:
    """Item 219, without session keys and control characters, and coloured as Django's own where a terminal is."""
    command = [*IN_A_TERMINAL, *shop.manage("runserver", "--noreload", f"{LOOPBACK}:{shop.port}")]
    shop.environment |= {"TERM": "xterm", "DJANGO_COLORS": None, "NO_COLOR": None}
    with shop.start(command, name="runserver") as process:
        shop.wait_for_interface(process)
        assert get(shop, "/page/?session_key=secret&a=1")[0] == 200
        assert get(shop, "/missing%1B[2J")[0] == 404
        assert handshake(shop, "/echo/?session_key=secret") == 101
        assert handshake(shop, "/deny/") == 403
        when, client = r"^\[\d\d/\w+/\d{4} [\d:,]+\] ", rf"\[(\d\.\d\d, )?{LOOPBACK}:\d+\]"
        for line in [
            rf"\x1b\[mHTTP GET /page/\?session_key=…&a=1 200 {client}\x1b\[0m",
            rf"\x1b\[33mHTTP GET /missing%1B\[2J 404 {client}\x1b\[0m",
            rf"WebSocket HANDSHAKING /echo/\?session_key=… {client}",
            rf"WebSocket CONNECT /echo/\?session_key=… {client}",
            rf"WebSocket DISCONNECT /echo/\?session_key=… {client}",
            rf"WebSocket REJECT /deny/ {client}",
        ]:
            process.wait_for_output(f"{when}{line}$", timeout=5)
        said = process.output()
    assert "secret" not in said
    assert "\x1b[2J" not in said


@pytest.mark.parametrize(("options", "at_once"), [(["--nothreading"], {1}), ([], {2, 3, 4})])
def test_how_many_consumers_run_at_once(shop: Shop, options: list[str], at_once: set[int]) -> None:
    """Item 219: four worker threads, one with --nothreading."""

    def most(_: int) -> int:
        with shop.socket("/busy/") as client:
            return int(client.recv(timeout=10))

    with shop.demo(*options), ThreadPoolExecutor(6) as six:
        assert max(six.map(most, range(6))) in at_once


@pytest.mark.parametrize("option", ["--websocket_handshake_timeout", "--websocket-handshake-timeout"])
def test_how_long_a_handshake_may_wait(shop: Shop, option: str) -> None:
    """Item 220: five seconds, unless an option says otherwise."""
    with shop.demo(option, "0.5") as process:
        assert handshake(shop, "/slow/") == 403
        process.wait_for_output(r"no consumer answered the handshake of '/slow/' within 0\.5 s")


@pytest.mark.parametrize("option", ["--http_timeout", "--http-timeout"])
def test_how_long_a_request_may_wait(shop: Shop, option: str) -> None:
    """Item 220, and 110: a minute, unless an option says otherwise; then 503."""
    with shop.demo(option, "0.5"):
        began = time.monotonic()
        assert get(shop, "/late/")[0] == 503
        assert 0.5 <= time.monotonic() - began < 10


def test_the_site_may_be_mounted_elsewhere(shop: Shop) -> None:
    """Item 47: FORCE_SCRIPT_NAME is the root_path of messages."""
    shop.set("FORCE_SCRIPT_NAME = '/mounted'")
    with shop.demo(), shop.socket("/about/") as client:
        assert client.recv(timeout=10) == f"/mounted ws {LOOPBACK}"


@pytest.mark.parametrize("how", ["--noasgi", "no layer"])
def test_django_s_own_server(shop: Shop, how: str) -> None:
    """Item 220: with --noasgi and without a default layer; pages and static files, but no sockets."""
    if how == "no layer":
        shop.set("CHANNEL_LAYERS = {}")
    with django_s_own(shop, *([how] if how == "--noasgi" else [])) as process:
        assert get(shop, "/page/") == (200, f"http {LOOPBACK}")
        assert get(shop, "/static/shop.css") == (200, "body { color: green }")
        assert handshake(shop, "/echo/") == 404
        process.wait_for_output(r"Starting (WSGI )?development server at")


def test_static_files_outside_debug(shop: Shop) -> None:
    """Item 112: with --insecure only."""
    shop.environment["DEBUG"] = "0"
    with shop.demo("--insecure"):
        assert get(shop, "/static/shop.css") == (200, "body { color: green }")
    with shop.demo():
        assert get(shop, "/static/shop.css")[0] == 404


def test_no_static_files_if_they_are_not_wanted(shop: Shop) -> None:
    """Items 112 and 221: with --nostatic, as for whoever has middleware of their own for them."""
    with shop.demo("--nostatic"):
        assert get(shop, "/static/shop.css")[0] == 404
        assert get(shop, "/page/")[0] == 200


def test_where_it_stands_in_installed_apps_does_not_matter(shop: Shop) -> None:
    """Items 112 and 221: Channels 1.x told to put it last, after staticfiles, which has a runserver too."""
    shop.set("INSTALLED_APPS = ['django.contrib.staticfiles', 'shop', 'channelcelery']")
    with shop.demo():
        assert handshake(shop, "/echo/") == 101
        assert get(shop, "/static/shop.css") == (200, "body { color: green }")


def test_detailed_log(shop: Shop) -> None:
    """Item 224: logger django.channels, INFO, and DEBUG with -v 2."""
    with shop.demo("-v", "2") as process:
        assert handshake(shop, "/echo/") == 101
        process.wait_for_output(r"DEBUG django\.channels\.interface: WebSocket '/echo/' was accepted")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--websocket_handshake_timeout", "soon"], "write seconds, a number above 0, not 'soon'"),
        (["--layer", "other"], "CHANNEL_LAYERS has no 'other'"),
        (["--noworker"], "could not reach any other process"),
    ],
)
def test_what_cannot_be_is_said(shop: Shop, options: list[str], says: str) -> None:
    with shop.start(shop.manage("runserver", "--noreload", *options), name="runserver") as process:
        assert process.wait(30) not in (0, None)
        assert says in process.output()
        assert "Traceback" not in process.output()
