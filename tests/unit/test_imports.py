"""Who may import whom: one way, without cycles, and nothing that does I/O in `core`.

Imports inside functions and under TYPE_CHECKING count like all others. That a package's `__init__` runs before its
modules does not: only what is written is looked at.
"""

import ast
import sys
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import channelcelery
from channelcelery.checks import ROUTING_TAG
from channelcelery.management.commands import runinterface

PACKAGE = "channelcelery"
ROOT = Path(channelcelery.__file__).parent

#: From what knows least to what knows most; a module imports from its own row and those above it.
ROWS = [
    ["exceptions"],
    ["core", "conf", "tracing"],
    ["layers", "broker"],
    ["channel", "message", "routes", "routing", "consumers", "signals", "around"],
    [
        "sessions",
        "redis_sessions",
        "auth",
        "ordering",
        "security",
        "request",
        "beside",
        "streaming",
        "handler",
        "staticfiles",
        "reliable",
        "generic",
        "binding",
        "delay",
        "tasks",
        "observe",
    ],
    ["worker", "interface"],
    ["celery", "asgi", "checks", "apps", "management", "test", "tests", ""],
]

#: What would make a decision depend on anything but its arguments.
FORBIDDEN_IN_CORE = {
    *("asyncio", "concurrent", "contextvars", "multiprocessing", "queue", "sched", "threading", "_thread"),
    *("os", "io", "pathlib", "select", "selectors", "signal", "socket", "ssl", "subprocess", "tempfile"),
    *("random", "secrets", "time", "uuid"),
}

#: User code is imported through these.
USER_CODE = {"routes", "routing", "consumers", "worker", "handler", "staticfiles", "generic"}


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {_name(file): file.read_text() for file in sorted(ROOT.rglob("*.py"))}


def imported(source: str) -> Iterator[str]:
    """Yield the dotted names of the modules that a source imports, ours as exactly as they are known."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            assert node.module
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if inside in SOURCES else node.module


GRAPH = {
    name: {other for other in imported(source) if other.split(".")[0] == PACKAGE} for name, source in SOURCES.items()
}


def row_of(module: str) -> int:
    part = module.removeprefix(PACKAGE).removeprefix(".").split(".")[0]
    rows = [number for number, row in enumerate(ROWS) if part in row]
    assert rows, f"{module} has no row yet: add it to ROWS"
    return rows[0]


def reached_from(start: str, but_not_through: Collection[str] = ()) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for module in GRAPH[waiting.pop()] - reached:
            reached.add(module)
            if module not in but_not_through:
                waiting.append(module)
    return reached


def test_every_import_of_ours_exists() -> None:
    assert {other for others in GRAPH.values() for other in others} <= set(SOURCES)


def test_imports_go_one_way() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if row_of(other) > row_of(module)
    ]
    assert wrong == []


def test_there_is_no_cycle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nobody_inside_imports_the_package_s_front() -> None:
    """Its lazy names would hide who imports whom."""
    assert [module for module, others in GRAPH.items() if PACKAGE in others] == []


def test_core_imports_nothing_that_does_io() -> None:
    # the last computes only: what is random is passed to it
    allowed = (sys.stdlib_module_names - FORBIDDEN_IN_CORE) | {"msgpack", "cryptography"}
    wrong = [
        f"{module} imports {other}"
        for module in GRAPH
        if module.startswith(f"{PACKAGE}.core")
        for other in imported(SOURCES[module])
        if other.split(".")[0] not in allowed
        and not other.startswith(f"{PACKAGE}.core.")
        and other != f"{PACKAGE}.exceptions"
    ]
    assert wrong == []


@pytest.mark.parametrize("start", ["interface", "asgi", "management.commands.runinterface"])
def test_the_interface_reaches_no_user_code(start: str) -> None:
    """Expect none of the modules that import consumers, however long the way."""
    begin = [name for name in SOURCES if f"{name}.".startswith(f"{PACKAGE}.{start}.")]
    assert begin
    wrong = [
        f"{module} is reached from {name}"
        for name in begin
        for module in reached_from(name, but_not_through={f"{PACKAGE}.checks"})
        if module.split(".")[1] in USER_CODE
    ]
    assert wrong == []


def test_the_interface_leaves_out_the_checks_that_import_user_code() -> None:
    """`checks` imports routing inside one check, which has a tag of its own."""
    assert ROUTING_TAG not in runinterface.Command.requires_system_checks
    tree = ast.parse(SOURCES[f"{PACKAGE}.checks"])
    at_import = {name for node in tree.body for name in imported(ast.unparse(node)) if isinstance(node, ast.ImportFrom)}
    assert not at_import & {f"{PACKAGE}.{part}" for part in USER_CODE}


def test_the_worker_reaches_nothing_of_the_interface() -> None:
    wrong = [
        f"{begin} reaches {module}"
        for begin in SOURCES
        if begin.startswith(f"{PACKAGE}.worker")
        for module in reached_from(begin)
        if module.startswith(f"{PACKAGE}.interface")
    ]
    assert wrong == []
