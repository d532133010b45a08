"""The examples of `docs/testing.md`, run by Django's runner and by pytest."""

import os
import sys
from pathlib import Path

import pytest

from tests.acceptance.pages import ROOT, Project
from tests.processes import Process

PAGE = ROOT / "docs" / "testing.md"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, settings="talksite.settings")
    project.run("-m", "django", "startproject", "--settings", "django.conf.global_settings", "talksite", ".")
    settings = tmp_path / "talksite" / "settings.py"
    settings.write_text(
        settings.read_text().replace("INSTALLED_APPS = [", 'INSTALLED_APPS = ["channelcelery", "talk",')
    )
    (tmp_path / "talk").mkdir()
    (tmp_path / "talk" / "__init__.py").touch()
    project.write(PAGE)
    return project


def run(project: Project, url: str, *command: str) -> str:
    """Run tests in the project with one Redis for everything; they must pass."""
    env = project.env(TEST_REDIS=url, TEST_BROKER=url)
    with Process([sys.executable, *command], cwd=project.directory, env=env, name="tests") as process:
        assert process.wait(180) == 0, process.output()
        return process.output()


def test_by_django_s_runner(project: Project, redis_url: str) -> None:
    output = run(
        project, redis_url, "manage.py", "test", "--noinput", "--pattern", "test*.py", "talk.tests", "talk.test_live"
    )
    assert "Ran 7 tests" in output


def test_by_pytest(project: Project, redis_url: str) -> None:
    files = ("talk/tests.py", "talk/test_talk.py", "talk/test_live.py")
    output = run(
        project, redis_url, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".", *files
    )
    assert "9 passed" in output
