"""The documentation says what is there: links, settings, keys, commands."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import uvicorn
from celery import Celery
from celery.bin.worker import worker
from django.core.management import get_commands, load_command_class

import channelcelery
from channelcelery import asgi
from channelcelery.conf import LayerConfig, layer_config
from tests.acceptance.pages import PAGES, ROOT, blocks, commands

DOCS = ROOT / "docs"
MAKEFILE = (ROOT / "Makefile").read_text()
REDIS = "channelcelery.layers.RedisChannelLayer"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks and code spans."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", "", text)


def anchors(page: Path) -> set[str]:
    """Return the names by which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head."""
    below = f"\n{page.read_text()}".split(f"\n{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert lines, f"no table below {heading}"
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[0].splitlines()[2:]]


def code(cell: str) -> str:
    """Return what is in a cell's first code span."""
    return cell.split("`")[1]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / target).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", (DOCS / "index.md").read_text())}
    assert linked == set(DOCS.glob("**/*.md")) - {DOCS / "index.md"}


def test_pictures_can_be_shown() -> None:
    picture = (DOCS / "images" / "chat.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n")
    assert len(picture) < 300_000
    drawing = ElementTree.parse(DOCS / "images" / "flow.svg").getroot()  # noqa: S314 - our own
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"


@each_page
def test_python_can_be_read_and_is_run(page: Path) -> None:
    """Expect no whole module that no file of a project is: those are what the other tests run."""
    for block in blocks(page):
        assert block.language in {"python", "pycon", "html", "ini", "nginx"}
        if block.language == "python":
            ast.parse(block.text)
            assert block.file


# settings


def settings_rows() -> list[list[str]]:
    return table(DOCS / "settings.md", "## CONFIG")


def test_every_key_of_config_is_described_once() -> None:
    keys = [code(row[0]) for row in settings_rows()]
    assert sorted(keys) == sorted({field.name for field in fields(LayerConfig)} - {"alias", "kind", "routing"})


def test_the_defaults_are_those_described() -> None:
    described = {code(row[0]): ast.literal_eval(code(row[1])) for row in settings_rows()}
    written = layer_config("default", {"BACKEND": REDIS, "CONFIG": described})
    assert written == layer_config("default", {"BACKEND": REDIS})


def test_the_units_are_those_of_the_code() -> None:
    docstring = LayerConfig.__doc__ or ""
    for key, _, unit, _ in settings_rows():
        described = re.search(rf"^ +{code(key)}: (.+)$", docstring, re.MULTILINE)
        assert described, key
        for word in ("seconds", "bytes", "entries"):
            assert unit.startswith(word) == described[1].startswith(word), key


def test_the_checks_are_those_of_the_code() -> None:
    source = (ROOT / "channelcelery" / "checks.py").read_text()
    listed = {code(row[0]) for row in table(DOCS / "settings.md", "## System checks")}
    assert listed == set(re.findall(r'id="(channelcelery\.\w+)"', source))


def test_limits_in_the_text_are_the_defaults() -> None:
    """The page on deploying says some defaults again."""
    rows = " ".join(" ".join(row) for row in table(DOCS / "deploying.md", "## Limits"))
    config = layer_config("default", {"BACKEND": REDIS})
    for key, number in re.findall(r"`(\w+)`, ([\d,]+)", rows):
        value = getattr(config, key)
        assert int(number.replace(",", "")) in {value, value / 2**20}, key


# Redis


def script_keys() -> set[str]:
    """Return the keys that the heads of the Lua scripts name."""
    found: set[str] = set()
    for script in (ROOT / "channelcelery" / "layers" / "scripts").glob("*.lua"):
        head = script.read_text().split("]]", 1)[0]
        named = " ".join(re.findall(r"^(?:Reads|Writes) .*(?:\n {2,}.*)*", head, re.MULTILINE))
        found |= set(re.findall(r"[a-z]+(?::<[a-z]+>|:[a-z]+)+", named))
        found |= {"delayed", "epoch", "fingerprint", "nodes", "ordering"} & set(re.findall(r"[\w:<>]+", named))
    return found


def test_the_keys_in_redis_are_those_of_the_scripts() -> None:
    assert {code(row[0]) for row in table(DOCS / "data-flow.md", "## In Redis")} == script_keys()


# commands


