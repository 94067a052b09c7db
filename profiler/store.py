"""Keep each measurement as soon as it is made, so that a sweep that stops loses one point at most."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models import codec
from models.errors import InputError
from profiler.measure.backend import Measurement, Refusal, SweepPoint

SCHEMA = "headgate/measurements/v1"


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one result of the sweep, and for how many seconds its replica was held for it."""

    point: SweepPoint
    result: Measurement | Refusal
    held_s: float = 0.0


class Store(Protocol):
    """Keep entries, and give back those of an earlier run of the same sweep."""

    def read(self) -> Mapping[SweepPoint, Entry]:
        """Return what was kept so far; the later of two entries for a point counts."""
        ...

    def add(self, entry: Entry) -> None:
        """Keep one more entry; it is safe when this returns."""
        ...


class NoStore:
    """Keep nothing: points that cost nothing are measured again."""

    def read(self) -> Mapping[SweepPoint, Entry]:
        """Return nothing."""
        return {}

    def add(self, entry: Entry) -> None:
        """Forget it."""


class FileStore:
    """Keep entries in a file of JSON lines, the first of which says what was measured."""

    def __init__(self, path: Path, identity: str) -> None:
        """Choose the file; `identity` says what its times depend on beside the points."""
        self._path = path
        self._identity = identity
        self._started = False

    def read(self) -> Mapping[SweepPoint, Entry]:
        """Return the entries; a last line that was cut off while it was written does not count.

        Raises InputError when the file holds something else: another schema, other measurements, damage.
        """
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n") if self._path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self._path}: cannot be read: {_reason(error)}") from None
        if len(lines) < 2:
            return {}  # nothing, or a header that was cut off
        check_header(lines[0], self._identity, str(self._path))
        entries = {}
        for number, line in enumerate(lines[1:-1], start=2):
            entry = read_entry(line, f"{self._path}:{number}")
            entries[entry.point] = entry
        return entries

    def add(self, entry: Entry) -> None:
        """Append an entry and flush it; raises InputError when the file cannot be written."""
        try:
            if not self._started:
                self._start()
                self._started = True
            with self._path.open("a", encoding="utf-8") as file:
                file.write(write_entry(entry) + "\n")
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot be written: {_reason(error)}; name another place with --measurements"
            ) from None

    def _start(self) -> None:
        """Write the header of a new file, and cut off what a stopped run left half written."""
        text = self._path.read_bytes() if self._path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if not whole:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(header(self._identity) + "\n", encoding="utf-8")
        elif len(whole) < len(text):
            self._path.write_bytes(whole)


def header(identity: str) -> str:
    """Return the first line of a store."""
    return json.dumps({"schema": SCHEMA, "identity": identity})


def check_header(line: str, identity: str, where: str) -> None:
    """Raise InputError unless the line is the header of a store of these measurements."""
    remedy = "move the file away, or name another with --measurements"
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    schema = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(schema, str) or not schema.startswith("headgate/measurements/"):
        raise InputError(f"{where}: holds no measurements of a sweep; {remedy}")
    if schema != SCHEMA:
        raise InputError(
            f"{where}: schema {schema} is not {SCHEMA}, it was made by another version; {remedy}"
        )
    if found.get("identity") != identity:
        raise InputError(
            f"{where}: holds measurements of {found.get('identity')!r}, and this sweep is of {identity!r}; "
            f"{remedy}"
        )


def write_entry(entry: Entry) -> str:
    """Return an entry as one line of JSON."""
    outcome = (
        {"refused": entry.result.reason}
        if isinstance(entry.result, Refusal)
        else {"measured": codec.to_plain(entry.result)}
    )
    return json.dumps({"point": codec.to_plain(entry.point), **outcome, "held_s": round(entry.held_s, 3)})


def read_entry(line: str, where: str) -> Entry:
    """Read one line; raises InputError that names the place and what is wrong."""
    try:
        data = json.loads(line)
        point = codec.from_plain(SweepPoint, data["point"])
        result: Measurement | Refusal = (
            Refusal(str(data["refused"]))
            if "refused" in data
            else codec.from_plain(Measurement, data["measured"])
        )
        return Entry(point, result, float(data["held_s"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}: is not a measurement ({error}); remove the line, or move the file away"
        ) from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
