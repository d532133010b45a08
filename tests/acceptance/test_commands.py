"""The commands that the README gives: each starts what it says, from where it says, or says why not."""

import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.chat import expect_chat, expect_people, people
from tests.acceptance.copies import copy_of_the_repository
from tests.acceptance.sites import ROOT, Site, program, wait_for_worker
from tests.servers import LOOPBACK, Process, wait_until

amqp_only = pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
redis_only = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)


def fetch(site: Site, path: str) -> tuple[int, str]:
    """Get a page and return its status and content type."""
    try:
        with urllib.request.urlopen(site.url + path, timeout=10) as answer:  # noqa: S310 - our own address
            return answer.status, answer.headers["Content-Type"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"]


def expect_it_works(site: Site) -> None:
    """Let two people chat, and look at who is there."""
    with site.socket("/chat/lobby/people/") as watcher, people(site, "Ann", "Bob") as members:
        expect_chat(*members)
        expect_people(watcher, "Ann", "Bob")


def ctrl_c(process: Process, within: float = 2.0) -> int:
    """Press Ctrl-C in the process's terminal, and return its exit status; it must end in time, without a traceback."""
    began = time.monotonic()
    process.signal_group(signal.SIGINT)
    status = process.wait(within + 5)
    took = time.monotonic() - began
    assert "Traceback" not in process.output(), process.output()[-6000:]
    assert took < within, f"it took {took:.1f} s:\n{process.output()[-3000:]}"
    return status


# one process


def test_runserver_without_reload(memory_site: Site) -> None:
    """Expect pages, static files of the site and of the admin, sockets, and an end within two seconds."""
    with memory_site.demo() as process:
        assert fetch(memory_site, "/") == (200, "text/html; charset=utf-8")
        assert fetch(memory_site, "/static/chat/room.js") == (200, "text/javascript")
        assert fetch(memory_site, "/static/admin/css/base.css") == (200, "text/css")
        assert fetch(memory_site, "/admin/login/")[0] == 200
        assert fetch(memory_site, "/static/nothing.css")[0] == 404
        expect_it_works(memory_site)
        with people(memory_site, "Ann"):
            assert ctrl_c(process) == 0


def test_runserver_with_reload(tmp_path: Path, database: Path) -> None:
    """Item 219: expect a changed consumer to run after a moment, and one Ctrl-C to end parent and child."""
    root = copy_of_the_repository(tmp_path / "clone")
    site = Site(tmp_path, root=root)
    consumers = root / "example_site" / "echo" / "consumers.py"
    with site.start(site.manage("runserver", f"{LOOPBACK}:{site.port}"), name="runserver") as process:
        site.wait_for_interface(process)
        with site.socket("/echo/") as client:
            client.send("hello")
            assert client.recv(timeout=10) == "hello"
        seen = len(process.output())
        consumers.write_text(consumers.read_text().replace('message["text"]}', 'message["text"].upper()}'))
        wait_until(lambda: reloading(process, seen, consumers), timeout=20, what="the change to be seen", interval=0.3)
        process.wait_for_output(r"sockets are taken", start=seen, timeout=30)
        site.wait_for_interface(process)
        with site.socket("/echo/") as client:
            client.send("hello")
            assert client.recv(timeout=10) == "HELLO"
        assert ctrl_c(process) == 0


def reloading(process: Process, start: int, changed: Path) -> bool:
    """Tell whether a change was seen, and make it look new if not: one made before the first look is not seen."""
    if "changed, reloading" in process.output()[start:]:
        return True
    os.utime(changed)
    return False


@amqp_only
def test_runserver_without_worker_beside_runworker(shared_site: Site) -> None:
    """Item 220: --noworker."""
    runserver = shared_site.manage("runserver", "--noreload", "--noworker", f"{LOOPBACK}:{shared_site.port}")
    with (
        shared_site.start(runserver, name="runserver") as server,
        shared_site.start(shared_site.manage("runworker", "--concurrency", "1"), name="runworker") as worker,
    ):
        wait_for_worker(worker)
        shared_site.wait_for_interface(server)
        expect_it_works(shared_site)
        assert re.search(r"running \d+ channels|a worker in it", server.output()) is None


# two processes


@amqp_only
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_each_pool_runs_the_chat(shared_site: Site, pool: str) -> None:
    with shared_site.production("--pool", pool, "--concurrency", "2"):
        expect_it_works(shared_site)


@redis_only
def test_from_another_directory(shared_site: Site, tmp_path: Path) -> None:
    """Expect absolute paths to be enough for the interface, and --workdir for the worker."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    celery = [program("celery"), "--workdir", str(ROOT), "-A", "example_site", "worker", "-c", "1"]
    interface = shared_site.manage("runinterface", "--port", str(shared_site.port))
    with (
        shared_site.start(interface, name="interface", cwd=elsewhere) as process,
        shared_site.start(celery, name="worker", cwd=elsewhere) as worker,
    ):
        wait_for_worker(worker)
        shared_site.wait_for_interface(process)
        expect_it_works(shared_site)


@redis_only
def test_celery_without_an_app_and_plain_uvicorn(shared_site: Site) -> None:
    """Expect DJANGO_SETTINGS_MODULE to be all that either needs."""
    shared_site.environment["DJANGO_SETTINGS_MODULE"] = "example_site.settings"
    celery = [program("celery"), "-A", "channelcelery", "worker", "-c", "1"]
    uvicorn = [program("uvicorn"), "channelcelery.asgi:application", "--ws", "websockets-sansio", "--host", LOOPBACK]
    uvicorn += ["--port", str(shared_site.port), "--ws-max-size", "2097152", "--ws-per-message-deflate", "false"]
    with (
        shared_site.start(uvicorn, name="uvicorn") as process,
        shared_site.start(celery, name="worker") as worker,
    ):
        wait_for_worker(worker)
        shared_site.wait_for_interface(process)
        assert fetch(shared_site, "/static/chat/room.js")[0] == 200
        expect_it_works(shared_site)


def refused() -> dict[str, Sequence[str]]:
    """Return the commands that refuse to run in memory."""
    manage = Site(Path()).manage
    return {
        "celery -A example_site worker": [program("celery"), "-A", "example_site", "worker"],
        "celery -A channelcelery worker": [program("celery"), "-A", "channelcelery", "worker"],
        "runworker": manage("runworker"),
        "runinterface": manage("runinterface"),
        "rundelay": manage("rundelay"),
        "runserver --noworker": manage("runserver", "--noreload", "--noworker"),
        "uvicorn": [program("uvicorn"), "channelcelery.asgi:application"],
    }


@pytest.mark.parametrize("name", refused())
def test_what_needs_servers_refuses_to_run_in_memory(memory_site: Site, name: str) -> None:
    """Items 222 and 223: expect an error that says why and what to set, and a status that a supervisor understands."""
    memory_site.environment["DJANGO_SETTINGS_MODULE"] = "example_site.settings"
    with memory_site.start(refused()[name], name="refused") as process:
        assert process.wait(30) not in (0, None)
        said = process.output()
        assert "could not reach any other process" in said
        assert "set CELERY_BROKER_URL to amqp://… or redis://…" in said
        assert "set CHANNEL_LAYER_URL to redis://…" in said
        if name != "uvicorn":  # which shows one whatever an application says
            assert "Traceback" not in said
