"""Read the README as a stranger does: its commands in order, what each should print, and what it names."""

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from tests.components import REPOSITORY

README = REPOSITORY / "README.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_QUOTES = re.compile(r"\n*((?:^>.*\n)+)", re.MULTILINE)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_EXITS = re.compile(r"#\s*exits (\d+)\s*$")


@dataclass(frozen=True)
class Command:
    """One command of the README: its line, its text, its stated exit code and the output that is shown."""

    line: int
    text: str
    exit_code: int = 0
    excerpt: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The words of its first line, without variables set in front."""
        words = self.text.partition("\n")[0].split()
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        return words

    @property
    def live(self) -> bool:
        """Whether it asks a Prometheus."""
        return self.words[:2] in (["headgate", "recommend"], ["headgate", "run"])

    def __str__(self) -> str:
        """Name it in a test's id."""
        return f"line {self.line}: {' '.join(self.words[:3])}"


@cache
def text() -> str:
    """Return the README."""
    return README.read_text(encoding="utf-8")


def prose() -> str:
    """Return the README without its fenced blocks."""
    return _FENCE.sub("", text())


@cache
def commands() -> tuple[Command, ...]:
    """Return every command of every sh block, in order.

    A text block below is what the last of them prints, and so are the long lines quoted below that.
    """
    found: list[Command] = []
    end_of_last = -1
    for block in _FENCE.finditer(text()):
        kind, body = block[1], block[2]
        first = text().count("\n", 0, block.start()) + 2
        if kind == "sh":
            found += list(_commands(body, first))
            end_of_last = block.end()
        elif kind == "text" and found and _is_near(end_of_last, block.start()):
            shown = [line for line in body.splitlines() if line.strip() and line.strip() != "..."]
            found[-1] = replace(found[-1], excerpt=(*shown, *_quotes(block.end())))
    return tuple(found)


def _quotes(begin: int) -> list[str]:
    """Return the quoted lines that follow, each put together from its wrapped pieces."""
    found = _QUOTES.match(text(), begin)
    plain = re.sub(r"^> ?", "", found[1], flags=re.MULTILINE) if found else ""
    return [" ".join(part.split()) for part in plain.split("\n\n") if part.strip()]


def _is_near(end: int, start: int) -> bool:
    """Whether no heading stands between a command and what is shown as its output."""
    return end >= 0 and "\n#" not in text()[end:start]


def _commands(body: str, first: int) -> Iterator[Command]:
    """Cut a block into commands: a backslash goes on, and a here-document belongs to its command."""
    gathered: list[str] = []
    ends: str | None = None
    for number, line in enumerate(body.splitlines(), first):
        if not gathered and (not line.strip() or line.lstrip().startswith("#")):
            continue
        gathered.append(line)
        if ends is None and (heredoc := _HEREDOC.search(line)):
            ends = heredoc[2]
            continue
        if ends is not None and line != ends:
            continue
        if ends is None and line.endswith("\\"):
            continue
        code = _EXITS.search(gathered[0])
        yield Command(number - len(gathered) + 1, "\n".join(gathered) + "\n", int(code[1]) if code else 0)
        gathered, ends = [], None
    assert not gathered, f"README line {first}: a command does not end: {gathered[0]}"


def quoted(line: str) -> str:
    """Write one line of output as the README quotes it."""
    wrap = textwrap.TextWrapper(118, break_on_hyphens=False, break_long_words=False)
    wrap.initial_indent = wrap.subsequent_indent = "> "
    return wrap.fill(line)


def shape(line: str) -> str:
    """Return what stays of a line when its figures change; of JSON, its keys."""
    if line.startswith("{"):
        return " ".join(json.loads(line))
    return re.sub(r"[\d.,\s]+", " ", re.sub(r"[0-9a-f]{64}", "", line)).strip()


def languages() -> set[str]:
    """Return the languages of all fenced blocks."""
    return {block[1] for block in _FENCE.finditer(text())}


def code_spans() -> Iterator[str]:
    """Yield every piece of inline code."""
    yield from re.findall(r"`([^`\n]+)`", prose())


def links() -> Iterator[str]:
    """Yield the target of every link."""
    yield from re.findall(r"\]\(([^)\s]+)\)", prose())


def anchors() -> set[str]:
    """Return what the headings are called in a link: lower case, spaces to hyphens, punctuation gone."""
    headings = re.findall(r"^#+ (.+)$", prose(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
