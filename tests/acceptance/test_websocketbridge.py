"""The browser client in a real Chromium, against a real interface and a real worker (items 228 to 230)."""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.staticfiles.finders import AppDirectoriesFinder
from websockets.sync.server import ServerConnection, serve

from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until
from tests.servers import redis_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

#: Milliseconds for what a person waits for.
SOON = 15_000
#: Keeps what comes in, and the time-outs that are set and those that are not over; all but handshakes' are shortened.
WATCH = """
globalThis.got = [];
globalThis.delays = [];
globalThis.pending = new Set();
const later = globalThis.setTimeout, clear = globalThis.clearTimeout;
globalThis.setTimeout = (call, delay) => {
  delays.push(delay);
  const timer = later(() => { pending.delete(timer); call(); }, delay === 4000 ? delay : delay / 100);
  pending.add(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => {
  pending.delete(timer);
  clear(timer);
};
"""
#: Options with which a test need not wait long.
QUICK = "{ minReconnectionDelay: 50, maxReconnectionDelay: 200 }"


class Site:
    """An interface, whose pages have the script.

    Args:
        setup: where the processes find each other.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self.port = free_port()

    def url(self, form: str) -> str:
        """Return the address of the page with a form of the script."""
        return f"http://{LOOPBACK}:{self.port}/page/{form}/"

    def interface(self) -> Process:
        """Start an interface and return it once it takes sockets."""
        command = [sys.executable, "-m", "django", "runinterface", "--port", str(self.port)]
        process = Process(command, env=self.setup.env(), cwd=ROOT, name="interface")
        process.wait_for_output("sockets are taken", timeout=40)
        wait_until(lambda: is_listening(self.port), what="the interface to listen")
        return process


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The project in the manner of Channels 1.x, for all tests here that leave it running."""
    with redis_server() as server:
        setup = WorkerSetup(server.database(1), server.url, tmp_path_factory.mktemp("bridge"), '{"http": "inline"}')
        setup.environment["DJANGO_SETTINGS_MODULE"] = "tests.project_1x.settings"
        setup.python("from django.core.management import execute_from_command_line as run; run(['', 'migrate', '-v0'])")
        site = Site(setup)
        with setup.worker(concurrency=1), site.interface():
            yield site


@pytest.fixture(params=["classic", "module"])
def page(request: pytest.FixtureRequest, browser: "Browser", site: Site) -> Iterator["Page"]:
    """A page of the site that has `Bridge`, once by either form of the script; what it raises fails the test."""
    raised: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(SOON)
        page.on("pageerror", lambda error: raised.append(str(error)))
        page.add_init_script(WATCH)
        page.goto(site.url(request.param))
        if request.param == "classic":
            assert page.evaluate("Object.keys(channels)") == ["WebSocketBridge"]
            page.evaluate("void (globalThis.Bridge = channels.WebSocketBridge)")
        page.wait_for_function("!!globalThis.Bridge")
        yield page
    assert raised == []


only_classic = pytest.mark.parametrize("page", ["classic"], indirect=True)


def until(page: "Page", condition: str) -> None:
    """Wait until JavaScript finds something to be true."""
    page.wait_for_function(condition)


def connect(page: "Page", url: str, options: str = QUICK, then: str = "") -> None:
    """Make `bridge`, keep the events of its socket as [type, code], and do more before any of them can come."""
    page.evaluate(f"""() => {{
        globalThis.events = [];
        globalThis.bridge = new Bridge();
        bridge.connect("{url}", undefined, {options});
        for (const type of ["open", "close", "error"])
            bridge.socket.addEventListener(type, (event) => events.push([type, event.code ?? null]));
        {then}
    }}""")


def codes(page: "Page", kind: str) -> list[Any]:
    """Return the codes of the socket's events of a type."""
    events: list[list[Any]] = page.evaluate("events")
    return [code for type_, code in events if type_ == kind]


