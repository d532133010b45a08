"""`make demo` and `make up`, in a copy of the working copy, as a person at a terminal has them."""

import os
import secrets
import shutil
import signal
import socket
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.chat import expect_chat, people
from tests.acceptance.copies import copy_of_the_repository, processes_with, virtual_environment
from tests.acceptance.sites import Site
from tests.servers import LOOPBACK, find_program, free_port, wait_until

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def clone(tmp_path: Path) -> Site:
    """A copy with everything installed, in which nothing has run yet; its processes carry a mark."""
    root = copy_of_the_repository(tmp_path / "clone")
    virtual_environment(root / ".venv")
    mark = {"MARK_OF_A_TEST": secrets.token_hex(8), "EXAMPLE_DATABASE": None}
    return Site(tmp_path, root=root, environment=mark)


def mark_of(site: Site) -> str:
    return f"MARK_OF_A_TEST={site.environment['MARK_OF_A_TEST']}"


def test_make_demo(clone: Site) -> None:
    """Expect a site at the address that is printed, and one Ctrl-C to end it in two seconds, without a traceback."""
    clone.broker = clone.layer = "redis://of.the.callers.own.shell"
    with clone.start(["make", "demo", f"PORT={clone.port}"], name="make") as process:
        said = process.wait_for_output(r"The example site is on (http://\S+) - Ctrl-C ends it\.")
        clone.wait_for_interface(process)
        assert said.group(1) == f"{clone.url}/"
        with urllib.request.urlopen(said.group(1)) as answer:  # noqa: S310 - our own address
            assert answer.status == 200
        with people(clone, "Ann", "Bob") as members:
            expect_chat(*members)
            began = time.monotonic()
            process.signal_group(signal.SIGINT)
            process.wait(10)
            assert time.monotonic() - began < 2
        assert "Traceback" not in process.output()
        assert "WARNING" not in process.output()
    assert processes_with(mark_of(clone)) == {}


def free_ports_in_a_row(count: int) -> int:
    """Return the first of some ports on which nothing listens now."""
    for _ in range(50):
        first = free_port()
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind((LOOPBACK, port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {count} free ports in a row found")


def test_make_up(clone: Site) -> None:
    """Expect Redis, RabbitMQ, interface and worker to carry a chat, and one Ctrl-C to leave no process."""
    find_program("redis-server", package="redis-server")
    find_program("rabbitmq-server", package="rabbitmq-server", folders=[Path("/usr/lib/rabbitmq/bin")])
    ports = [f"PORT={clone.port}", f"UP_REDIS_PORT={free_port()}", f"UP_RABBITMQ_PORT={free_ports_in_a_row(3)}"]
    with clone.start(["make", "up", *ports], name="make") as process:
        try:
            process.wait_for_output(r"interface\.1 .*sockets are taken", timeout=60)
            process.wait_for_output(r"worker\.1 .*running \d+ channels", timeout=60)
            wait_until(lambda: len(processes_with(mark_of(clone))) > 4, what="the servers to run")
            with people(clone, "Ann", "Bob") as members:
                expect_chat(*members)
            process.signal_group(signal.SIGINT)
            assert process.wait(30) in (0, -signal.SIGINT), process.output()[-5000:]
            wait_until(lambda: not processes_with(mark_of(clone)), what="every process to have ended")
        finally:
            for pid in processes_with(mark_of(clone)):
                os.kill(pid, signal.SIGKILL)