def command_lines(start: str) -> Iterator[tuple[Path, list[str]]]:
    """Yield the page and the arguments of each command line in which this program is called."""
    for page in PAGES:
        for words in commands(page):
            for number, word in enumerate(words[:2]):
                if Path(word).name == start:
                    yield page, words[number + 1 :]
                    break


def test_make_s_targets_exist() -> None:
    targets = {name for line in re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE) for name in line.split()}
    used = {word for _, words in command_lines("make") for word in words if re.fullmatch(r"[a-z]+", word)}
    assert used <= targets
    assert {"demo", "test", "up"} <= used
    assert re.search(r"^PORT \?=.*[\s\S]*^\.PHONY", MAKEFILE, re.MULTILINE)


def test_manage_py_s_commands_and_options_exist() -> None:
    used = set()
    for page, words in command_lines("manage.py"):
        if not re.fullmatch(r"[a-z]+", words[0] if words else ""):
            continue
        used.add(words[0])
        if words[0] in {"migrate", "makemigrations", "startapp"}:
            continue
        application = get_commands()[words[0]]
        parser: Any = load_command_class(application, words[0]).create_parser("manage.py", words[0])
        parser.error = lambda text, page=page, words=words: pytest.fail(f"{page.name}: {words}: {text}")
        parser.parse_args(words[1:])
    assert {"runserver", "runworker", "runinterface"} <= used


def test_the_options_of_our_commands_exist() -> None:
    """The table of commands names options one by one."""
    options: dict[str, set[str]] = {}
    for name in ("runserver", "runworker", "runinterface", "rundelay"):
        parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
        options[f"manage.py {name}"] = {option for action in parser._actions for option in action.option_strings}
    app = channelcelery.install(Celery("docs", broker="memory://localhost/", set_as_current=False))
    params = [*worker.params, *app.user_options["worker"]]
    options["celery -A example_site worker"] = {option for param in params for option in param.opts}
    rows = {code(row[0]): row[1] for row in table(DOCS / "deploying.md", "## The commands")}
    for command, known in options.items():
        assert set(re.findall(r"`(--?[a-z-]+)", rows[command])) <= known, command


def test_celery_s_lines_are_understood() -> None:
    app = channelcelery.install(Celery("docs", broker="memory://localhost/", set_as_current=False))
    params = [*worker.params, *app.user_options["worker"]]
    known = {option for param in params for option in [*param.opts, *param.secondary_opts]}
    lines = [words for _, words in command_lines("celery") if words[:1] == ["-A"] and words[2:3] == ["worker"]]
    assert {words[1] for words in lines} >= {"example_site", "channelcelery"}
    for words in lines:
        assert {word for word in words[3:] if word.startswith("-")} <= known, words


def test_uvicorn_s_line_is_understood_and_the_same_everywhere() -> None:
    lines = [" ".join(words) for _, words in command_lines("uvicorn")]
    assert len(lines) >= 2
    said = (asgi.__doc__ or "").replace("\\\n", " ")
    there = " ".join(re.search(r"uvicorn (channelcelery\S+.*)$", said, re.MULTILINE)[1].split())  # type: ignore[index]
    assert set(lines) == {there}
    with uvicorn.main.make_context("uvicorn", there.split()) as context:
        assert context.params["ws_max_size"] > LayerConfig("default", "redis").frame_size
        assert context.params["ws"] == "websockets-sansio"


def test_the_variables_are_those_that_the_example_site_reads() -> None:
    rows = [code(row[0]) for row in table(ROOT / "README.md", "## In production")]
    read = (ROOT / "celeryconfig.py").read_text() + (ROOT / "example_site" / "settings.py").read_text()
    assert rows == ["CELERY_BROKER_URL", "CHANNEL_LAYER_URL"]
    assert all(f'os.environ.get("{name}")' in read for name in rows)


def test_the_requirements_are_those_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    sentence = r"^Python ([\d.]+) or newer, Django ([\d.]+) or newer, Celery and Kombu ([\d.]+) or newer\."
    said = re.search(sentence, (ROOT / "README.md").read_text(), re.MULTILINE)
    assert said
    python, django, kombu = said.groups()
    assert f'requires-python = ">={python}"' in project
    for name, version in {"django": django, "celery[redis]": kombu, "kombu": kombu}.items():
        assert f'"{name}>={version}"' in project


# words


def test_the_glossary_is_in_order() -> None:
    words = [row[0] for row in table(DOCS / "glossary.md", "# Glossary")]
    assert words == sorted(words, key=str.lower)
    assert len(words) == len(set(words))
