"""A real PostgreSQL for tests: on a free loopback port, in a temporary directory, ended by pid."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.processes import LOOPBACK, Process, find_program, free_port, is_listening, wait_until

__all__ = ["postgres_server"]

_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@contextlib.contextmanager
def postgres_server() -> Iterator[dict[str, Any]]:
    """Run a server, and give what DATABASES says of it."""
    initdb = find_program("initdb", package="postgresql", folders=_FOLDERS)
    postgres = find_program("postgres", package="postgresql", folders=_FOLDERS)
    # not pytest's own directory, which no other user may enter
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        as_user: list[str] = []
        if os.geteuid() == 0:
            # it refuses to run as root
            as_user = [find_program("setpriv", package="util-linux"), "--reuid=postgres", "--regid=postgres"]
            as_user.append("--clear-groups")
            shutil.chown(directory, "postgres", "postgres")
        data, port = f"{directory}/data", free_port()
        prepare = [initdb, "-D", data, "-U", "tests", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        with Process([*as_user, *prepare], cwd=directory, name="initdb") as made:
            assert made.wait(60) == 0, made.output()
        serve = [postgres, "-D", data, "-p", str(port), "-h", LOOPBACK, "-k", "", "-F"]
        with Process([*as_user, *serve], cwd=directory, name="postgres") as process:
            process.wait_for_output("ready to accept connections", timeout=30)
            wait_until(lambda: is_listening(port), what="PostgreSQL to listen")
            yield {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "tested",
                "USER": "tests",
                "HOST": LOOPBACK,
                "PORT": port,
            }
            process.signal(signal.SIGINT)  # end without waiting for clients
            process.wait(20)