class TestMessages:
    """Items 228 and 229."""

    def test_given_json_without_a_stream_expect_it_at_listen(self, page: "Page") -> None:
        connect(page, "/board/plain/")
        page.evaluate("bridge.listen((message, stream) => got.push([message, stream]))")
        until(page, "bridge.socket.readyState === bridge.socket.OPEN")
        page.evaluate("bridge.send({ add: 2 })")
        until(page, "got.length")
        assert page.evaluate("got") == [[{"user": "", "sum": 2, "http": False}, None]]

    def test_given_streams_expect_each_at_its_own_and_unknown_ones_at_none(self, page: "Page") -> None:
        listen = """
            bridge.listen((message) => got.push(["nobody's", message]));
            bridge.demultiplex("double", (payload, stream) => got.push([stream, payload]));
        """
        connect(page, "/streams/", then=listen)
        until(page, "got.length")
        # a stream without a callback, named like what every object has, then one with
        page.evaluate("bridge.stream('whisper').send({ text: 'psst' })")
        page.evaluate(r"""bridge.socket.onmessage({ data: '{"stream": "__defineGetter__", "payload": 1}' })""")
        page.evaluate("bridge.stream('double').send({ number: 21 })")
        until(page, "got.length > 1")
        assert page.evaluate("got") == [["double", {"status": "connected"}], ["double", {"doubled": 42}]]

    @only_classic
    def test_given_no_connection_or_none_yet_expect_a_send_to_throw(self, page: "Page") -> None:
        """Nothing is kept for later."""
        attempt = "try { bridge.send({}) } catch (error) { globalThis.thrown.push(error.name) }"
        page.evaluate("globalThis.thrown = []; globalThis.bridge = new Bridge();")
        page.evaluate(attempt)
        page.evaluate(f"bridge.connect('/streams/'); {attempt}")
        until(page, "bridge.socket.readyState === 1")
        page.evaluate(f"bridge.socket.close(); {attempt}")
        assert page.evaluate("thrown") == ["InvalidStateError"] * 3

    @only_classic
    def test_given_an_address_expect_it_completed(self, page: "Page", site: Site) -> None:
        """Item 228."""
        for given, url in {
            "undefined": f"ws://{LOOPBACK}:{site.port}/",
            "'/streams/?a=b'": f"ws://{LOOPBACK}:{site.port}/streams/?a=b",
            f"'ws://{LOOPBACK}:{site.port}/board/x/'": f"ws://{LOOPBACK}:{site.port}/board/x/",
            "'https://localhost:1/x'": "wss://localhost:1/x",
        }.items():
            script = (
                f"(() => {{ const b = new Bridge(); b.connect({given}); b.socket.close(); return b.socket.url }})()"
            )
            assert page.evaluate(script) == url

    @only_classic
    def test_given_a_page_over_tls_expect_wss_at_its_own_host(self, page: "Page") -> None:
        """Item 228."""
        script = (ROOT / "channelcelery/static/channels/js/websocketbridge.js").read_text()
        page.route("https://site.test:8443/**", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        page.goto("https://site.test:8443/a/b/?c=d#e")
        page.add_script_tag(content=script)
        urls = page.evaluate("""[undefined, "/ws/", "https://site.test/", "ws://localhost:1/x"].map((url) => {
            const bridge = new channels.WebSocketBridge();
            try { bridge.connect(url); } catch (error) { return error.name; }
            bridge.socket.close();
            return bridge.socket.url;
        })""")
        assert urls == ["wss://site.test:8443/", "wss://site.test:8443/ws/", "wss://site.test/", "ws://localhost:1/x"]

    @only_classic
    def test_given_what_a_websocket_has_expect_it(self, page: "Page") -> None:
        """Item 229: attributes, `on…` handlers, listeners once and removed, subprotocols left out."""
        connect(page, "/chat/a/")
        until(page, "bridge.socket.readyState === 1")
        page.evaluate("""() => {
            const socket = bridge.socket;
            const removed = () => got.push("removed");
            socket.addEventListener("message", removed);
            socket.removeEventListener("message", removed);
            socket.addEventListener("message", () => got.push("once"), { once: true });
            socket.onmessage = (event) => got.push(event.data);
            socket.send("one");
            socket.send("two");
        }""")
        until(page, "got.includes('two')")
        assert page.evaluate("got") == ["one", "once", "two"]
        described = "(({ protocol, extensions, bufferedAmount, binaryType }) => [protocol, bufferedAmount, binaryType])"
        assert page.evaluate(f"{described}(bridge.socket)") == ["", 0, "blob"]


class TestReconnecting:
    """Item 230."""

    def test_given_an_interface_that_is_killed_and_started_again_expect_the_same_handlers_to_go_on(
        self, page: "Page", site: Site
    ) -> None:
        own = Site(site.setup)
        with ExitStack() as stack:
            interface = stack.enter_context(own.interface())
            listen = """
                bridge.listen();
                bridge.demultiplex("double", (payload) => got.push(payload.doubled ?? payload.status));
            """
            connect(page, f"ws://{LOOPBACK}:{own.port}/streams/", then=listen)
            until(page, "got.length === 1")
            interface.kill()
            until(page, "events.some(([type]) => type === 'close')")
            stack.enter_context(own.interface())
            until(page, "got.length === 2")
            page.evaluate("bridge.stream('double').send({ number: 4 })")
            until(page, "got.length === 3")
        assert page.evaluate("got") == ["connected", "connected", 8]
        assert page.evaluate("events.filter(([type]) => type === 'open').length") == 2
        assert codes(page, "close")[0] == 1006
        page.evaluate("bridge.socket.close()")

    @only_classic
    def test_given_refused_handshakes_expect_the_delays_to_grow(self, page: "Page") -> None:
        """First 1.5 to 3 s at random, then x 1.3 up to 10 s; the interface answers 403."""
        connect(page, "/users/", "undefined")
        until(page, "delays.length >= 24")
        page.evaluate("bridge.socket.close()")
        delays = page.evaluate("delays")[:24]
        assert set(delays[::2]) == {4000}  # a handshake's own limit
        waits = delays[1::2]
        assert 1500 <= waits[0] <= 3000
        for before, after in pairwise(waits):
            assert after == pytest.approx(min(before * 1.3, 10_000))
        assert waits[-1] == 10_000
        assert codes(page, "open") == []

    @only_classic
    def test_given_a_server_that_accepts_and_closes_expect_the_delays_to_grow_too(self, page: "Page") -> None:
        with closing_server(4403) as (port, _):
            connect(page, f"ws://{LOOPBACK}:{port}/", "undefined")
            until(page, "delays.length >= 8")
            page.evaluate("bridge.socket.close()")
        waits = page.evaluate("delays")[1:8:2]
        assert waits == sorted(set(waits))
        assert codes(page, "close")[:3] == [4403] * 3

    @only_classic
    def test_given_a_connection_that_had_lasted_expect_a_first_delay_again(self, page: "Page") -> None:
        with closing_server(1012) as (port, _):
            connect(page, f"ws://{LOOPBACK}:{port}/", "{ minUptime: 0 }")
            until(page, "delays.length >= 14")
            page.evaluate("bridge.socket.close()")
        waits = page.evaluate("delays")[1:14:2]
        assert all(1500 <= wait <= 3000 for wait in waits)
        assert len(set(waits)) > 1

    @only_classic
    def test_given_a_server_that_does_not_answer_expect_another_try(self, page: "Page") -> None:
        with socket.create_server((LOOPBACK, 0)) as silent:
            silent.settimeout(SOON / 1000)
            port = silent.getsockname()[1]
            options = "{ connectionTimeout: 5000, minReconnectionDelay: 10, maxReconnectionDelay: 10 }"
            connect(page, f"ws://{LOOPBACK}:{port}/", options)
            held = [silent.accept()[0] for _ in range(3)]
            page.evaluate("bridge.socket.close()")
            for each in held:
                each.close()
        assert codes(page, "close")[:2] == [1006] * 2
        assert codes(page, "error").count("ETIMEDOUT") >= 2

    @only_classic
    def test_given_a_limit_of_tries_expect_an_error_and_no_more(self, page: "Page") -> None:
        connect(page, f"ws://{LOOPBACK}:{free_port()}/", "{ maxRetries: 2, minReconnectionDelay: 10 }")
        until(page, "events.some(([type, code]) => code === 'EHOSTDOWN')")
        assert len(codes(page, "close")) == 3
        assert page.evaluate("delays.length") == 5  # three handshakes, two waits

    @only_classic
    @pytest.mark.parametrize(("uptime", "given_up"), [(0, False), (5000, True)])
    def test_given_a_limit_of_tries_expect_them_counted_anew_after_a_connection_that_had_lasted(
        self, page: "Page", uptime: int, given_up: bool
    ) -> None:
        """And not after one that was accepted and closed at once."""
        with closing_server(1012) as (port, _):
            options = f"{{ minUptime: {uptime}, maxRetries: 2, minReconnectionDelay: 10 }}"
            connect(page, f"ws://{LOOPBACK}:{port}/", options)
            ended = "events.some(([type, code]) => code === 'EHOSTDOWN')"
            until(page, f"{ended} || events.filter(([type]) => type === 'close').length > 4")
            assert page.evaluate(ended) == given_up
            page.evaluate("bridge.socket.close()")

    def test_given_a_close_by_the_page_expect_no_other_connection(self, page: "Page") -> None:
        connect(page, "/streams/")
        until(page, "bridge.socket.readyState === 1")
        page.evaluate("bridge.socket.close(4000, 'done')")
        until(page, "events.some(([type]) => type === 'close')")
        assert codes(page, "close") == [4000]
        assert page.evaluate("[pending.size, bridge.socket.readyState]") == [0, 3]

    @only_classic
    def test_given_a_close_while_it_waits_expect_no_other_connection(self, page: "Page") -> None:
        """Nor after a close inside of a close event."""
        with closing_server(1012) as (port, connections):
            long = "{ minReconnectionDelay: 1e7, maxReconnectionDelay: 1e7 }"
            connect(page, f"ws://{LOOPBACK}:{port}/", long)
            until(page, "delays.length === 2")
            assert page.evaluate("pending.size") == 1
            page.evaluate("bridge.socket.close()")
            assert page.evaluate("pending.size") == 0
            close = "bridge.socket.addEventListener('close', () => bridge.socket.close())"
            connect(page, f"ws://{LOOPBACK}:{port}/", long, then=close)
            until(page, "events.some(([type]) => type === 'close')")
            assert page.evaluate("[pending.size, delays.length]") == [0, 3]
            assert len(connections) == 2

    @only_classic
    def test_given_keep_closed_false_expect_another_connection(self, page: "Page") -> None:
        """As `close` of 1.x did by default."""
        connect(page, "/streams/")
        until(page, "bridge.socket.readyState === 1")
        page.evaluate("bridge.socket.close(1000, '', { keepClosed: false })")
        until(page, "events.filter(([type]) => type === 'open').length === 2")

    @only_classic
    def test_given_a_function_as_the_address_expect_it_asked_before_each_try(self, page: "Page") -> None:
        """As the socket of 1.x took one, too."""
        page.evaluate(f"""() => {{
            let tries = 0;
            globalThis.bridge = new Bridge();
            bridge.listen((message) => got.push(message));
            bridge.connect(() => ++tries === 1 ? "/users/" : `/board/try${{tries}}/`, undefined, {QUICK});
        }}""")
        until(page, "bridge.socket.readyState === 1")
        assert page.evaluate("bridge.socket.url").endswith("/board/try2/")
        page.evaluate("bridge.send({ add: 3 })")
        until(page, "got.length")
        assert page.evaluate("got[0].sum") == 3

    @only_classic
    def test_given_another_connect_expect_the_former_closed_and_the_listener_kept(self, page: "Page") -> None:
        page.evaluate("globalThis.bridge = new Bridge(); bridge.listen((message) => got.push(message));")
        page.evaluate("bridge.connect('/chat/a/'); globalThis.first = bridge.socket;")
        until(page, "first.readyState === 1")
        page.evaluate("bridge.connect('/board/again/')")
        until(page, "first.readyState === 3 && bridge.socket.readyState === 1")
        page.evaluate("bridge.send({ add: 1 })")
        until(page, "got.length")
        assert page.evaluate("got[0].sum") == 1


@contextlib.contextmanager
def closing_server(code: int) -> Iterator[tuple[int, list[ServerConnection]]]:
    """Run a server that accepts and closes at once; gives its port and the connections it had."""
    connections: list[ServerConnection] = []

    def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.close(code)

    with serve(handle, LOOPBACK, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.socket.getsockname()[1], connections
        server.shutdown()
        thread.join(10)


def test_expect_both_forms_where_staticfiles_finds_them() -> None:
    """Item 228; the module holds no copy."""
    find: Callable[[str], Any] = AppDirectoriesFinder().find
    classic, module = (Path(find(f"channels/js/websocketbridge{form}.js")) for form in ("", ".module"))
    assert "class WebSocketBridge" in classic.read_text()
    assert "class" not in module.read_text().split("import", 1)[1]
