"""The examples on reliable channels, what is promised of them and dead letters, run as a reader would."""

import json
from ast import literal_eval
from dataclasses import fields
from pathlib import Path

from channelcelery import Reliable
from channelcelery.core.reliable import Reason
from tests.acceptance.pages import Project
from tests.acceptance.sites import program
from tests.acceptance.test_docs import DOCS, code, table
from tests.acceptance.test_docs_examples import SETTINGS
from tests.processes import Process, wait_until

RELIABLE_SETTINGS = """
INSTALLED_APPS += ["channelcelery.reliable"]
DATABASES["default"]["NAME"] = {database!r}
CHANNEL_LAYERS = {{"default": {{
    "BACKEND": "channelcelery.layers.RedisChannelLayer", "CONFIG": {{"hosts": [{url!r}], "http": "off"}},
}}}}
CELERY_BROKER_URL = {url!r}
"""
SEND = """
import django
django.setup()
from channelcelery import Channel
for order, amount in enumerate([10, 0, 20]):
    Channel("orders.paid").send({"order": order, "amount": amount})
"""
POLICIES = """
import django, json
django.setup()
from channelcelery.routing import get_router
print(json.dumps({
    channel: [policy.outbox, policy.idempotent] for channel, policy in get_router("default").reliable.items()
}))
"""
#: What the reader writes into it when the bank is open again.
MENDED = "def charge(order, amount):\n    print(f'order {order} is paid', flush=True)\n"


def project_of(page: str, app: str, directory: Path, url: str) -> Project:
    project = Project(directory, settings=f"{app}.settings")
    project.write(DOCS / page)
    more = RELIABLE_SETTINGS.format(database=str(directory / "db.sqlite3"), url=url)
    (directory / app / "settings.py").write_text(SETTINGS.format(app=app, package=app) + more)
    return project


def worker(project: Project) -> Process:
    command = [program("celery"), "-A", "channelcelery", "worker", "--loglevel", "info", "--concurrency", "1"]
    return Process([*command, "--without-mingle"], cwd=project.directory, env=project.env(), name="worker")


def manage(project: Project, *arguments: str) -> str:
    return project.run("-m", "django", *arguments)


def test_given_the_levels_expect_each_channel_to_have_what_the_table_says(tmp_path: Path) -> None:
    project = project_of("delivery-guarantees.md", "ledger", tmp_path, "redis://127.0.0.1:1/0")
    assert json.loads(project.run("-c", POLICIES)) == {
        "mail.welcome": [False, False],
        "orders.paid": [True, False],
        "stock.taken": [True, True],
    }
    rows = [code(row[0]) for row in table(DOCS / "delivery-guarantees.md", "## Four levels")]
    assert rows == ["page.viewed", "mail.welcome", "orders.paid", "stock.taken"]


def test_given_the_shop_expect_its_consumer_to_be_taken(tmp_path: Path) -> None:
    project = project_of("reliable.md", "shop", tmp_path, "redis://127.0.0.1:1/0")
    assert json.loads(project.run("-c", POLICIES)) == {"orders.paid": [True, False]}


def test_given_messages_that_die_expect_them_listed_replayed_and_dropped(tmp_path: Path, redis_url: str) -> None:
    """As on the page: the bank is closed, then open again, and one order was never worth a thing."""
    project = project_of("dead-letters.md", "store", tmp_path, redis_url)
    manage(project, "migrate", "--verbosity", "0")
    project.run("-c", SEND)
    with worker(project):
        wait_until(lambda: len(manage(project, "deadletters", "list").splitlines()) == 3, timeout=60, what="deaths")
    listed = manage(project, "deadletters", "list").splitlines()
    assert sorted(" ".join(line.split()[3:]) for line in listed) == [
        *["orders.paid raised after 2: ConnectionError: the bank is closed"] * 2,
        "orders.paid rejected after 1: nothing to pay",
    ]
    assert 'charge(message["order"]' in manage(project, "deadletters", "show", "--reason", "raised")
    (tmp_path / "store" / "bank.py").write_text(MENDED)
    again = "import django; django.setup(); from store.again import again; again()"
    assert project.run("-c", again).splitlines() == ["orders.paid was sent again"] * 2
    with worker(project) as ran:
        for order in (0, 2):
            ran.wait_for_output(f"order {order} is paid", timeout=40)
    assert "1 dead letters were dropped" in manage(project, "deadletters", "drop", "--reason", "rejected")
    assert manage(project, "deadletters", "list") == ""


def test_the_arguments_of_a_policy_are_those_of_the_code() -> None:
    rows = table(DOCS / "reliable.md", "## Retries")
    assert Reliable(**{code(row[0]): literal_eval(code(row[1])) for row in rows}) == Reliable()
    assert {code(row[0]) for row in rows} == {field.name for field in fields(Reliable)}


def test_every_reason_is_explained() -> None:
    rows = [code(row[0]) for row in table(DOCS / "dead-letters.md", "## Why a message is dead")]
    assert rows == [str(reason) for reason in Reason]
