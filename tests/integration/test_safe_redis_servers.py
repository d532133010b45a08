"""The safe transport on Redis servers that are reached otherwise: by TLS, and by Sentinel."""

import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from channelcelery.broker.safe_app import SafeConnection
from tests.integration.safe_brokers import Worker, bodies
from tests.processes import LOOPBACK, Process, find_program, free_port, is_listening, wait_until
from tests.servers import RedisServer

MASTER = "main"


@pytest.fixture
def secure_url(tmp_path: Path) -> Iterator[str]:
    """URL of a Redis that speaks TLS only."""
    port, certificate, key = free_port(), tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    find_program("openssl", package="openssl")
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    program = find_program("redis-server", package="redis-server")
    options = {"tls-port": port, "port": 0, "tls-cert-file": certificate, "tls-key-file": key, "tls-auth-clients": "no"}
    options |= {"tls-ca-cert-file": certificate, "bind": LOOPBACK, "save": "", "dir": tmp_path}
    server = Process([program, *(str(part) for name, value in options.items() for part in (f"--{name}", value))])
    url = f"rediss://{LOOPBACK}:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={certificate}"

    def answers() -> bool:
        if "Failed to configure TLS" in server.output() or "Bad directive" in server.output():
            pytest.skip("this redis-server was built without TLS")
        with suppress(redis.ConnectionError), redis.Redis.from_url(url) as client:
            return bool(client.ping())
        return False

    wait_until(answers, what="the Redis with TLS")
    yield url
    server.stop()


def test_redis_by_tls(secure_url: str) -> None:
    """Given a Redis that speaks TLS / If a message is sent, put back and acknowledged / Expect nothing else."""
    worker = Worker(secure_url)
    worker.send("q", 1)
    worker.consume("q")
    (message,) = worker.read(1)
    message.requeue()
    (again,) = worker.read(2)
    again.ack()
    with redis.Redis.from_url(secure_url) as client:
        assert client.exists("q", "unacked", "unacked_index", "unacked_leases") == 0
    worker.close()


def test_a_wait_by_tls_ends_with_what_was_answered_before(secure_url: str) -> None:
    """Given workers that wait at bells for a minute / If both close, for one rang a bell / Expect its message read."""
    idle, woken = (Worker(secure_url, options={"poll_interval": 60}) for _ in range(2))
    with redis.Redis.from_url(secure_url) as client:
        for number, worker in enumerate((idle, woken)):
            worker.channel.eager = True
            worker.consume(f"q{number}", no_ack=True)
            wait_until(lambda: worker.read_for(0.01) or client.info("clients")["blocked_clients"] > number)  # noqa: B023
        sender = Worker(secure_url)
        sender.send("q1", "in time")
        wait_until(lambda: client.llen("q1") == 0, what="the pop")
        since = time.monotonic()
        for worker in (idle, woken):
            worker.close()
        assert time.monotonic() - since < 5
        sender.send("q0", "too late")
        assert (bodies(woken.got), client.llen("q0")) == (["in time"], 1)
    sender.close()


@pytest.fixture
def watched(new_redis: Callable[..., RedisServer], tmp_path: Path) -> Iterator[tuple[str, RedisServer, RedisServer]]:
    """A Redis, its replica, and the URL of a Sentinel that watches them."""
    main, replica, port = new_redis(), new_redis(), free_port()
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof(LOOPBACK, main.port)
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", what="the replica")
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind {LOOPBACK}\ndir {tmp_path}\n"
        f"sentinel monitor {MASTER} {LOOPBACK} {main.port} 1\n"
        f"sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 3000\n"
    )
    sentinel = Process([find_program("redis-server", package="redis-server"), str(configuration), "--sentinel"])

    def knows_both() -> bool:
        with suppress(redis.RedisError), redis.Redis(port=port) as client:
            return len(client.sentinel_slaves(MASTER)) == 1
        return False

    wait_until(knows_both, timeout=20, what="Sentinel to know both")
    yield f"sentinel://{LOOPBACK}:{port}", main, replica
    sentinel.stop()


def test_redis_by_sentinel(watched: tuple[str, RedisServer, RedisServer]) -> None:
    """Given a Redis that Sentinel watches / If it dies with a message under way / Expect it on the next one."""
    url, main, replica = watched
    options = {"master_name": MASTER}
    first = Worker(url, options=options)
    first.send("q", "before")
    first.consume("q")
    first.read(1)
    with redis.Redis.from_url(replica.url) as client:
        wait_until(lambda: client.hlen("unacked") == 1, what="the replica to have the record")
        main.kill()
        wait_until(lambda: client.info("replication")["role"] == "master", timeout=30, what="the failover")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Kombu's, of the Sentinel that it asked
        first.connection.collect()
        second = wait_until(lambda: _reconnected(url, options), timeout=30, what="a new connection")
        second.send("q", "after")
        second.consume("q")
        # the first worker's lease was not renewed any more
        assert sorted(bodies(second.read(2, timeout=10))) == ["after", "before"]
        for message in second.got:
            message.ack()
        second.close()


def _reconnected(url: str, options: dict[str, Any]) -> Worker | None:
    try:
        return Worker(url, options=options)
    except (OperationalError, redis.RedisError):
        return None


def test_redis_cluster(tmp_path: Path) -> None:
    """Given a node of a Redis Cluster / Expect a refusal at the first connection, however it is made."""
    port = free_port()
    options = [
        "--port",
        str(port),
        "--bind",
        LOOPBACK,
        "--dir",
        str(tmp_path),
        "--save",
        "",
        "--cluster-enabled",
        "yes",
        "--cluster-port",  # or it is 10,000 above the other, which may be taken
        str(free_port()),
    ]
    with Process([find_program("redis-server", package="redis-server"), *options]):
        wait_until(lambda: is_listening(port), what="the node")
        for connect in (SafeConnection.connect, SafeConnection.ensure_connection):
            connection = SafeConnection(f"redis://{LOOPBACK}:{port}/0")
            with pytest.raises(ImproperlyConfigured, match="the broker is a Redis Cluster"):
                connect(connection)
