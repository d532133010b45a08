"""What people see: real pages in a real browser, on the demo and through Redis and RabbitMQ."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.sites import Site
from tests.servers import redis_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

pytestmark = pytest.mark.browser

#: Milliseconds for what a person waits for.
SOON = 10_000


@pytest.fixture(scope="module", params=["demo", "redis", "amqp"])
def site(request: pytest.FixtureRequest, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The example site in one process, and as interface and worker over either broker; once for all tests here."""
    site = Site(tmp_path_factory.mktemp("site"))
    shutil.copy(migrated, site.database)
    with ExitStack() as stack:
        if request.param == "demo":
            stack.enter_context(site.demo())
        else:
            server = stack.enter_context(redis_server())
            rabbit = request.getfixturevalue("rabbit_shared") if request.param == "amqp" else None
            site.broker, site.layer = rabbit.new_vhost() if rabbit else server.database(1), server.url
            stack.enter_context(site.production())
        yield site


@contextmanager
def person(browser: "Browser", site: Site) -> Iterator["Page"]:
    """Open a page of somebody's own browser; whatever it complains about fails the test."""
    complaints: list[str] = []

    def listen(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.type}: {message.text}")

    with browser.new_context(base_url=site.url) as context:
        page = context.new_page()
        page.set_default_timeout(SOON)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(f"raised: {error}"))
        yield page
    assert complaints == []


def enter(page: "Page", name: str, room: str) -> None:
    """Choose a name and a room, and wait for the connection."""
    from playwright.sync_api import expect

    page.goto("/chat/")
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Room", exact=True).fill(room)
    page.get_by_role("button", name="Enter the room").click()
    expect(page.locator("#connection")).to_have_text("Connected", timeout=SOON)


def say(page: "Page", text: str) -> None:
    """Write into the room."""
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def expect_talk(page: "Page", *said: tuple[str, str]) -> None:
    """Wait until exactly these messages are shown: pairs of name and text."""
    from playwright.sync_api import expect

    names, texts = page.locator("#messages .name"), page.locator("#messages .bubble")
    expect(texts).to_have_text([text for _, text in said], timeout=SOON)
    expect(names).to_have_text([name for name, _ in said])


def test_given_two_browsers_in_a_room_expect_them_to_chat(browser: "Browser", site: Site) -> None:
    """Expect names, texts and who is there to be seen by those in the room, and by nobody else."""
    from playwright.sync_api import expect

    with person(browser, site) as ann, person(browser, site) as cyd:
        enter(ann, "Ann", "lobby")
        enter(cyd, "Cyd", "elsewhere")
        with person(browser, site) as bob:
            enter(bob, "Bob", "lobby")
            for page in (ann, bob):
                expect(page.locator("#people .person")).to_have_text(["Ann", "Bob"], timeout=SOON)
                expect(page.locator("#count")).to_have_text("2 people")
            say(ann, "Is <b>anybody</b> there?")
            expect_talk(bob, ("Ann", "Is <b>anybody</b> there?"))
            say(bob, "Grüß dich 👋")
            for page in (ann, bob):
                expect_talk(page, ("Ann", "Is <b>anybody</b> there?"), ("Bob", "Grüß dich 👋"))
            # said after all that was delivered, so that what else Cyd is to get has come before it
            say(cyd, "Echo?")
            expect_talk(cyd, ("Cyd", "Echo?"))
            expect(cyd.locator("#people .person")).to_have_text(["Cyd"])
        expect(ann.locator("#people .person")).to_have_text(["Ann"], timeout=SOON)


def test_given_a_post_saved_in_the_admin_expect_it_on_an_open_page(browser: "Browser", site: Site) -> None:
    """Expect it at once, with its later changes, and gone when it is unpublished."""
    from playwright.sync_api import expect

    site.run(site.manage("demo_admin"))
    with person(browser, site) as reader, person(browser, site) as writer:
        reader.goto("/liveblog/")
        expect(reader.locator("#connection")).to_have_text("Connected", timeout=SOON)
        expect(reader.locator("#empty")).to_be_visible()
        writer.goto("/admin/liveblog/post/add/")
        writer.get_by_label("Username").fill("admin")
        writer.get_by_label("Password").fill("admin")
        writer.get_by_role("button", name="Log in").click()
        writer.get_by_label("Title").fill("It works")
        writer.get_by_label("Body").fill("Through the queue\nand back.")
        writer.get_by_role("button", name="Save and continue editing").click()
        expect(reader.locator("#posts h2")).to_have_text(["It works"], timeout=SOON)
        expect(reader.locator("#posts .body")).to_have_text("Through the queue\nand back.")
        expect(reader.locator("#empty")).to_be_hidden()
        writer.get_by_label("Title").fill("It still works")
        writer.get_by_role("button", name="Save and continue editing").click()
        expect(reader.locator("#posts h2")).to_have_text(["It still works"], timeout=SOON)
        writer.get_by_label("Published").uncheck()
        writer.get_by_role("button", name="Save", exact=True).click()
        expect(reader.locator("#posts h2")).to_have_count(0, timeout=SOON)


def test_given_text_and_bytes_expect_the_echo_page_to_show_both(browser: "Browser", site: Site) -> None:
    """Expect them back as they were sent, with a time; and the front page to measure one by itself."""
    from playwright.sync_api import expect

    with person(browser, site) as page:
        page.goto("/")
        expect(page.locator("#round-trip")).to_contain_text("ms", timeout=SOON)
        page.get_by_role("link", name="Echo", exact=True).click()
        expect(page.locator("#connection")).to_have_text("Connected", timeout=SOON)
        page.get_by_label("What to send").fill("Hällo, worker")
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#echoes .what")).to_have_text(["Hällo, worker"], timeout=SOON)
        expect(page.locator("#echoes .kind")).to_have_text(["text"])
        page.get_by_label("as bytes").check()
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#echoes .kind")).to_have_text(["bytes", "text"], timeout=SOON)
        expect(page.locator("#echoes .what")).to_have_text(["Hällo, worker"] * 2)
        expect(page.locator("#last")).to_contain_text("ms")
        expect(page.locator("#count")).to_have_text("2")


def test_given_a_site_that_comes_back_expect_pages_to_come_back_by_themselves(
    browser: "Browser", memory_site: Site
) -> None:
    """Expect the page to say that it is offline, to keep what was written, and to chat again without a reload."""
    from playwright.sync_api import expect

    with browser.new_context(base_url=memory_site.url) as context:
        page = context.new_page()
        with memory_site.demo():
            enter(page, "Ann", "lobby")
        expect(page.locator("#connection")).to_have_text("Offline, trying again…", timeout=SOON)
        say(page, "Is anybody there?")
        expect(page.get_by_role("alert")).to_contain_text("You are offline")
        expect(page.get_by_label("Message", exact=True)).to_have_value("Is anybody there?")
        with memory_site.demo():
            expect(page.locator("#connection")).to_have_text("Connected", timeout=2 * SOON)
            expect(page.locator("#people .person")).to_have_text(["Ann"], timeout=2 * SOON)
            page.keyboard.press("Enter")
            expect_talk(page, ("Ann", "Is anybody there?"))
