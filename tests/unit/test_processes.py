"""What tests/processes.py and the socket guard do without a server."""

import asyncio
import os
import signal
import socket
import sys
import time

import pytest

from tests.processes import Process, free_port, missing, wait_until
from tests.unit.conftest import SocketForbiddenError


def test_wait_until_returns_the_first_true_result() -> None:
    results = iter([0, "", "yes"])
    assert wait_until(lambda: next(results), interval=0) == "yes"


def test_wait_until_says_what_did_not_happen() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.05 s: the moon to be blue \(last result: None\)"):
        wait_until(lambda: None, timeout=0.05, what="the moon to be blue")


def test_a_missing_server_is_skipped_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install some-package"):
        missing("some-server", "some-package")


def test_a_missing_server_is_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install some-package"):
        missing("some-server", "some-package")


class TestSocketGuard:
    def test_given_a_unit_test_if_it_connects_expect_an_error(self, sockets_forbidden: list[str]) -> None:
        with socket.socket() as client, pytest.raises(SocketForbiddenError):
            client.connect(("127.0.0.1", 1))
        with pytest.raises(SocketForbiddenError):
            free_port()
        assert len(sockets_forbidden) == 2
        sockets_forbidden.clear()

    def test_given_a_unit_test_if_it_resolves_a_name_expect_an_error(self, sockets_forbidden: list[str]) -> None:
        with pytest.raises(SocketForbiddenError):
            socket.create_connection(("localhost", 1))
        assert sockets_forbidden == ["getaddrinfo('localhost', 1)"]
        sockets_forbidden.clear()

    def test_an_asyncio_loop_works(self) -> None:
        async def wake_from_a_thread() -> int:
            return await asyncio.to_thread(lambda: 42)

        assert asyncio.run(wake_from_a_thread()) == 42


class TestProcess:
    def test_output_is_captured_and_waited_for(self) -> None:
        script = "import sys; print('ready on 8000'); print('more', file=sys.stderr); input"
        with Process([sys.executable, "-c", script]) as process:
            match = process.wait_for_output(r"^ready on (\d+)$")
            assert match[1] == "8000"
            process.wait_for_output("more", start=match.end())
            assert process.wait() == 0
        assert process.output() == "ready on 8000\nmore\n"
        assert not process.log.exists()

    def test_an_early_end_is_reported_with_the_output(self) -> None:
        expected = pytest.raises(AssertionError, match=r"(?s)thing ended with 3 before it wrote 'ready'.*broken")
        script = "print('broken'); raise SystemExit(3)"
        with Process([sys.executable, "-c", script], name="thing") as process, expected:
            process.wait_for_output("ready")

    def test_the_environment_can_be_added_to_and_taken_from(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TAKEN", "1")
        script = "import os; print(os.environ.get('TAKEN'), os.environ['ADDED'])"
        with Process([sys.executable, "-c", script], env={"TAKEN": None, "ADDED": "2"}) as process:
            process.wait_for_output("^None 2$")

    def test_stop_ends_what_ignores_sigterm_and_its_children(self) -> None:
        script = (
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            "print('child', child.pid)\n"
            "time.sleep(600)\n"
        )
        with Process([sys.executable, "-c", script]) as process:
            child = int(process.wait_for_output(r"child (\d+)")[1])
            started = time.monotonic()
            assert process.stop(timeout=0.2) == -signal.SIGKILL
            assert time.monotonic() - started < 5
        wait_until(lambda: not _runs(child), what="the child to end")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child whose parent is gone may stay a zombie where no init collects it.
    with open(f"/proc/{pid}/stat") as status:
        return status.read().rpartition(")")[2].split()[0] != "Z"
