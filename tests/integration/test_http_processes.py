"""HTTP through real processes: an interface, a worker and Django's views, on both brokers; and what goes wrong there.

Channels 1.x, items 90 to 94, 101, 106, 107 and 110.
"""

import hashlib
import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.large_bodies import Load, measure
from tests.integration.test_interface_process import Running, interface
from tests.integration.wire import Wire
from tests.integration.workers import WorkerSetup
from tests.servers import Process, RedisServer, wait_until

KIB, MIB = 1024, 1024 * 1024
redis_only = pytest.mark.parametrize("broker_url", ["redis"], indirect=True)


def configure(setup: WorkerSetup, **config: Any) -> None:
    setup.config = json.dumps({"http": "worker", "heartbeat": 0.2, "node_expiry": 2.0, **config})


@contextmanager
def site(setup: WorkerSetup, concurrency: int = 2) -> Iterator[tuple[Running, Process]]:
    with setup.worker(concurrency=concurrency) as worker, interface(setup) as it:
        wait_until(lambda: status(it.port) == 200, timeout=20, what="a page to be answered")
        yield it, worker


def status(port: int) -> int:
    with Wire(port) as client:
        client.request("GET", "/hello")
        return client.response()[0]


def test_pages_uploads_and_downloads(setup: WorkerSetup) -> None:
    """Items 90 to 92, 101, 106: on one connection, in both directions, small and large."""
    configure(setup)
    with site(setup) as (it, _), Wire(it.port) as client:
        client.request("GET", "/hello")
        assert client.response()[::2] == (200, b"hello")
        for size in (0, 1000, 300_000, 5_000_000):
            body = os.urandom(size)
            client.request("POST", "/digest", "Content-Type: application/octet-stream", body=body)
            assert client.response()[2].decode() == f"{size} {hashlib.sha256(body).hexdigest()}"
        client.request("GET", f"/download/{20 * MIB}")
        code, headers, body = client.response()
        assert (code, headers["content-length"], body) == (200, str(20 * MIB), bytes(20 * MIB))
        client.request("GET", "/stream/40/0")
        assert client.response()[2] == b"".join(bytes([number]) * 65536 for number in range(40))
        client.request("HEAD", f"/download/{20 * MIB}")
        assert client.response("HEAD")[1]["content-length"] == str(20 * MIB)
        client.request("GET", "/nowhere")
        assert client.response()[0] == 404
        client.request("POST", "/digest", "Expect: 100-continue", "Content-Length: 5")
        assert client.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert client.file.readline() == b"\r\n"
        client.send(b"hello")
        assert client.response()[2].startswith(b"5 ")
        assert it.worker.waiting("http.disconnect") == []


def test_a_client_that_leaves_ends_a_stream_within_a_second(setup: WorkerSetup) -> None:
    """Items 94, 107."""
    configure(setup)
    with site(setup) as (it, _):
        with Wire(it.port) as client:
            client.request("GET", "/stream/100000/10")
            assert client.begin().read(200_000)
        left = time.monotonic()
        wait_until(lambda: "stream closed" in setup.lines(), timeout=10, what="the worker to stop", interval=0.02)
        assert time.monotonic() - left < 3, "a second, and patience with a busy machine"
        assert "stream ends" not in setup.lines()


def test_a_client_that_does_not_read_holds_its_worker_only_so_far(setup: WorkerSetup) -> None:
    """Item 107: given a stream longer than CONFIG['response_spool'], its worker waits, then is let go."""
    configure(setup, response_spool=MIB, send_timeout=3)
    with site(setup, concurrency=1) as (it, _), Wire(it.port, receive_buffer=50_000) as client:
        client.request("GET", "/stream/100000/0")
        assert client.begin().read(1000)
        wait_until(lambda: "stream closed" in setup.lines(), timeout=20, what="the worker to be let go")
        assert status(it.port) == 200


def test_without_a_worker_it_is_503(setup: WorkerSetup) -> None:
    """Item 110: and once one is back, pages are."""
    configure(setup, http_timeout=1)
    with interface(setup) as it:
        wait_until(lambda: status(it.port) == 503, timeout=20, what="503")
        began = time.monotonic()
        assert status(it.port) == 503
        assert 0.5 < time.monotonic() - began < 5
        with setup.worker():
            wait_until(lambda: status(it.port) == 200, timeout=20, what="a page")


def test_a_worker_killed_in_a_stream_ends_the_connection(setup: WorkerSetup) -> None:
    configure(setup, http_timeout=2)
    with site(setup) as (it, worker), Wire(it.port) as client:
        client.request("GET", "/stream/100000/10")
        response = client.begin()
        assert response.read(100_000)
        os.killpg(worker.pid, signal.SIGKILL)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()


def test_an_interface_killed_in_a_download_lets_its_worker_go(setup: WorkerSetup) -> None:
    """Given a worker of one child that waits for leave to send more. Expect it to serve others a few seconds later."""
    configure(setup, response_spool=MIB)
    with setup.worker(concurrency=1):
        with interface(setup) as it, Wire(it.port, receive_buffer=50_000) as client:
            wait_until(lambda: status(it.port) == 200, timeout=20, what="a page")
            client.request("GET", f"/download/{90 * MIB}")
            assert client.begin().read(1000)
            time.sleep(1)
            it.process.kill()
        killed = time.monotonic()
        with interface(setup) as other:
            wait_until(lambda: status(other.port) == 200, timeout=20, what="a page")
            assert time.monotonic() - killed < 15


@redis_only
def test_redis_stopped_in_a_stream_ends_the_connection_and_not_the_interface(
    setup: WorkerSetup, new_redis: Any
) -> None:
    server: RedisServer = new_redis()
    setup.layer = server.url
    configure(setup, http_timeout=2, publish_timeout=1)
    with site(setup) as (it, _), Wire(it.port) as client:
        client.request("GET", "/stream/100000/10")
        response = client.begin()
        assert response.read(100_000)
        server.stop()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()
        assert status(it.port) == 503
        server.start()
        wait_until(lambda: status(it.port) == 200, timeout=30, what="pages to be answered again")
        assert it.process.returncode is None


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_many_large_bodies_take_little_memory(broker: str) -> None:
    """Given 5 uploads and 5 downloads of 10 MB by slow clients. Expect little of each process, and pages meanwhile."""
    report = measure(broker, Load(clients=5, size=10_000_000, rate=4_000_000))
    assert report.faults == []
    assert report.seconds
    for process, most in {"interface": 16, "worker child 1": 16, "worker child 2": 16, "Redis": 32}.items():
        assert report.growth(process) < most, process
