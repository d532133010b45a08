"""What `make growth` writes: the figures beside the plots, and the places for them in the pages."""

import json
import re
from typing import Any

import pytest

from benchmarks.growth import told
from benchmarks.growth.__main__ import PARTS
from benchmarks.growth.plots import plotted
from benchmarks.growth.system import cpu_by_role
from benchmarks.page import PAGE, README, replace_block
from benchmarks.processes import ROOT

MEASURED = {"date": "2026-01-01", "commit": "abc", "machine": "two cores", "load": 1.5}
BLOCK = "<!-- x: written by a script -->{}<!-- end of x -->"


def curves(**points: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: {"measured": MEASURED, "points": found} for name, found in points.items()}


def costs() -> dict[str, Any]:
    cpu = {"interface": 30.0, "worker": 60.0, "redis": 6.0, "broker": 12.0}
    sends = [{"interface": 40.0, "redis": redis} for redis in (100.0, 190.0)]
    members = [{"members": count, "cpu_us_per_send": {"interface": 10.0 * count}} for count in (10, 1000)]
    memory = {"sockets": 10_000, "interface_mib": 148.0, "kib_per_socket": 10.0, "cpu_us_per_connect": cpu}
    return curves(
        memory=[memory],
        members=[point | {"send_call_ms": 0.5} for point in members],
        nodes=[
            {"nodes": nodes, "cpu_us_per_send": send, "send_call_ms": 0.4}
            for nodes, send in zip((1, 10), sends, strict=True)
        ],
        echo=[{"broker": "rabbitmq", "sockets": 100, "cpu_us": cpu}],
    )


def test_each_curve_has_a_plot_that_the_page_shows() -> None:
    assert plotted() == set(PARTS)
    shown = set(re.findall(r"\]\(performance/(\w+)\.svg\)", PAGE.read_text()))
    assert shown == set(PARTS)
    assert set(json.loads((ROOT / "docs" / "performance" / "growth.json").read_text())) == set(PARTS)


def test_all_of_it_ends_within_a_quarter_of_an_hour() -> None:
    assert sum(seconds for _, seconds in PARTS.values()) <= 15 * 60


def test_the_ends_of_each_curve_are_told_and_when_they_were_measured() -> None:
    text = told.ends(costs())
    assert text.startswith("Measured 2026-01-01, commit abc, on two cores; load average at most 1.5.")
    assert "| 1 node: 0.40 " in text
    assert "| 10 nodes: 190.00 " in text
    assert re.search(r"rabbitmq +\| 100 sockets: 108.00 +\| 100 sockets: 108.00 ", text)


def test_a_million_sockets_need_what_their_costs_say() -> None:
    """Expect 16,667 messages and 278 connects of 60 us to take a core of workers, and more than two half busy ones."""
    lines = {line.split("|")[1].strip(): line.split("|")[2:4] for line in told.million(costs()).splitlines()[2:]}
    assert [part.strip() for part in lines["pool processes of workers"]] == ["3", "1.0 cores"]
    count, why = (part.strip() for part in lines["interface processes"])
    assert int(count) >= 50
    # 1,000,000 times 10 KiB, and 50 times 50 MiB without sockets
    assert why.endswith("12 GiB in all")
    assert told.million(curves()) == "Not all of its costs have been measured."


def test_cpu_of_several_processes_of_a_role_is_added() -> None:
    procs = {"worker": {"cpu_s": 1.0}, "worker1": {"cpu_s": 0.5}, "redis": {"cpu_s": 0.1}}
    assert cpu_by_role({"procs": procs}, 1000) == {"worker": 1500.0, "redis": 100.0}


def test_a_block_is_replaced_and_nothing_else() -> None:
    page = "before\n{}\nafter"
    new = r"new \1"
    written = replace_block(page.format(BLOCK.format(" old ")), "x", new)
    assert written == page.format(BLOCK.format(f"\n\n{new}\n\n"))
    with pytest.raises(ValueError, match="has 0 places"):
        replace_block(page, "y", "new")


@pytest.mark.parametrize(("page", "name"), [(PAGE, "goals"), (PAGE, "growth"), (PAGE, "million"), (README, "figures")])
def test_pages_have_the_places_that_scripts_write_to(page: Any, name: str) -> None:
    assert "new" in replace_block(page.read_text(), name, "new")
