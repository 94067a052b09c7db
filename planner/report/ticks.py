"""Find one record in a journal: the newest, one by its tick, or the one that held at a moment."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from models.decision import Record
from models.errors import StateError
from models.render.formats import moment
from planner.record.journal import Line, read_journal
from planner.record.rotation import journal_files
from planner.report.unread import Unread

# A decision holds until the next one: a moment later than this after the last one is answered by none.
STALE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say which record: by `tick` or at a moment, else the newest; of a deployment (`None`: the only one)."""

    deployment: str | None = None
    tick: str | None = None
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the record that was found, and what a reader should know of what could not be read."""

    record: Record
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Search:
    """Gather what was read on the way; `newer` are lines of versions that are not known here."""

    first_s: float | None = None
    newer: list[Line] = field(default_factory=list)


def find_record(journal: Path, wanted: Wanted) -> Answer:
    """Return the wanted record, reading files from the newest back.

    Lines of a newer version that may answer as well are told. Raises StateError for a folder without a
    journal, and where no record answers; it says what there is.
    """
    search = _Search()
    for file in _files(journal, wanted):
        best: Record | None = None
        names: set[str] = set()
        for line in read_journal(file):
            record = line.record
            if record is None and line.form:
                search.newer.append(line)
            if record is None or wanted.deployment not in (None, record.deployment):
                continue
            names.add(record.deployment)
            at_s = record.observation.at_s
            search.first_s = at_s if search.first_s is None else min(search.first_s, at_s)
            if _answers(record, wanted) and (best is None or at_s >= best.observation.at_s):
                best = record
        if best is not None:
            if wanted.tick is None and wanted.deployment is None and len(names) > 1:
                raise StateError(
                    f"{journal}: holds several deployments: say --deployment {'|'.join(sorted(names))}"
                )
            return Answer(_fresh(journal, best, wanted, search), _notes(search, wanted, best))
    raise StateError(f"{journal}: {_absent(wanted, search)}")


def _notes(search: _Search, wanted: Wanted, found: Record | None = None) -> tuple[str, ...]:
    """Say which lines of a newer version may answer rather than what was found; a tick's name is exact."""
    if wanted.tick is not None and found is not None:
        return ()
    unread = Unread()
    for line in search.newer:
        since_s = 0.0 if found is None else found.observation.at_s
        until_s = float("inf") if wanted.at_s is None else wanted.at_s
        if line.at_s is None or since_s <= line.at_s <= until_s:
            unread.passed(line)
    return unread.notes()


def _files(journal: Path, wanted: Wanted) -> Iterator[Path]:
    """Yield the files that may hold the record, newest first; a file's name is the day of its records."""
    files = journal_files(journal) if journal.is_dir() else [journal]
    if not files:
        raise StateError(f"{journal}: holds no journal; `headgate run` writes one")
    day = None if wanted.at_s is None else datetime.fromtimestamp(wanted.at_s, UTC).date().isoformat()
    return (file for file in reversed(files) if day is None or not journal.is_dir() or file.name[:10] <= day)


def _answers(record: Record, wanted: Wanted) -> bool:
    if wanted.tick is not None:
        return record.tick_id == wanted.tick
    return wanted.at_s is None or record.observation.at_s <= wanted.at_s


def _fresh(journal: Path, record: Record, wanted: Wanted, search: _Search) -> Record:
    if wanted.at_s is not None and wanted.at_s - record.observation.at_s > STALE_S:
        last = moment(record.observation.at_s)
        notes = "".join(f"; {note}" for note in _notes(search, wanted, record))
        raise StateError(
            f"{journal}: {moment(wanted.at_s)} has no decision; the last one before is of {last}{notes}"
        )
    return record


def _absent(wanted: Wanted, search: _Search) -> str:
    whose = f" of {wanted.deployment}" if wanted.deployment else ""
    notes = "".join(f"; {note}" for note in _notes(search, wanted))
    if search.first_s is None:
        return f"holds no whole record{whose}{notes}"
    if wanted.tick is not None:
        shown = "`headgate explain` without a tick shows the newest"
        return f"holds no tick {wanted.tick!r}; {shown}{notes}"
    return f"holds no record{whose} that old; the first is of {moment(search.first_s)}{notes}"
