"""Data binding through a real interface, a real worker and a database (Channels 1.x, items 196 to 201)."""

import json
from typing import Any

from websockets.sync.client import ClientConnection

from tests.integration.test_channels_1x import Running, heard, project, standing

__all__ = ["project", "standing"]  # fixtures

CHANGE = """
import django
django.setup()
import tests.project_1x.bindings
from django.contrib.auth.models import User
user = User.objects.create_user("cyd", first_name="Cyd")
print(user.pk)
user.first_name = "Sid"
user.save()
user.is_active = False
user.save()
user.delete()
"""


def ask(client: ClientConnection, action: str, pk: object = None, **data: object) -> None:
    """Send what a page sends to change a row."""
    client.send(json.dumps({"stream": "users", "payload": {"action": action, "pk": pk, "data": data}}))


def told(client: ClientConnection) -> tuple[Any, ...]:
    """Return what a page is told next of a row."""
    frame = heard(client)
    assert frame["stream"] == "users"
    assert frame["payload"]["model"] == "auth.user"
    return frame["payload"]["action"], frame["payload"]["pk"], frame["payload"]["data"]["first_name"]


def test_given_a_row_changed_in_another_process_expect_open_pages_told(project: Running) -> None:
    """Items 196 to 198: also of one that leaves what the group sees."""
    with project.open("/binding/") as ann, project.open("/binding/") as bob:
        key = int(project.python("-c", CHANGE)[0])
        for client in (ann, bob):
            assert [told(client) for _ in range(2)] == [("create", key, "Cyd"), ("update", key, "Sid")]
            # what is told next comes after all that was
        project.python("-c", CHANGE.replace("cyd", "dan"))
        for client in (ann, bob):
            assert told(client)[0] == "create"


def test_given_staff_and_others_expect_only_staff_to_change_rows(project: Running) -> None:
    """Item 201, and defect 7 for a row that is not there."""
    boss, bob = project.log_in("boss", "bob")
    project.database("UPDATE auth_user SET is_staff = 1 WHERE username = 'boss'")
    (bobs_key,) = project.database("SELECT id FROM auth_user WHERE username = 'bob'")[0]
    with project.open("/binding/", boss) as staff, project.open("/binding/", bob) as other:
        ask(other, "update", bobs_key, first_name="Boss")
        ask(other, "delete", bobs_key)
        ask(staff, "update", 4711, first_name="Nobody")
        project.processes[1].wait_for_output("update of a auth.user that is not there")
        ask(staff, "create", username="cyd", first_name="Cyd", is_superuser=True)
        created = told(staff)
        key = created[1]
        assert created == told(other) == ("create", key, "Cyd")
        assert project.database("SELECT username, is_superuser FROM auth_user WHERE username = 'cyd'") == [("cyd", 0)]
        ask(staff, "update", key, first_name="Sid", username="cyd")
        assert told(staff) == told(other) == ("update", key, "Sid")
        ask(staff, "delete", key)
        assert told(staff) == told(other) == ("delete", key, "Sid")
    assert project.database("SELECT username, first_name FROM auth_user ORDER BY id") == [("boss", ""), ("bob", "")]
