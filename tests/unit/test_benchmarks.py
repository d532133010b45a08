"""What `make bench` measures, and how it tells: the tables are made of reports as the load kit gives them."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.kit.echo import Loop
from benchmarks.matrix import BROKERS, PARTS, Measurement, matrix, seconds, windows
from benchmarks.measure import Row
from benchmarks.oddities import oddities
from benchmarks.ratios import pairs
from benchmarks.sections import sections
from benchmarks.subjects import PRODUCT, SLOW, SUBJECTS
from benchmarks.tables import cell, look_up, markdown, ratio_cell
from benchmarks.targets import TARGETS

ECHO = Measurement("echo", "redis", PRODUCT, 100)
FLOOR = Measurement("echo", "redis", "floor", 100)
CHANNELS = Measurement("echo", "", "Channels 4", 100)


def row(measurement: Measurement, repeat: int = 1, **result: Any) -> Row:
    return Row(measurement, repeat, result, [], "2026-01-01T00:00:00", 0.0)


def echo(measurement: Measurement, repeat: int, rate: float, cpu: float) -> Row:
    procs = {"interface": {"cpu_us_per": cpu, "alive": True}}
    latency = {"p50_ms": 1.0, "p99_ms": 2.0}
    report = {"latency": latency, "cpu": {"procs": procs, "server_cpu_us_per": cpu}}
    return row(measurement, repeat, msgs_per_s=rate, **report)


def lines(document: str, title: str) -> list[list[str]]:
    """Return the rows of the table under a title."""
    table = document.split(f"### {title}\n\n", 1)[1].split("\n\n", 1)[0]
    return [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_all_is_measured_that_a_goal_is_set_for() -> None:
    measured = matrix(PARTS, windows(quick=False), others=True)
    assert len(set(measured)) == len(measured)
    for target in TARGETS:
        assert target.measurement in measured
        beside = [each for each in measured if each.part == target.measurement.part and each.subject == target.beside]
        assert beside or not target.beside


def test_each_subject_is_known_and_others_can_be_left_out() -> None:
    """Given no environment of the other projects, expect all but these."""
    chosen = windows(quick=True)
    every, own = (matrix(PARTS, chosen, others=others) for others in (True, False))
    assert {each.subject for each in every} == set(SUBJECTS)
    assert set(own) == {each for each in every if not SUBJECTS[each.subject].is_other}
    assert {each.broker for each in matrix(["queue"], chosen, others=True)} == set(BROKERS)


def test_a_whole_run_ends_within_half_an_hour() -> None:
    chosen = windows(quick=False)
    took = 3 * sum(seconds(each, chosen) for each in matrix(PARTS, chosen, others=True))
    assert took / 60 <= 28  # on two idle cores: it is a guess, and there is more to a run


def test_one_text_in_so_many_asks_for_a_slow_answer_which_does_not_count() -> None:
    """Given sockets in turn / Expect every tenth text of all of them to ask, and the times of the others."""
    texts: list[bytes] = []
    loop = Loop(b"", slow=10, measuring=True)
    sockets: list[Any] = [SimpleNamespace(seq=0, transport=SimpleNamespace(write=texts.append)) for _ in range(3)]
    for each in sockets:
        loop.send(each)
    for number in range(27):
        each = sockets[number % 3]
        loop.on_message(each, each.want)
    assert [number for number, text in enumerate(texts, 1) if b"slow" in text] == [10, 20, 30]
    assert (loop.wrong, len(loop.seconds)) == (0, 27 - 2)


def test_a_consumer_that_is_slow_now_and_then_is_measured_beside_others_that_can_go_on() -> None:
    assert Measurement("echo", "redis", SLOW, 100) in matrix(PARTS, windows(quick=False), others=False)
    assert (SUBJECTS[SLOW].children, SUBJECTS[PRODUCT].children) == (2, 1)


def test_ratios_are_taken_within_each_repeat() -> None:
    """Given a machine half as fast in the second repeat, expect a ratio without spread."""
    rows = [echo(ECHO, 1, 800, 20), echo(FLOOR, 1, 1000, 10), echo(ECHO, 2, 400, 40), echo(FLOOR, 2, 500, 20)]
    found = pairs(rows, ECHO, "floor")
    assert [ratio_cell(found, path) for path in ("msgs_per_s", "cpu.server_cpu_us_per")] == ["0.80", "2.00"]
    assert pairs([*rows[:1], rows[3]], ECHO, "floor") == []


def test_goals_tell_by_how_much_they_were_missed() -> None:
    rows = [echo(ECHO, repeat, rate, 75) for repeat, rate in ((1, 9_000), (2, 8_000), (3, 20_000))]
    rows += [echo(FLOOR, repeat, 10_000, 50) for repeat in (1, 2, 3)]
    found = {line[2]: line[3:] for line in lines(sections(rows), "Goals")}
    assert found == {
        "echo: messages/s": ["at least 10,000", "9,000 [8,000-20,000]", "**missed** by 10%"],
        "echo: CPU us/message": ["at most 150", "75.0", "reached"],
        "echo: CPU / floor": ["at most 1.4", "1.50", "**missed** by 7%"],
    }


def test_recorded_figures_stand_in_for_what_was_not_measured() -> None:
    title, alone, beside = "Echo, closed loop, 64 bytes", echo(ECHO, 1, 800, 20), echo(CHANNELS, 1, 400, 40)
    never = ["*Channels 1.1.8*", "*Channels 4.3.2, sync consumer*"]
    shown = [line[0] for line in lines(sections([alone]), title)]
    assert shown == ["channelcelery, Redis", *never, "*Channels 4.3.2*"]
    shown = [line[0] for line in lines(sections([alone, beside]), title)]
    assert shown == ["channelcelery, Redis", "Channels 4", *never]
    other_size = echo(replace(CHANNELS, size=1), 1, 400, 40)
    shown = [line[0] for line in lines(sections([alone, other_size]), title) if line[1] == "100"]
    assert shown == ["channelcelery, Redis", *never, "*Channels 4.3.2*"]


def test_a_failed_measurement_is_an_oddity_and_in_no_table() -> None:
    failed = row(ECHO, error="AssertionError: no")
    assert sections([failed]) == ""
    assert oddities([failed]) == ["echo 100, channelcelery on redis, repeat 1: failed: AssertionError: no"]


@pytest.mark.parametrize(
    ("path", "number"), [("a.b", 1), ("steps.1.kib", 9.5), ("steps.2.kib", None), ("a", None), ("a.c", None)]
)
def test_numbers_are_found_by_their_path(path: str, number: float | None) -> None:
    assert look_up({"a": {"b": 1}, "steps": [{}, {"kib": 9.5}]}, path) == number


def test_tables_show_medians_with_their_spread() -> None:
    assert cell([{"x": 3}, {"x": 1}, {"x": 2}], "x") == "2.00 [1.00-3.00]"
    assert cell([{"x": 1234}], "x") == "1,234"
    assert cell([{}], "x") == "-"
    assert markdown("T", ["a", "b"], [["1", "long"]]) == "### T\n\n| a | b    |\n| - | ---- |\n| 1 | long |\n"
    assert markdown("T", ["a"], []) == ""
