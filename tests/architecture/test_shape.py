"""Hold the code to a size and to names that a reader can take in, and models to purity."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.components import REPOSITORY

PACKAGES = ("planner", "profiler", "models", "config")

# Beyond this a reader scrolls instead of reading; a function longer than a screen and a half has two jobs.
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 80

SAYS_NOTHING = re.compile(r"utils?|common|managers?|helpers?|misc|base_?classes|.*_v\d+")
ROLE_TWINS = re.compile(r"num_[pd]|[pd]_(replicas|workers|gpus)")

READS_THE_CLOCK = frozenset({"now", "utcnow", "today", "time", "monotonic", "perf_counter"})
TOUCHES_THE_WORLD = frozenset({"open", "print", "input"})


def modules(*packages: str) -> Iterator[tuple[Path, str, ast.Module]]:
    """Yield path, text and syntax tree of each module."""
    for package in packages:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            text = path.read_text()
            yield path.relative_to(REPOSITORY), text, ast.parse(text)


def test_modules_stay_readable() -> None:
    long = {
        str(path): lines
        for path, text, _ in modules(*PACKAGES)
        if (lines := text.count("\n")) > MAX_MODULE_LINES
    }

    assert long == {}


def test_functions_stay_readable() -> None:
    long = {
        f"{path}:{node.lineno} {node.name}": lines
        for path, _, tree in modules(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
        if (lines := node.end_lineno - node.lineno + 1) > MAX_FUNCTION_LINES
    }

    assert long == {}


def test_module_names_say_what_is_inside() -> None:
    vague = [
        str(path)
        for path, _, _ in modules(*PACKAGES)
        if any(SAYS_NOTHING.fullmatch(part) for part in path.with_suffix("").parts)
    ]

    assert vague == []


def test_roles_are_a_mapping_and_never_twin_names() -> None:
    twins = {
        f"{path}:{node.lineno} {node.id}"
        for path, _, tree in modules(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and ROLE_TWINS.fullmatch(node.id)
    }

    assert twins == set()


def test_models_reads_no_clock_and_touches_no_file() -> None:
    impure = [
        f"{path}:{node.lineno} {ast.unparse(node.func)}()"
        for path, _, tree in modules("models")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and reaches_out(node.func)
    ]

    assert impure == []


def reaches_out(function: ast.expr) -> bool:
    """Say whether calling this reads the clock or touches the world."""
    match function:
        case ast.Name(id=name):
            return name in TOUCHES_THE_WORLD
        case ast.Attribute(value=ast.Name(id="datetime" | "date" | "time"), attr=name):
            return name in READS_THE_CLOCK
        case ast.Attribute(attr=name):
            return name in {"read_text", "read_bytes", "write_text", "write_bytes"}
        case _:
            return False
