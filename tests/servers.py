"""Real servers for tests: on free loopback ports, in temporary directories, ended by pid.

Everything here is a context manager, leaves nothing running and never touches a server it did not start.
"""

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.processes import LOOPBACK, Process, find_program, free_port, is_listening, missing, wait_until

__all__ = [
    "LOOPBACK",
    "Process",
    "RabbitServer",
    "RedisServer",
    "find_program",
    "free_port",
    "missing",
    "rabbitmq_server",
    "redis_server",
    "wait_until",
]

RABBITMQ_PROGRAMS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/homebrew/sbin"), Path("/usr/local/sbin"))


class RedisServer:
    """A Redis server on loopback that a test can stop, kill, freeze and start again on its port."""

    def __init__(
        self, directory: Path, *, port: int | None = None, appendonly: bool = False, appendfsync: str = "everysec"
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.appendonly = appendonly
        self.appendfsync = appendfsync
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return self.database(0)

    def database(self, number: int) -> str:
        """Return the URL of one of the 16 databases."""
        return f"redis://{LOOPBACK}:{self.port}/{number}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return _running(self.process, "redis-server").pid

    def start(self) -> None:
        """Start it, with the data that `appendonly` kept, and wait until it answers."""
        program = find_program("redis-server", package="redis-server")
        command = [program, "--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self.directory)]
        command += ["--save", "", "--appendonly", "yes" if self.appendonly else "no", "--daemonize", "no"]
        command += ["--appendfsync", self.appendfsync]
        self.process = Process(command, log=self.directory / "redis.log")
        _wait_for_port(self.process, self.port, timeout=10, ready=self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False

    def stop(self) -> None:
        """End it as an operator does (SIGTERM)."""
        if self.process is not None:
            self.resume()
            self.process.stop()
            self.process = None

    def kill(self) -> None:
        """End it by SIGKILL."""
        _running(self.process, "redis-server").kill()
        self.process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing is answered."""
        _running(self.process, "redis-server").signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        _running(self.process, "redis-server").signal(signal.SIGCONT)


class RabbitServer:
    """A RabbitMQ node of its own, with its own epmd, cookie and data, run as the current user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.dist_port, self.epmd_port = free_port(), free_port(), free_port()
        self.node = f"test-{secrets.token_hex(6)}@localhost"
        self.process: Process | None = None
        self._epmd: Process | None = None
        self._vhosts = itertools.count(1)
        self._environment = self._prepare()

    def _prepare(self) -> dict[str, str | None]:
        home = self.directory / "home"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self.directory / "enabled_plugins").write_text("[].\n")
        inherited = {name: None for name in os.environ if name.startswith(("RABBITMQ_", "ERL_"))}
        return inherited | {
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            # The system's own configuration must not reach this node.
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "no-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "no-rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(self.directory / "no-conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "no-advanced.config"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def url(self) -> str:
        """The URL of the vhost "/"."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}//"

    @property
    def pid(self) -> int:
        """The id of the process that leads the node's process group."""
        return _running(self.process, "rabbitmq-server").pid

    def start(self) -> None:
        """Start the node, with the data it left, and wait until it accepts connections (about 4 s)."""
        program = find_program("rabbitmq-server", package="rabbitmq-server", folders=RABBITMQ_PROGRAMS)
        if self._epmd is None:
            epmd = find_program("epmd", package="erlang-base")
            command = [epmd, "-port", str(self.epmd_port), "-address", LOOPBACK]
            self._epmd = Process(command, log=self.directory / "epmd.log", env=self._environment)
            _wait_for_port(self._epmd, self.epmd_port, timeout=5)
        self.process = Process([program], log=self.directory / "rabbitmq.log", env=self._environment)
        _wait_for_port(self.process, self.port, timeout=60, ready=self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
        return False

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node (about 0.4 s, a minute on a very busy machine) and return what it printed."""
        program = find_program("rabbitmqctl", package="rabbitmq-server", folders=RABBITMQ_PROGRAMS)
        variables = {key: value for key, value in {**os.environ, **self._environment}.items() if value is not None}
        done = subprocess.run(
            [program, "--quiet", *arguments], env=variables, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def new_vhost(self) -> str:
        """Make an empty vhost that the user guest may use and return its URL."""
        name = f"v{next(self._vhosts)}"
        self.control(
            "eval",
            f'rabbit_vhost:add(<<"{name}">>, <<"test">>), rabbit_auth_backend_internal:set_permissions('
            f'<<"guest">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).',
        )
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{name}"

    def close_connections(self) -> None:
        """Cut every client's connection, as a broker's operator can."""
        self.control("close_all_connections", "--global", "cut by a test")

    def stop(self) -> None:
        """End the node in order (SIGTERM), keeping its data."""
        if self.process is not None:
            self.process.stop(timeout=30)
            self.process = None

    def kill(self) -> None:
        """End the node by SIGKILL, keeping its data."""
        _running(self.process, "rabbitmq-server").kill()
        self.process = None
        # The process collected is the shell that leads the group; the node dies beside it.
        wait_until(lambda: not is_listening(self.port), what="the killed node's port to be free")

    def close(self) -> None:
        """End the node and its epmd."""
        self.stop()
        if self._epmd is not None:
            self._epmd.stop()
            self._epmd = None


@contextlib.contextmanager
def redis_server(
    *,
    port: int | None = None,
    directory: Path | None = None,
    appendonly: bool = False,
    appendfsync: str = "everysec",
) -> Iterator[RedisServer]:
    """Run a Redis server for the length of a `with` block.

    Args:
        port: a loopback port; a free one by default.
        directory: where it writes; a temporary one by default.
        appendonly: whether data survives a kill.
        appendfsync: when that is on disk, in Redis's own words.
    """
    with tempfile.TemporaryDirectory(prefix="redis-") as temporary:
        server = RedisServer(directory or Path(temporary), port=port, appendonly=appendonly, appendfsync=appendfsync)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def rabbitmq_server() -> Iterator[RabbitServer]:
    """Run a RabbitMQ node for the length of a `with` block."""
    # Its processes may write for a moment after the node has ended.
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True) as temporary:
        server = RabbitServer(Path(temporary))
        try:
            server.start()
            yield server
        finally:
            server.close()


def _running(process: Process | None, name: str) -> Process:
    if process is None:
        raise AssertionError(f"{name} is not running; call start() first")
    return process


def _wait_for_port(process: Process, port: int, *, timeout: float, ready: Callable[[], bool] | None = None) -> None:
    def is_ready() -> bool:
        if process.returncode is not None:
            raise AssertionError(f"{process.name} ended with {process.returncode}:\n{process.output()[-6000:]}")
        return ready() if ready is not None else is_listening(port)

    wait_until(is_ready, timeout=timeout, what=f"{process.name} to accept connections on port {port}")
