"""The address where a process is asked: what it answers, to whom, and what it refuses to start for."""

import importlib.util
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from channelcelery.observe import endpoint as module
from channelcelery.observe.endpoint import Address, Endpoint, address_of
from channelcelery.observe.metrics import METRICS, Value


class FakeProbe:
    dead = away = ""
    given: Mapping[str, Value] = {}
    read = 0

    def live(self) -> str:
        return self.dead

    def ready(self) -> str:
        return self.away

    def values(self) -> Mapping[str, Value]:
        self.read += 1
        return self.given


@pytest.fixture
def probe() -> FakeProbe:
    return FakeProbe()


@pytest.fixture
def endpoint(probe: FakeProbe) -> Iterator[Endpoint]:
    with closing(Endpoint(Address("127.0.0.1", 0), probe)) as made:
        yield made


def get(endpoint: Endpoint, path: str, method: str = "GET") -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", endpoint.address.port, timeout=5)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_given_a_well_process_expect_200_and_given_another_503_with_the_reason(
    endpoint: Endpoint, probe: FakeProbe, capfd: pytest.CaptureFixture[str]
) -> None:
    assert get(endpoint, "/live") == get(endpoint, "/ready") == (200, "ok\n")
    probe.dead, probe.away = "it hangs", "it is away"
    assert get(endpoint, "/live") == (503, "it hangs\n")
    assert get(endpoint, "/ready") == (503, "it is away\n")
    # asked every few seconds, it says nothing of it
    assert capfd.readouterr() == ("", "")


def test_expect_plain_text_that_no_browser_takes_for_a_page(endpoint: Endpoint) -> None:
    for path in ("/live", "/metrics", "/nowhere"):
        with closing(HTTPConnection("127.0.0.1", endpoint.address.port, timeout=5)) as connection:
            connection.request("GET", path)
            assert str(connection.getresponse().getheader("Content-Type")).startswith("text/plain;")


def test_given_an_address_of_ipv6_expect_it_listened_at(probe: FakeProbe) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with closing(Endpoint(address_of("[::1]:0"), probe)) as endpoint:
        assert str(endpoint.address) == f"http://[::1]:{endpoint.address.port}"
        with closing(HTTPConnection("::1", endpoint.address.port, timeout=5)) as connection:
            connection.request("GET", "/live")
            assert connection.getresponse().status == 200


def test_given_other_paths_and_methods_expect_them_refused(endpoint: Endpoint) -> None:
    assert [get(endpoint, path)[0] for path in ("/", "/metrics/x", "/live/")] == [404] * 3
    asked = [get(endpoint, path, method)[0] for path in ("/live", "/metrics") for method in ("POST", "DELETE")]
    assert asked == [405] * 4


def test_given_values_expect_prometheus_text(endpoint: Endpoint, probe: FakeProbe) -> None:
    assert probe.read == 0, "nothing is read before somebody asks"
    probe.given = {
        "ready": 1.0,
        "dropped": {'a"\n': 2},
        "consumer_seconds": {"shop.say": (3, 0.5)},
        "queue_depth": {("default", "work"): 4},
    }
    status, text = get(endpoint, "/metrics")
    assert status == 200
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        "channelcelery_ready 1.0",
        r'channelcelery_dropped_total{reason="a\"\n"} 2.0',
        'channelcelery_consumer_seconds_count{consumer="shop.say"} 3.0',
        'channelcelery_consumer_seconds_sum{consumer="shop.say"} 0.5',
        'channelcelery_queue_depth{channel="work",layer="default"} 4.0',
    ]
    assert f"# HELP channelcelery_ready {METRICS['ready'].text}" in text


def test_given_clients_that_say_nothing_expect_few_of_them_held_and_soon_none(
    probe: FakeProbe, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert 0 < module._Handler.timeout <= 10
    monkeypatch.setattr(module._Handler, "timeout", 0.3)
    with closing(Endpoint(Address("127.0.0.1", 0), probe)) as endpoint:
        clients = [socket.create_connection(("127.0.0.1", endpoint.address.port)) for _ in range(30)]
        for client in clients:
            client.settimeout(5)
            assert client.recv(1) == b""  # turned away, or given up
            client.close()
        assert get(endpoint, "/live")[0] == 200
    assert capfd.readouterr() == ("", ""), "clients must not fill a log"


def test_given_a_fork_expect_the_port_left_to_the_parent(endpoint: Endpoint) -> None:
    if (child := os.fork()) == 0:
        os._exit(0 if endpoint._server.socket.fileno() == -1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert get(endpoint, "/live")[0] == 200


def test_given_a_port_that_is_taken_expect_an_error_that_names_it(endpoint: Endpoint, probe: FakeProbe) -> None:
    with pytest.raises(OSError, match=f"metrics cannot be had at http://127.0.0.1:{endpoint.address.port}"):
        Endpoint(endpoint.address, probe)


def test_given_an_answer_that_takes_long_expect_closing_not_to_wait_for_it(
    probe: FakeProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()

    def ready() -> str:
        begun.set()
        released.wait(30)
        return ""

    monkeypatch.setattr(probe, "ready", ready)
    endpoint = Endpoint(Address("127.0.0.1", 0), probe)
    asking = threading.Thread(target=get, args=(endpoint, "/ready"))
    asking.start()
    assert begun.wait(10)
    end = threading.Thread(target=endpoint.close)
    end.start()
    end.join(10)
    waited = end.is_alive()
    released.set()
    asking.join(10)
    assert not waited


def test_given_one_that_is_closed_expect_its_thread_gone_and_its_port_free(probe: FakeProbe) -> None:
    first = Endpoint(Address("127.0.0.1", 0), probe)
    first.close()
    Endpoint(first.address, probe).close()
    assert "channelcelery-metrics" not in {thread.name for thread in threading.enumerate() if thread.is_alive()}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", Address("127.0.0.1", 9464)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
        ("[::1]:9464", Address("::1", 9464)),
    ],
)
def test_given_a_port_expect_this_machine_only_unless_it_says_otherwise(text: str, address: Address) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "x", "-1", "70000", "127.0.0.1:", "1.5", "٣"])
def test_given_no_port_expect_it_refused(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="write a port, or address:port"):
        address_of(text)


def test_given_no_client_library_expect_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name == "prometheus_client" else importlib.util.find_spec(name)

    monkeypatch.setattr(module, "find_spec", find)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'channelcelery\[metrics\]'"):
        address_of("9464")
