"""A project's own tests, run as its people do: by `manage.py test` and by pytest (items 209 to 218)."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from channelcelery.test.live_main import Orders
from channelcelery.test.live_process import LiveProcess
from tests.conftest import CHROMIUM_ARGUMENTS
from tests.processes import Process, wait_until
from tests.servers import RabbitServer

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = "tests.tested_project.settings"
CASES, LIVE, PYTEST = (f"tests.tested_project.{name}" for name in ("cases", "live_cases", "pytest_cases"))


def is_running(pid: int) -> bool:
    """Tell whether a process is there and not merely waiting to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@dataclass
class Suite:
    """The tested project, on real servers.

    Args:
        directory: an empty directory.
        broker: its CELERY_BROKER_URL.
        layer: the Redis of its TEST_CONFIG.
        database: what its DATABASES hold.
    """

    directory: Path
    broker: str
    layer: str
    database: dict[str, Any]

    @property
    def notes(self) -> list[dict[str, Any]]:
        """What its live tests wrote down: prefixes and processes."""
        file = self.directory / "notes"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def start(self, *command: str, **more: str) -> Process:
        """Start Python on something."""
        env = {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "TESTED_DATABASE": json.dumps(self.database),
            "TESTED_BROKER": self.broker,
            "TESTED_LAYER": self.layer,
            "TESTED_NOTES": str(self.directory / "notes"),
            "CELERY_BROKER_URL": None,
            "CHANNEL_LAYER_URL": None,
            **more,
        }
        return Process([sys.executable, *command], cwd=ROOT, env=env, name=command[1])

    def run(self, *command: str, **more: str) -> tuple[int, str]:
        """Run Python on something to its end, and return its status and output."""
        with self.start(*command, **more) as process:
            return process.wait(180), process.output()

    def manage(self, *labels: str, **more: str) -> tuple[int, str]:
        """Run tests by Django."""
        return self.run("-m", "django", "test", "--noinput", *labels, **more)

    def pytest(self, *modules: str, **more: str) -> tuple[int, str]:
        """Run tests by pytest."""
        files = [f"{module.replace('.', '/')}.py" for module in modules]
        return self.run("-m", "pytest", "-p", "no:cacheprovider", f"--ds={SETTINGS}", *files, **more)

    def left(self) -> list[str]:
        """Return the keys in the layer's Redis, and in that of the broker if it is one, that live tests left."""
        urls = {self.layer, self.broker} if self.broker.startswith("redis") else {self.layer}
        found: list[str] = []
        for url in urls:
            with redis.Redis.from_url(url, decode_responses=True) as client:
                found += client.keys("*tested:*")
        return found


@pytest.fixture
def sqlite(tmp_path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "db.sqlite3"),
        "TEST": {"NAME": str(tmp_path / "test.sqlite3")},
    }


@pytest.fixture
def tested(tmp_path: Path, broker_url: str, redis_url: str, sqlite: dict[str, Any]) -> Suite:
    return Suite(tmp_path, broker_url, redis_url, sqlite)


on_redis = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)


def assert_nothing_is_left(tested: Suite) -> None:
    assert tested.notes
    assert [pid for note in tested.notes for pid in note["pids"] if is_running(pid)] == []
    assert tested.left() == []


class TestEachRunner:
    """Items 209, 210, 212, 213, 216 and 217: both ways to run tests, on each broker."""

    def test_django_s(self, tested: Suite) -> None:
        status, output = tested.manage(CASES, f"{LIVE}.LiveTests")
        assert status == 0, output
        assert "Ran 9 tests" in output
        assert "--- output of" not in output
        assert_nothing_is_left(tested)

    def test_pytest(self, tested: Suite) -> None:
        status, output = tested.pytest(CASES, PYTEST)
        assert status == 0, output
        assert "12 passed" in output
        assert_nothing_is_left(tested)

    @pytest.mark.parametrize("broker_url", ["amqp"], indirect=True)
    def test_no_queue_or_exchange_is_left(self, tested: Suite, rabbit_shared: RabbitServer) -> None:
        assert tested.manage(f"{LIVE}.LiveTests.test_the_site_is_on_a_layer_of_its_own")[0] == 0
        vhost = tested.broker.rpartition("/")[2]
        for kind in ("queues", "exchanges"):
            assert "tested:" not in rabbit_shared.control(f"list_{kind}", "--vhost", vhost)

    @on_redis
    def test_with_pages_in_the_interface(self, tested: Suite) -> None:
        """Item 217, with CONFIG["http"] "inline"."""
        status, output = tested.manage(f"{LIVE}.LiveTests", TESTED_HTTP="inline")
        assert status == 0, output
        assert_nothing_is_left(tested)

    @on_redis
    def test_on_postgresql(self, tested: Suite, postgres: dict[str, Any]) -> None:
        tested.database = postgres
        status, output = tested.manage(CASES, f"{LIVE}.LiveTests")
        assert status == 0, output
        assert_nothing_is_left(tested)

    @on_redis
    def test_tests_of_channels_need_no_server(self, tested: Suite) -> None:
        """Expect fresh layers to reach neither broker nor Redis (item 210)."""
        tested.broker = tested.layer = "redis://127.0.0.1:1/0"
        tested.database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        assert tested.manage(CASES)[0] == 0
        assert tested.pytest(CASES)[0] == 0


