"""Hold the repository to its fixed top level, and keep every machine's particulars out of it."""

import re
import subprocess
from functools import cache
from pathlib import Path

from tests.components import REPOSITORY, absent, git

TOP_LEVEL = re.compile(
    r"pyproject\.toml|planner|profiler|models|config|tests|charts|README\.md|LICENSE|CHANGELOG\.md|CONTRIBUTING\.md"
    r"|Makefile|Dockerfile|requirements(-\w+)?\.txt|\..+"
)

# Spelled apart, so that this file does not contain what it forbids.
MACHINE_FOLDERS = ("work", "root", "home", "Users")
REGISTRIES = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("docker", "io"),
    ("ghcr", "io"),
    ("gcr", "io"),
    ("quay", "io"),
    ("nvcr", "io"),
    ("registry", "k8s.io"),
    ("mcr", "microsoft.com"),
    ("azurecr", "io"),
    ("proxy", "golang.org"),
    ("deb", "debian.org"),
)
FORBIDDEN = re.compile(
    r"(?<![\w.:/}-])/(?:" + "|".join(MACHINE_FOLDERS) + r")/"
    r"|" + "|".join(rf"\b{re.escape('.'.join(parts))}" for parts in REGISTRIES)
)


@cache
def tracked() -> tuple[Path, ...]:
    """Return the tracked files that exist, relative to the repository."""
    listing = subprocess.run(
        # A clone that another user owns is still ours to read.
        [git(), "-c", f"safe.directory={REPOSITORY}", "ls-files", "-z"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    if listing.returncode:
        absent("the repository's history", "run from a git clone")
    paths = map(Path, filter(None, listing.stdout.split("\0")))
    return tuple(path for path in paths if (REPOSITORY / path).is_file())


def test_top_level_holds_only_what_the_design_names() -> None:
    strangers = {path.parts[0] for path in tracked() if not TOP_LEVEL.fullmatch(path.parts[0])}

    assert strangers == set()


def test_nothing_tracked_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path}:{number}: {match.group()}"
        for path in tracked()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if (match := FORBIDDEN.search(line))
    ]

    assert found == []


def test_nothing_tracked_is_heavier_than_a_reader_would_clone() -> None:
    limit_bytes = 1_000_000
    heavy = [str(path) for path in tracked() if (REPOSITORY / path).stat().st_size > limit_bytes]

    assert heavy == []


def text_of(path: Path) -> str:
    """Return the file's text, or nothing for a binary file."""
    try:
        return (REPOSITORY / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
