"""Read the tracks of all deployments out of a journal, line by line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from models.decision import Record
from models.errors import StateError
from models.track.track import Track
from planner.record.journal import read_journal
from planner.record.rotation import journal_files
from planner.record.setting import Setting
from planner.report.collector import Collector

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


@dataclass(slots=True)
class _Reading:
    """Gather one deployment."""

    collector: Collector
    setting: Setting
    version: str
    late: int = 0
    unknown: int = 0
    notes: list[str] = field(default_factory=list)


def read_tracks(journal: Path, lookup: Lookup, days: int, only: str | None = None) -> list[Told]:
    """Return the tracks of the last `days` of a journal; a deployment whose settings lack is left out.

    Raises StateError where there is no journal, nothing in it can be judged, or a line is of a newer version.
    """
    found: dict[str, _Reading] = {}
    settings: dict[tuple[str, str, str], Setting | None] = {}
    lacking, broken, last_broken = 0, [], False
    for line in (line for file in _recent(journal, days) for line in read_journal(file)):
        record = line.record
        last_broken = record is None
        if record is None:
            broken.append(f"{line.where} {line.problem}")
            continue
        if only is not None and record.deployment != only:
            continue
        key = record.deployment, record.config_digest, record.profile_digest
        if key not in settings:
            settings[key] = lookup(record)
        setting = settings[key]
        if setting is None:
            lacking += 1
            continue
        _take(found, record, setting)
    if not found:
        raise StateError(f"{journal}: {_nothing(lacking, broken, only)}")
    general = _general(broken, last_broken, lacking)
    return [
        Told(
            each.collector.finish(),
            each.setting,
            each.collector.records,
            each.version,
            (*general, *_late(each)),
        )
        for each in found.values()
    ]


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


def _nothing(lacking: int, broken: list[str], only: str | None) -> str:
    if lacking:
        return f"does not hold what its {lacking} records were decided with: say --config FILE as well"
    if broken:
        return f"holds no whole record; {broken[0]}"
    return f"holds no record of {only}" if only else "holds no record yet; wait for the first tick"


def _general(broken: list[str], last_broken: bool, lacking: int) -> tuple[str, ...]:
    notes = []
    cut = len(broken) - last_broken
    if cut:
        notes.append(f"{cut} line{'s' if cut > 1 else ''} could not be read, the first: {broken[0]}")
    if last_broken:
        notes.append("the last line is still being written, or was cut off")
    if lacking:
        notes.append(f"{lacking} records lack what they were decided with, and are left out")
    return tuple(notes)


def _late(reading: _Reading) -> tuple[str, ...]:
    if not reading.late:
        return tuple(reading.notes)
    said = f"{reading.late} records lie before others and are left out: did two processes write here?"
    return (*reading.notes, said)
