"""Where and with what it was measured, and as many open files as may be."""

import os
import platform
import re
import resource
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.processes import ROOT
from tests.servers import RABBITMQ_PROGRAMS, find_program

__all__ = ["describe_commit", "describe_machine", "describe_others", "describe_versions", "raise_file_limit"]

_PACKAGES = ("django", "celery", "kombu", "amqp", "redis", "hiredis", "msgpack", "uvicorn", "uvloop", "websockets")


def describe_machine() -> str:
    """Return processor, cores, memory and kernel."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    gib = int(memory.group(1)) / 1024**2 if memory else 0
    name = model.group(1) if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {gib:.0f} GiB, Linux {platform.release()}"


def describe_versions() -> str:
    """Return Python, the packages and the servers with their versions."""
    packages = [f"{name} {_version(name)}" for name in _PACKAGES]
    rabbit = find_program("rabbitmqctl", package="rabbitmq-server", folders=RABBITMQ_PROGRAMS)
    servers = [
        f"Redis {_ask([find_program('redis-server', package='redis-server'), '--version'], r'v=([0-9.]+)')}",
        f"RabbitMQ {_ask([rabbit, 'version'], r'([0-9][0-9.]+)')}",
    ]
    return ", ".join([f"Python {platform.python_version()}", *packages, *servers])


def describe_others() -> str:
    """Return the other projects that are run, and what they are run with, in their versions."""
    lines = (ROOT / "benchmarks" / "others" / "requirements.txt").read_text().splitlines()
    return ", ".join(line.replace("==", " ").replace("~=", " ~") for line in lines if not line.startswith("#"))


def describe_commit() -> str:
    """Return the commit that was measured, and whether files differed from it."""
    commit = _ask(["git", "rev-parse", "--short", "HEAD"], r"(\w+)")
    changed = _ask(["git", "status", "--porcelain", "channelcelery", "benchmarks", ":!benchmarks/RESULTS.md"], r"(.*)")
    return f"{commit}, with changes" if changed else commit


def raise_file_limit() -> None:
    """Let this process and all it starts hold as many sockets as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _ask(command: Sequence[str], pattern: str) -> str:
    try:
        text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    found = re.search(pattern, text)
    return found.group(1) if found else "unknown"
