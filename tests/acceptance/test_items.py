"""Every behaviour of Channels 1.x has a test that names it, or a reason: the list, the tests and the table agree."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.acceptance.pages import ROOT
from tests.items import (
    ON_THE_WIRE,
    TABLE,
    excepted,
    listed,
    named,
    numbers,
    plays_the_worker,
    table,
)


@pytest.fixture(scope="module")
def brokers() -> Mapping[tuple[str, str], set[str]]:
    """The brokers that each test with real processes is run on: (module, test) -> parameters."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    directories = ["tests/integration", "tests/acceptance"]
    done = subprocess.run([*command, *directories], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    found: dict[tuple[str, str], set[str]] = {}
    for line in done.stdout.splitlines():
        if "::" in line:
            name, _, parameters = line.partition("[")
            module, *names = name.split("::")
            found.setdefault((module, ".".join(names)), set()).update(parameters.rstrip("]").split("-"))
    return found


def test_the_list_is_whole() -> None:
    assert [key for key in listed() if key.isdigit()] == [str(number) for number in range(1, 231)]
    assert [key for key in listed() if not key.isdigit()] == [f"Y{number}" for number in range(1, 23)]


def test_the_table_is_up_to_date() -> None:
    assert table() == TABLE.read_text(), "run: make items"


def test_every_item_has_a_test_or_a_reason() -> None:
    tested = {key for found in named() for key in found.items}
    assert tested <= set(listed())
    assert set(listed()) - tested - set(excepted()) == set()
    assert all(len(reason) > 20 for reason in excepted().values())


def test_what_clients_see_is_shown_by_real_processes_on_both_brokers(
    brokers: Mapping[tuple[str, str], set[str]],
) -> None:
    shown: set[str] = set()
    for found in named():
        on_both = {"redis", "amqp"} <= brokers.get((found.module, found.test), set())
        if on_both and not plays_the_worker(found.module):
            shown |= found.items
    missing = ON_THE_WIRE - shown - set(excepted())
    assert sorted(missing, key=int) == []


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Item 119.", {"119"}),
        ("as items 24 and 28, say", {"24", "28"}),
        ("(items 118 to 120, and 1)", {"118", "119", "120", "1"}),
        ("Items 69, 131 and defect 15:", {"69", "131", "Y15"}),
        ("defects 3 and 5", {"Y3", "Y5"}),
        ("# item\n    # 12", {"12"}),
        ("items of 5", set()),
    ],
)
def test_what_names_an_item(text: str, keys: set[str]) -> None:
    assert numbers(text) == keys
