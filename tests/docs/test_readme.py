"""The README does what it says: its commands run in order, print what it shows, and what it names exists."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache

import click
import pytest

from planner.cli import headgate
from profiler.cli import profiler
from tests import components
from tests.docs import readme, traffic
from tests.docs.readme import Command
from tests.docs.walkthrough import Ran, Walk

# One reader follows the whole README before the first claim is looked at.
pytestmark = pytest.mark.timeout(170)

PROGRAMS: Mapping[str, click.Group] = {"headgate": headgate, "headgate-profiler": profiler}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[Command, Ran]]:
    folder = tmp_path_factory.mktemp("readme")
    with traffic.prometheus(folder / "prometheus") as url, traffic.endpoint() as endpoint_url:
        walk = Walk(folder, url, endpoint_url)
        yield {command: walk.run(command) for command in readme.commands()}


@pytest.mark.integration
@pytest.mark.parametrize("command", readme.commands(), ids=str)
def test_a_command_exits_as_stated(command: Command, followed: Mapping[Command, Ran]) -> None:
    ran = followed[command]

    assert ran.exit_code == command.exit_code, f"{command.text}{ran.output}"


# `make demo` takes minutes; tests/scenario holds its day to the story.
SHOWN = [command for command in readme.commands() if command.excerpt and command.words[0] != "make"]


@pytest.mark.integration
@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_a_command_prints_what_is_shown(command: Command, followed: Mapping[Command, Ran]) -> None:
    said = {readme.shape(line) for line in followed[command].output.splitlines()}
    # Against live traffic other sentences come: a table's head and a log line's keys stay.
    shown = [line for line in command.excerpt if not command.live or line.isupper() or line.startswith("{")]

    assert shown
    assert [line for line in shown if readme.shape(line) not in said] == [], "renew: python -m tests.docs"


def test_no_command_stands_where_the_walk_does_not_look() -> None:
    assert readme.languages() == {"sh", "text"}


def test_the_walk_covers_every_command_of_both_programs() -> None:
    shown = {tuple(command.words[:2]) for command in readme.commands()}

    for program, group in PROGRAMS.items():
        for name in group.list_commands(click.Context(group)):
            assert (program, name) in shown or f"`{program} {name}" in readme.prose(), f"{program} {name}"


@cache
def options(program: str, command: str = "") -> frozenset[str]:
    """Return the options of a command, or of a whole program."""
    group = PROGRAMS[program]
    context = click.Context(group)
    found: set[str] = {"--help"}
    for name in [command] if command else group.list_commands(context):
        loaded = group.get_command(context, name)
        assert loaded is not None, f"{program} has no command {name}"
        parts = [loaded, *(loaded.commands.values() if isinstance(loaded, click.Group) else ())]
        found |= {opt for part in parts for param in part.params for opt in param.opts}
    return frozenset(found)


def test_every_option_that_is_named_exists() -> None:
    known = options("headgate") | options("headgate-profiler")
    named = {
        (span, option)
        for span in readme.code_spans()
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", span)
    }

    assert {pair for pair in named if pair[1] not in known} == set()


def test_an_option_named_with_its_command_belongs_to_it() -> None:
    for span in readme.code_spans():
        called = re.match(r"(headgate(?:-profiler)?) ([a-z]+)\b(.*)", span)
        if called and called[1] in PROGRAMS:
            for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", called[3]):
                assert option in options(called[1], called[2]), span


def test_every_link_leads_somewhere() -> None:
    for target in readme.links():
        assert not target.startswith("/"), target
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert not path or (components.REPOSITORY / path).exists(), target
        assert not anchor or path or anchor in readme.anchors(), target


def test_every_file_that_is_named_exists() -> None:
    roots = ("config/", "tests/", "models/", "planner/", "profiler/")
    named = {span for span in readme.code_spans() if span.startswith(roots) and " " not in span}

    assert named
    assert {path for path in named if not (components.REPOSITORY / path).exists()} == set()


def test_every_test_that_is_named_stands_in_the_file_that_is_named() -> None:
    promises = "tests/property/test_promises.py"
    section = readme.prose().partition("## What it promises")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 14))
    for row in rows:
        for name, file in re.findall(r"`(test_\w+)`(?: in `([\w/.]+)`)?", row):
            source = (components.REPOSITORY / (file or promises)).read_text()
            assert f"def {name}(" in source, f"{name} is not in {file or promises}"


def test_every_make_target_that_is_named_exists() -> None:
    named = {match[1] for span in readme.code_spans() if (match := re.match(r"make ([a-z]+)", span))}
    ran = subprocess.run(
        ["make", "help"], cwd=components.REPOSITORY, capture_output=True, text=True, check=True
    )

    assert named
    assert {target for target in named if not re.search(rf"make {target}\b", ran.stdout)} == set()


def test_every_preset_that_is_named_exists() -> None:
    for kind, column in (("llm", "--model"), ("hardware", "--hardware"), ("engine", "--engine")):
        row = next(line for line in readme.prose().splitlines() if line.startswith(f"| `{column}`"))
        known = {card.stem for card in (components.REPOSITORY / "config/presets" / kind).glob("*.yaml")}
        assert {name for name in re.findall(r"`([\w.-]+)`", row) if name != column} - known <= {
            "my-model.yaml"
        }
        assert known <= set(re.findall(r"`([\w.-]+)`", row))
