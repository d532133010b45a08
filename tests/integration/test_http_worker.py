"""Pages served by workers: real interface, real worker, both brokers (Channels 1.x, items 90 to 113)."""

import hashlib
import http.client
import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest

from tests.integration.wire import Wire
from tests.integration.workers import ROOT, WorkerSetup
from tests.processes import LOOPBACK, Process, free_port, is_listening, wait_until
from tests.servers import redis_server

USER = "from django.contrib.auth.models import User; User.objects.create_superuser('ann', password='pass')"
BODY = secrets.token_bytes(3_000_000)
HASH = hashlib.sha256(BODY).hexdigest()


@dataclass
class Answer:
    """A response as a client sees it."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Site:
    """Interface and worker of the site."""

    setup: WorkerSetup
    port: int
    interface: Process
    worker: Process

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """Make a request on a connection of its own."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)) as connection:
            connection.request(method, path, body, named)
            with connection.getresponse() as response:
                return Answer(response.status, response.headers, response.read())

    def wait_for(self, line: str, count: int = 1) -> None:
        """Wait until consumers or views have written a line down."""
        wait_until(lambda: self.setup.lines().count(line) >= count, what=f"{line!r} in {self.setup.lines()}")

    def let_go_on(self, name: str) -> None:
        """Let views go on that wait for a name."""
        self.setup.notes.with_name(f"notes.{name}").touch()


@contextmanager
def running(setup: WorkerSetup, concurrency: int = 3) -> Iterator[Site]:
    """Run the site."""
    setup.environment["DJANGO_SETTINGS_MODULE"] = "tests.project_http.settings"
    django = [sys.executable, "-m", "django"]
    for command in ([*django, "migrate", "--verbosity", "0"], [*django, "shell", "-v", "0", "-c", USER]):
        with Process(command, env=setup.env(), cwd=ROOT, name="django") as process:
            assert process.wait(60) == 0, process.output()
    port = free_port()
    command = [*django, "runinterface", "--port", str(port)]
    with (
        Process(command, env=setup.env(), cwd=ROOT, name="interface") as interface,
        setup.worker("prefork", concurrency) as worker,
    ):
        wait_until(lambda: is_listening(port), what="the interface to listen", timeout=40)
        yield Site(setup, port, interface, worker)


