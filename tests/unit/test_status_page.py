"""The page of all processes in Django's admin: for staff alone, and nothing on it but text."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from channelcelery.observe.status import Interface, Queue, Status, Worker

FOUND = Status(
    (Interface("default", "<b>node</b>", True, 12, 3, 0, 0.25),),
    (Queue("default", "chat-messages", 7, 10_000),),
    (Worker("celery@here", "prefork", 8, 5, 100, 2, 1),),
    ("workers: <i>away</i>",),
)
PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]


@pytest.fixture
def client(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A browser of a site with an admin."""
    apps = [*settings.INSTALLED_APPS, "django.contrib.messages", "django.contrib.admin"]
    middleware = ["sessions.middleware.Session", "auth.middleware.Authentication", "messages.middleware.Message"]
    backend = "django.template.backends.django.DjangoTemplates"
    with override_settings(
        INSTALLED_APPS=apps,
        MIDDLEWARE=[f"django.contrib.{name}Middleware" for name in middleware],
        TEMPLATES=[{"BACKEND": backend, "APP_DIRS": True, "OPTIONS": {"context_processors": PROCESSORS}}],
        ROOT_URLCONF="tests.unit.admin_urls",
        STATIC_URL="/static/",
    ):
        from channelcelery.observe import page

        monkeypatch.setattr(page, "look", lambda: FOUND)
        yield Client()


def test_given_staff_expect_every_table_escaped(client: Client) -> None:
    client.force_login(User.objects.create_user("ann", is_staff=True))
    answer = client.get("/admin/channels/")
    text = answer.content.decode()
    assert answer.status_code == 200
    titles = ("1 interface processes, 12 connections", "1 channels, 7 messages of the broker wait", "1 workers")
    heads = ("node", "alive", "capacity", "slots", "dropped")
    for shown in (*(f"<h2>{title}</h2>" for title in titles), *(f'<th scope="col">{head}</th>' for head in heads)):
        assert shown in text
    for cell in ("&lt;b&gt;node&lt;/b&gt;", "chat-messages", "celery@here", "0.2 s", "workers: &lt;i&gt;away"):
        assert cell in text
    assert "<b>node" not in text
    assert client.post("/admin/channels/").status_code == 405


@pytest.mark.parametrize("user", [None, {}, {"is_staff": True, "is_active": False}])
def test_given_anybody_else_expect_the_login(client: Client, user: dict[str, bool] | None) -> None:
    if user is not None:
        client.force_login(User.objects.create_user("bob", **user))
    answer = client.get("/admin/channels/")
    assert answer.status_code == 302
    assert answer["location"].startswith("/admin/login/")
