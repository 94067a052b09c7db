"""Hold every dependency to a stated reason, and every install to the pinned hashes."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.components import REPOSITORY

PACKAGES = ("planner", "profiler", "models", "config")
REQUIREMENTS = tuple(f"requirements{kind}.txt" for kind in ("", "-azure", "-build", "-dev"))
PYPROJECT = (REPOSITORY / "pyproject.toml").read_text()
PROJECT = tomllib.loads(PYPROJECT)["project"]
DECLARED: list[str] = PROJECT["dependencies"]
EXTRAS: list[str] = [each for extra in PROJECT["optional-dependencies"].values() for each in extra]


def normal(requirement: str) -> str:
    """Return the distribution's name alone, in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def pins(file: str) -> Iterator[tuple[str, int]]:
    """Yield each pinned requirement with the number of hashes under it."""
    text = (REPOSITORY / file).read_text()
    for entry in re.split(r"\n(?=\S)", text.replace("\\\n", " ")):
        if not entry.startswith("#"):
            requirement, *hashes = entry.split(" --hash=sha256:")
            yield requirement.split(";")[0].strip(), len(hashes)


def third_party_imports() -> Iterator[tuple[str, Path]]:
    """Yield the top-level name of each foreign import in the four packages, lazy ones included."""
    for path in (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names}:
                if top not in sys.stdlib_module_names and top not in PACKAGES:
                    yield top, path.relative_to(REPOSITORY)


@pytest.mark.parametrize("requirement", DECLARED)
def test_every_dependency_says_why_it_is_here(requirement: str) -> None:
    line = next(line for line in PYPROJECT.splitlines() if line.strip().startswith(f'"{requirement}"'))

    reason = line.rpartition("#")[2].strip() if "#" in line else ""

    assert len(reason.split()) >= 2, f"{requirement}: write the reason as a comment on its line"


def test_every_import_is_a_declared_dependency() -> None:
    distributions = packages_distributions()
    declared = {normal(requirement) for requirement in [*DECLARED, *EXTRAS]}

    def brought_by(top: str) -> list[str]:
        """Name the distributions of a package; those of a namespace that is not installed begin with it."""
        return distributions.get(top) or [top, *(each for each in declared if each.startswith(f"{top}-"))]

    undeclared = {
        f"{path}: {top}"
        for top, path in third_party_imports()
        if declared.isdisjoint(normal(name) for name in brought_by(top))
    }

    assert sorted(undeclared) == []


@pytest.mark.parametrize("file", REQUIREMENTS)
def test_every_requirement_is_pinned_with_hashes(file: str) -> None:
    loose = [requirement for requirement, hashes in pins(file) if "==" not in requirement or not hashes]

    assert loose == []


@pytest.mark.parametrize("file", REQUIREMENTS)
def test_requirements_name_no_index(file: str) -> None:
    text = (REPOSITORY / file).read_text()

    assert re.findall(r"\S*://\S*|^\s*-(?!-hash).*$|\S+ @ .*", text, flags=re.MULTILINE) == []


def test_requirements_lock_every_declared_dependency() -> None:
    locked = {normal(requirement) for requirement, _ in pins("requirements.txt")}

    assert {normal(requirement) for requirement in DECLARED} - locked == set()


def test_development_installs_what_production_runs() -> None:
    development = set(pins("requirements-dev.txt"))

    assert set(pins("requirements.txt")) - development == set()
    assert set(pins("requirements-build.txt")) - development == set()
