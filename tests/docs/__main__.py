"""Renew the figures that the README shows: `python -m tests.docs`; with `demo` those of `make demo` too."""

import subprocess
import sys
import tempfile
from difflib import get_close_matches
from pathlib import Path

from tests.components import REPOSITORY
from tests.docs import readme, traffic
from tests.docs.readme import Command
from tests.docs.walkthrough import Ran, Walk


def main(demo: bool) -> None:
    """Follow the README, put in what each command printed, and name what is no longer printed at all."""
    with (
        tempfile.TemporaryDirectory() as folder,
        traffic.prometheus(Path(folder) / "prometheus") as url,
        traffic.endpoint() as endpoint_url,
    ):
        walk = Walk(Path(folder), url, endpoint_url)
        followed = {command: walk.run(command) for command in readme.commands()}
    text, lost = readme.text(), []
    for command, ran in followed.items():
        if command.words[0] == "make" and not demo:
            continue
        for old, new in _pairs(command, _made(command) if command.words[0] == "make" else ran):
            if new is None:
                lost.append(f"line {command.line}: {old}")
            else:
                text = text.replace(old, new, 1).replace(readme.quoted(old), readme.quoted(new), 1)
    readme.README.write_text(text, encoding="utf-8")
    for line in lost:
        sys.stdout.write(f"no longer printed, {line}\n")


def _made(command: Command) -> Ran:
    ran = subprocess.run(command.words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return Ran(0, ran.stdout)


def _pairs(command: Command, ran: Ran) -> list[tuple[str, str | None]]:
    """Pair each line that is shown with the one of its shape, else the nearest; no line is taken twice."""
    left = ran.output.splitlines()
    pairs: list[tuple[str, str | None]] = []
    for old in command.excerpt:
        alike = [line for line in left if readme.shape(line) == readme.shape(old)]
        new = next(iter(alike or get_close_matches(old, left, n=1)), None)
        if new is not None:
            left.remove(new)
        pairs.append((old, new))
    return pairs


if __name__ == "__main__":
    main(demo="demo" in sys.argv[1:])
