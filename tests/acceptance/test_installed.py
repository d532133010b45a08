"""The package as others get it: a wheel, in a project that knows nothing of the working copy."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.acceptance.copies import copy_of_the_repository
from tests.acceptance.sites import ROOT, open_socket, program, wait_for_worker
from tests.processes import is_listening
from tests.servers import LOOPBACK, Process, free_port, wait_until

PROJECT = {
    "shop/__init__.py": "",
    "shop/consumers.py": """
from channelcelery import Group, consumer

@consumer("websocket.connect", path=r"^/desk/$")
def join(message):
    Group("desk").add(message.reply_channel)

@consumer("websocket.receive", path=r"^/desk/$")
def say(message):
    Group("desk").send({"text": message["text"]})
""",
    "shop_settings.py": """
import os
SECRET_KEY, USE_TZ, ALLOWED_HOSTS = "for tests only", True, ["127.0.0.1"]
INSTALLED_APPS = ["channelcelery", "shop"]
CELERY_BROKER_URL = os.environ["SHOP_BROKER"]
CHANNEL_LAYERS = {"default": {
    "BACKEND": "channelcelery.layers.RedisChannelLayer",
    "CONFIG": {"hosts": [os.environ["SHOP_REDIS"]], "http": "off"},
}}
""",
}


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the working copy, with what is installed already."""
    if find_spec("hatchling") is None:
        text = "hatchling is not installed; run: pip install -e '.[test]'"
        if os.environ.get("CI"):
            pytest.fail(text, pytrace=False)
        pytest.skip(text)
    source = copy_of_the_repository(tmp_path_factory.mktemp("source"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run(*pip, "wheel", ".", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "out", cwd=source)
    (built,) = (source / "out").glob("channelcelery-*.whl")
    return built


def test_given_the_wheel_expect_the_package_and_nothing_else(wheel: Path) -> None:
    """Expect every file of the package that git keeps: scripts in Lua, static files and marks for type checkers too."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "channelcelery"
    files = {path.relative_to(ROOT).as_posix() for path in package.rglob("*") if path.is_file()}
    assert names == {name for name in files if not name.endswith(".pyc")}
    assert {"channelcelery/py.typed", "channelcelery/layers/scripts/deliver.lua"} <= names
    static = "channelcelery/static/channels/js/websocketbridge"
    assert {f"{static}.js", f"{static}.module.js"} <= names


def test_given_the_wheel_in_another_project_expect_its_consumers_to_run(
    wheel: Path, tmp_path: Path, rabbit_url: str, redis_url: str
) -> None:
    """Expect `celery -A channelcelery worker` and `django-admin runinterface` to need no file of the working copy."""
    installed, project = tmp_path / "installed", tmp_path / "project"
    shutil.unpack_archive(wheel, installed, "zip")  # all that pip does with a wheel of plain files
    for name, text in PROJECT.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    environment: dict[str, str | None] = {
        "DJANGO_SETTINGS_MODULE": "shop_settings",
        "PYTHONPATH": f"{installed}{os.pathsep}{project}",
        "SHOP_BROKER": rabbit_url,
        "SHOP_REDIS": redis_url,
        "CELERY_BROKER_URL": None,
        "CHANNEL_LAYER_URL": None,
    }
    run_there = {"cwd": tmp_path, "env": environment}
    where = [sys.executable, "-c", "import channelcelery; print(channelcelery.__file__)"]
    with Process(where, **run_there) as process:  # type: ignore[arg-type]
        assert process.wait() == 0
        assert str(installed) in process.output()
    port = free_port()
    interface = [program("django-admin"), "runinterface", "--host", LOOPBACK, "--port", str(port)]
    worker = [program("celery"), "-A", "channelcelery", "worker", "--loglevel", "info", "-c", "1"]
    with (
        Process(interface, name="interface", **run_there) as process,  # type: ignore[arg-type]
        Process(worker, name="worker", **run_there) as working,  # type: ignore[arg-type]
    ):
        wait_for_worker(working)
        process.wait_for_output("sockets are taken", timeout=30)
        wait_until(lambda: is_listening(port), what="the interface to listen")
        with open_socket(port, "/desk/") as ann, open_socket(port, "/desk/") as bob:
            ann.send("hello")
            assert [ann.recv(timeout=10), bob.recv(timeout=10)] == ["hello"] * 2
