"""The example site's orders in a real browser: a payment that fails is retried, dies, and is replayed."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.sites import Site
from tests.acceptance.test_browser import person
from tests.scale import scaled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

#: Milliseconds for two backoffs of up to 2 and 4 s, and what a busy machine adds.
LATER = 40_000


def order(page: "Page", item: str, card: str) -> None:
    page.get_by_label("What would you like?").fill(item)
    page.get_by_label(card).check()
    page.get_by_role("button", name="Order", exact=True).click()


def watch(page: "Page") -> None:
    from playwright.sync_api import expect

    page.goto("/orders/")
    order(page, "tea", "Works at once")
    order(page, "milk", "Fails twice, then works")
    order(page, "cake", "Fails every time")
    tea, milk, cake = (page.locator("li", has_text=item) for item in ("tea", "milk", "cake"))
    expect(tea).to_contain_text("paid at", timeout=LATER)
    expect(cake).to_contain_text("dead after 3 attempts: RuntimeError: the bank says no", timeout=LATER)
    expect(milk).to_contain_text("paid at", timeout=LATER)
    cake.get_by_role("button", name="Replay with another card").click()
    expect(cake).to_contain_text("paid at", timeout=LATER)


@pytest.mark.chaos
@pytest.mark.parametrize("run", scaled(["demo"], ["demo", "redis", "amqp"]))
def test_given_orders_whose_payment_fails_expect_them_retried_dead_and_replayed(
    request: pytest.FixtureRequest, browser: "Browser", migrated: Path, tmp_path: Path, run: str
) -> None:
    site = Site(tmp_path)
    shutil.copy(migrated, site.database)
    if run == "demo":
        running = site.demo()
    else:
        server = request.getfixturevalue("redis_server_shared")
        site.layer = server.database(14)
        site.broker = server.database(13) if run == "redis" else request.getfixturevalue("rabbit_url")
        running = site.production()
    with running, person(browser, site) as page:
        watch(page)