@on_redis
class TestLiveServers:
    """Item 217."""

    @pytest.mark.browser
    def test_in_a_browser(self, tested: Suite, chromium_path: str) -> None:
        arguments = json.dumps(CHROMIUM_ARGUMENTS)
        status, output = tested.manage(
            f"{LIVE}.BrowserTests", TESTED_CHROMIUM=chromium_path, TESTED_CHROMIUM_ARGUMENTS=arguments
        )
        assert status == 0, output

    @pytest.mark.parametrize("runner", ["manage", "pytest"])
    def test_if_a_test_fails_then_what_the_processes_wrote_is_shown(self, tested: Suite, runner: str) -> None:
        if runner == "manage":
            status, output = tested.manage(f"{LIVE}.FailingTests")
        else:
            status, output = tested.run(
                *("-m", "pytest", "-p", "no:cacheprovider", f"--ds={SETTINGS}"),
                "tests/tested_project/live_cases.py::FailingTests",
            )
        assert status == 1
        assert "so that the output is shown" in output
        assert "--- output of the worker" in output
        assert "on purpose: the broken consumer" in output
        assert "--- output of the interface" in output
        assert tested.left() == []

    def test_if_the_fixture_s_test_fails_then_too(self, tested: Suite) -> None:
        (tested.directory / "test_failing.py").write_text(
            "def test_failing(channel_live_server):\n    assert channel_live_server.url == 'elsewhere'\n"
        )
        status, output = tested.run(
            *("-m", "pytest", "-p", "no:cacheprovider", f"--ds={SETTINGS}", "--rootdir", str(tested.directory)),
            *("-c", os.devnull, str(tested.directory)),
        )
        assert status == 1
        assert "live site" in output
        assert "sockets are taken" in output

    def test_if_the_test_run_is_killed_then_its_processes_end(self, tested: Suite) -> None:
        with tested.start("-m", "django", "test", "--noinput", f"{LIVE}.HangingTests") as process:
            (note,) = wait_until(lambda: tested.notes, timeout=60, what="the live site")
            assert all(map(is_running, note["pids"]))
            process.signal(signal.SIGKILL)
            process.wait()
            wait_until(lambda: not any(map(is_running, note["pids"])), timeout=20, what="the processes to end")

    def test_if_the_database_is_in_memory_then_it_is_refused(self, tested: Suite) -> None:
        tested.database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        status, output = tested.manage(f"{LIVE}.LiveTests")
        assert status == 1
        assert "ImproperlyConfigured: the test database 'default' is in this process's memory" in output
        assert 'name a file in DATABASES, {"TEST": {"NAME": "test.sqlite3"}}' in output
        assert tested.notes == []

    @pytest.mark.parametrize("away", ["broker", "layer"])
    def test_if_a_server_is_away_then_that_is_said_before_anything_is_started(self, tested: Suite, away: str) -> None:
        setattr(tested, away, "redis://127.0.0.1:1/0")
        status, output = tested.manage(f"{LIVE}.LiveTests")
        assert status == 1
        assert ("BrokerUnavailable: " if away == "broker" else "LayerUnavailable: ") in output
        assert "127.0.0.1:1" in output
        assert "Ran 0 tests" in output


def test_a_process_that_cannot_start_says_why() -> None:
    orders = Orders(
        role="worker",
        alias="default",
        prefix="tested:x:",
        host="localhost",
        socket=-1,
        serve_static=False,
        threads=1,
        databases={"unknown": "name"},
        settings={},
    )
    process = LiveProcess(orders)
    try:
        with pytest.raises(RuntimeError, match=r"(?s)the worker of the live site ended:.*KeyError: 'unknown'"):
            process.wait_until_ready(60)
    finally:
        process.stop()
    assert not is_running(process.pid)


class TestThePlugin:
    """Harmless wherever it is installed."""

    def run(self, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("DJANGO", "PYTEST"))}
        command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *arguments]
        command += ["-c", os.devnull, "--rootdir", str(directory), str(directory)]
        return subprocess.run(
            command, cwd=directory, env=variables, capture_output=True, text=True, timeout=60, check=False
        )

    def test_django_is_not_imported_where_no_fixture_is_used(self, tmp_path: Path) -> None:
        (tmp_path / "test_it.py").write_text(
            "import sys\n"
            "def test_it():\n"
            "    assert 'channelcelery.test.plugin' in sys.modules\n"
            "    foreign = {'django', 'celery', 'kombu', 'redis', 'uvicorn', 'asgiref', 'msgpack'}\n"
            "    assert not foreign & set(sys.modules)\n"
        )
        done = self.run(tmp_path, "-p", "no:django")
        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize("options", [["-p", "no:django"], []])
    def test_without_settings_the_fixtures_say_so(self, tmp_path: Path, options: list[str]) -> None:
        (tmp_path / "test_it.py").write_text("def test_it(ws_client):\n    pass\n")
        done = self.run(tmp_path, *options)
        assert done.returncode == 1
        assert "channels need Django's settings: install pytest-django" in done.stdout

    def test_every_fixture_is_described(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, "--fixtures", "-p", "no:django")
        for name in ("channel_layer", "channels_client", "ws_client", "channel_live_server"):
            assert f"{name} --" in done.stdout or f"{name} [" in done.stdout, done.stdout
        assert "no docstring available" not in done.stdout.partition("channelcelery")[2][:2000]
