"""Read the tracks of all deployments out of a journal, line by line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from models.decision import Record
from models.errors import StateError
from models.track.summary import PassedOver
from models.track.track import Track
from planner.record.journal import read_journal
from planner.record.rotation import journal_files
from planner.record.setting import Setting
from planner.report.collector import Collector
from planner.report.unread import Unread

# Returns what a record was decided with, `None` where nobody knows.
Lookup = Callable[[Record], Setting | None]


@dataclass(frozen=True, slots=True)
class Told:
    """Hold one deployment's track, what its last record was decided with, and what a reader should know."""

    track: Track
    setting: Setting
    records: int
    version: str
    notes: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(slots=True)
class _Reading:
    """Gather one deployment."""

    collector: Collector
    setting: Setting
    version: str
    late: int = 0
    notes: list[str] = field(default_factory=list)


def read_tracks(journal: Path, lookup: Lookup, days: int, only: str | None = None) -> list[Told]:
    """Return the tracks of the last `days` of a journal; a deployment whose settings lack is left out.

    What a crash cut off, or a newer version wrote, is counted and told in `notes`. Raises StateError where
    there is no journal, or nothing in it can be judged.
    """
    found: dict[str, _Reading] = {}
    settings: dict[tuple[str, str, str], tuple[Setting | None, str]] = {}
    unread = Unread()
    for line in (line for file in _recent(journal, days) for line in read_journal(file)):
        record = line.record
        if record is None:
            unread.passed(line)
            continue
        unread.read()
        if only is not None and record.deployment != only:
            continue
        key = record.deployment, record.config_digest, record.profile_digest
        if key not in settings:
            settings[key] = _looked_up(lookup, record)
        setting, why = settings[key]
        if setting is None:
            unread.lacks(why)
            continue
        _take(found, record, setting)
    if not found:
        raise StateError(f"{journal}: {unread.nothing(only)}")
    return [
        Told(
            each.collector.finish(),
            each.setting,
            each.collector.records,
            each.version,
            (*unread.notes(), *_late(each)),
            unread.forms,
        )
        for each in found.values()
    ]


def _looked_up(lookup: Lookup, record: Record) -> tuple[Setting | None, str]:
    """Return what a record was decided with, or why that cannot be read: others may still be judged."""
    try:
        return lookup(record), ""
    except StateError as error:
        return None, str(error)


def _take(found: dict[str, _Reading], record: Record, setting: Setting) -> None:
    reading = found.get(record.deployment)
    if reading is None or not reading.collector.follows(setting):
        notes = [] if reading is None else ["its roles or classes changed: it is judged from then on"]
        reading = _Reading(
            Collector(record.deployment, setting, record), setting, record.version, notes=notes
        )
        found[record.deployment] = reading
    reading.setting, reading.version = setting, record.version
    if not reading.collector.take(record, setting):
        reading.late += 1


def _recent(journal: Path, days: int) -> Iterable[Path]:
    """Return the files of the last days, oldest first; a file's name begins with the day of its records."""
    if not journal.is_dir():
        return [journal]
    files = journal_files(journal)
    if not files:
        raise StateError(f"{journal}: holds no journal; `headgate run` writes one")
    first = date.fromisoformat(files[-1].name[:10]) - timedelta(days=days)
    return [file for file in files if date.fromisoformat(file.name[:10]) >= first]


def _late(reading: _Reading) -> tuple[str, ...]:
    if not reading.late:
        return tuple(reading.notes)
    said = f"{reading.late} records lie before others and are left out: did two processes write here?"
    return (*reading.notes, said)