@pytest.fixture(scope="module", params=["redis", "amqp"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Interface and worker on either broker, once for all tests."""
    rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
    with redis_server() as server, ExitStack() as stack:
        broker = rabbit.new_vhost() if rabbit else server.database(1)
        yield stack.enter_context(running(WorkerSetup(broker, server.url, tmp_path_factory.mktemp("http"))))


# views


def test_a_page(site: Site) -> None:
    """Items 90, 92, 105 and 106."""
    answer = site.ask("/hello/")
    assert (answer.status, answer.text) == (200, "hello")
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("text/plain", "5")
    assert answer.headers["x-frame-options"] == "DENY"  # by middleware


def test_what_a_view_sees(site: Site) -> None:
    """Items 99 to 101."""
    with Wire(site.port) as client:
        client.request("GET", "/seen/?a=%C3%A4", "Cookie: x=1", "Cookie: y=2")
        seen = json.loads(client.response()[2])
    assert seen == {"path": "/seen/", "get": {"a": "\xe4"}, "cookies": {"x": "1", "y": "2"}, "host": "127.0.0.1"}


def test_head_and_the_request_after_it(site: Site) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, site.port, timeout=30)
    for path, length in (("/hello/", "5"), ("/endless/", None), ("/large/", "1000012")):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert (response.status, response.headers["content-length"], response.read()) == (200, length, b"")
        connection.request("GET", "/hello/")
        assert connection.getresponse().read() == b"hello"
    connection.close()
    site.wait_for("endless closed")


def test_sessions(site: Site) -> None:
    first = site.ask("/count/")
    cookie = first.headers["set-cookie"].partition(";")[0]
    assert [first.text, site.ask("/count/", Cookie=cookie).text, site.ask("/count/").text] == ["1", "2", "1"]


def test_log_in_to_the_admin(site: Site) -> None:
    """CSRF, sessions, users, templates and redirects; refused without the token."""
    page = site.ask("/admin/login/?next=/admin/")
    assert page.status == 200
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[0]
    cookie = page.headers["set-cookie"].partition(";")[0]
    form = {"username": "ann", "password": "pass", "csrfmiddlewaretoken": token, "next": "/admin/"}
    typed = {"Content_Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    assert (
        site.ask("/admin/login/", "POST", urlencode({**form, "csrfmiddlewaretoken": ""}).encode(), **typed).status
        == 403
    )
    entered = site.ask("/admin/login/", "POST", urlencode(form).encode(), **typed)
    assert (entered.status, entered.headers["location"]) == (302, "/admin/")
    cookies = "; ".join(each.partition(";")[0] for each in entered.headers.get_all("set-cookie") or [])
    assert "sessionid=" in cookies
    admin = site.ask("/admin/auth/user/", Cookie=cookies)
    assert admin.status == 200
    assert "ann" in admin.text
    assert site.ask("/admin/auth/user/").status == 302


def test_errors(site: Site) -> None:
    """Item 109."""
    assert site.ask("/none/").status == 404
    assert site.ask("/fails/").status == 500
    assert site.ask("/hello").headers["location"] == "/hello/"


def test_async_views(site: Site) -> None:
    """Item 113."""
    assert site.ask("/awaits/").text == "1 users"


# bodies


@pytest.mark.parametrize("path", ["/digest/", "/by-hand/"])
@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 2_400_000])
def test_bodies_arrive_whole(site: Site, path: str, size: int) -> None:
    """Items 49, 90, 91 and 96: within the message, or in pieces that a view or a consumer asks for."""
    answer = site.ask(path, "POST", BODY[:size])
    assert answer.text == hashlib.sha256(BODY[:size]).hexdigest()
    assert answer.headers["x-by"] == ("hand" if path == "/by-hand/" else None)


def test_uploads(site: Site) -> None:
    """Item 101."""
    # so long that it is not in the random file, too
    edge = "B" * 32
    part = f"--{edge}\r\n".encode() + b'Content-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = (
        part % (b"title", b"", "fl\xf6te".encode())
        + part % (b"score", b'; filename="s.bin"', BODY)
        + f"--{edge}--\r\n".encode()
    )
    answer = json.loads(site.ask("/upload/", "POST", body, Content_Type=f"multipart/form-data; boundary={edge}").body)
    assert answer == {"data": {"title": "fl\xf6te"}, "files": {"score": [len(BODY), HASH]}}


def test_a_body_that_a_view_refuses(site: Site) -> None:
    """Given more than Django takes: expect its answer, and the site to go on."""
    assert site.ask("/digest/", "POST", BODY).status == 400
    assert site.ask("/hello/").text == "hello"


# responses


def test_a_megabyte_of_json(site: Site) -> None:
    """Item 106."""
    answer = site.ask("/large/")
    assert len(json.loads(answer.body)["text"]) == 1_000_000
    assert answer.headers["content-length"] == "1000012"


def test_a_file(site: Site) -> None:
    """Items 106 and 107."""
    answer = site.ask("/download/")
    assert answer.body == b"0123456789" * 1_000_000
    assert answer.headers["content-disposition"] == 'attachment; filename="ten.bin"'


@pytest.mark.parametrize("path", ["/numbers/", "/numbers_async/"])
def test_streams(site: Site, path: str) -> None:
    """Items 107 and 113. Given a stream that waits after its first part: expect that when it is made."""
    name = path.strip("/")
    connection = http.client.HTTPConnection(LOOPBACK, site.port, timeout=30)
    connection.request("GET", f"{path}?parts=4&until={name}")
    response = connection.getresponse()
    assert response.read(10) == b"000000000,"
    site.let_go_on(name)
    assert response.read() == b"000000001,000000002,000000003,"
    connection.close()
    answer = site.ask(f"{path}?parts=300")
    assert answer.text == "".join(f"{number:09}," for number in range(300))


@pytest.mark.parametrize(
    "path", ["/numbers/?parts=100000&pause=0.01", "/numbers_async/?parts=100000&pause=0.01", "/endless/"]
)
def test_a_client_that_leaves_ends_its_stream(site: Site, path: str) -> None:
    """Item 94, defect 17. Given one that read a little: expect the view to be told soon."""
    line = "endless closed" if "endless" in path else "stream closed"
    before = site.setup.lines().count(line)
    with Wire(site.port) as client:
        client.request("GET", path)
        client.begin().read(100)
        client.reset()
    site.wait_for(line, before + 1)


def test_a_stream_that_breaks_is_no_complete_response(site: Site) -> None:
    begun = time.monotonic()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        site.ask("/breaks/")
    assert time.monotonic() - begun < 10


def test_streams_that_nobody_reads_hold_up_nothing_else(site: Site) -> None:
    """Item 107, defect 17. Given more of them than processes: expect pages as ever."""
    before = site.setup.lines().count("endless closed")
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(Wire(site.port))
            client.request("GET", "/endless/")
            client.begin().read(100)
        for _ in range(5):
            assert site.ask("/hello/").text == "hello"
        assert site.setup.lines().count("endless closed") == before
    site.wait_for("endless closed", before + 10)


def test_if_a_worker_is_stopped_expect_its_streams_to_their_end(site: Site) -> None:
    """Items 87 and 107. Given one of two workers, and streams that either may have."""
    with ExitStack() as stack:
        responses = []
        with site.setup.worker("prefork", 1, ["-n", "second@%h"]) as worker:
            for _ in range(8):
                connection = http.client.HTTPConnection(LOOPBACK, site.port, timeout=30)
                stack.enter_context(closing(connection))
                connection.request("GET", "/numbers/?parts=20&pause=0.1")
                responses.append(connection.getresponse())
                assert responses[-1].read(10) == b"000000000,"
            worker.terminate()
            assert worker.wait(30) == 0
        expected = b"".join(b"%09d," % number for number in range(1, 20))
        assert [response.read() for response in responses] == [expected] * 8


# answers that come later


def test_a_view_that_leaves_the_answer_to_a_consumer(site: Site) -> None:
    """Item 108."""
    assert site.ask("/later/").text == "later"


def test_many_wait_for_one_event(site: Site) -> None:
    """Item 97. Given more requests than processes: expect that none of these is held, and all get the answer."""
    answers: list[str] = []
    before = site.setup.lines().count("waits")
    threads = [threading.Thread(target=lambda: answers.append(site.ask("/wait/").text)) for _ in range(10)]
    for thread in threads:
        thread.start()
    site.wait_for("waits", before + 10)
    assert site.ask("/hello/").text == "hello"
    assert answers == []
    site.setup.send("tell", [{"text": "it happened"}])
    for thread in threads:
        thread.join(20)
    assert answers == ["it happened"] * 10


def test_a_consumer_that_returns_has_not_answered(site: Site) -> None:
    """Item 97: there is no implicit answer as for sockets."""
    with Wire(site.port) as client:
        client.request("GET", "/silent/")
        site.wait_for("silent ran")
        client.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.begin()


# among others


def test_a_slow_view_does_not_hold_up_answers_that_are_there(site: Site) -> None:
    """Given many fast views while slow ones run: expect every fast one before a slow one ends."""
    answers: list[str] = []

    def ask(path: str) -> None:
        answers.append(site.ask(path).text)

    slow = [threading.Thread(target=ask, args=("/held/?until=answers",)) for _ in range(2)]
    fast = [threading.Thread(target=ask, args=("/hello/",)) for _ in range(30)]
    # one after the other: two that come together may be one job, whose second waits for its first
    for number, thread in enumerate(slow, 1):
        thread.start()
        site.wait_for("held", number)
    for thread in fast:
        thread.start()
    for thread in fast:
        thread.join(30)
    assert answers == ["hello"] * 30
    site.let_go_on("answers")
    for thread in slow:
        thread.join(30)
    assert answers[30:] == ["held"] * 2


def test_static_files_with_debug(broker_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Item 112."""
    setup = WorkerSetup(broker_url, redis_url, tmp_path_factory.mktemp("static"), environment={"TEST_DEBUG": "1"})
    with running(setup, 1) as site:
        found = site.ask("/static/channels/js/websocketbridge.js")
        assert (found.status, "WebSocketBridge" in found.text) == (200, True)
        assert site.ask("/static/none.js").status == 404
        assert site.ask("/hello/").text == "hello"
