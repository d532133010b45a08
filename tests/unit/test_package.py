"""The package from outside: its public names."""

import ast
import tomllib
from pathlib import Path

import pytest

import channelcelery
from channelcelery.channel import Channel, Group
from channelcelery.consumers import consumer
from channelcelery.core.reliable import Reliable
from channelcelery.layers import DEFAULT_CHANNEL_LAYER, channel_layers
from channelcelery.routing import include, route, route_class
from channelcelery.worker import install

ROOT = Path(channelcelery.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def test_the_public_names_are_those_of_their_modules() -> None:
    """Item 26."""
    expected = {
        "Channel": Channel,
        "DEFAULT_CHANNEL_LAYER": DEFAULT_CHANNEL_LAYER,
        "Group": Group,
        "Reliable": Reliable,
        "channel_layers": channel_layers,
        "consumer": consumer,
        "include": include,
        "install": install,
        "route": route,
        "route_class": route_class,
    }
    assert {name: getattr(channelcelery, name) for name in channelcelery.__all__} == expected
    assert set(channelcelery.__all__) <= set(dir(channelcelery))


def test_an_unknown_name_is_an_attribute_error() -> None:
    for package in (channelcelery, channelcelery.layers):
        with pytest.raises(AttributeError, match="has no attribute 'Chanel'"):
            _ = package.Chanel


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    assert channelcelery.__version__ == project["version"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
class TestEachModule:
    def test_it_lists_its_public_names(self, file: Path) -> None:
        """Expect `__all__`, with everything public that is defined here, and nothing that is not there."""
        body = ast.parse(file.read_text()).body
        defined = {
            node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        }
        public = {name for name in defined if not name.startswith("_")}
        there = defined | {name for node in body for name in _bound(node)}
        listed = next((ast.literal_eval(node.value) for node in body if _is_all(node)), None)
        if listed is None:
            assert not public
            assert all(isinstance(node, ast.Expr) for node in body), "a module with code needs an __all__"
            return
        assert public <= set(listed)
        assert len(listed) == len(set(listed))
        lazy = "__getattr__" in defined
        assert lazy or set(listed) <= there

    def test_it_says_what_it_is(self, file: Path) -> None:
        source = file.read_text()
        assert not source or ast.get_docstring(ast.parse(source))


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Assign):
        return {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    if isinstance(node, ast.AnnAssign):
        return {ast.unparse(node.target)}
    return set()
