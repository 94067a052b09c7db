"""Append every record to a journal of JSON lines on disk, and read a journal back.

A folder holds files named by UTC day and number, `2026-11-27.000.jsonl`; a new one begins with a new day
and when the last one is full, those before it are compressed, and the oldest is deleted when there are too
many. A record is written whole on every change and once a minute; a line in between says only in what it
differs from that one, which stands before it in the same file. Every line is flushed to the disk (fsync)
before the tick ends: one costs milliseconds, and a crash then loses at most the tick it interrupts.
"""

import errno
import json
import logging
import lzma
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.decision import Record
from models.errors import StateError
from models.policy import JournalPolicy
from planner.record.line import (
    SCHEMA,
    Body,
    BrokenLineError,
    NewerLineError,
    Unfolding,
    body_of,
    dumped,
    to_gap,
    to_line_like,
)
from planner.record.rotation import compress, current, journal_files, opened

_LOG = logging.getLogger(__name__)
# Files in which the latest record of a deployment is looked for: it ticks every minute, or is long gone.
_NEWEST = 2
# A record is written whole at least this often: as often as its forecast changes.
WHOLE_S = 60.0
_WHOLE_LINE = b'{"schema":' + json.dumps(SCHEMA).encode()


@dataclass(frozen=True, slots=True)
class _Whole:
    """Hold the last record of a deployment that was written whole: where, when, and as plain data."""

    file: Path
    record: Record
    body: Body


@dataclass(slots=True)
class _Lost:
    """Count the records since the last one that was written."""

    records: int = 0
    from_s: float = 0.0
    until_s: float = 0.0


class Journal:
    """Implement the Recorder port; one process writes to a folder, from any number of threads."""

    def __init__(self, policy: JournalPolicy, lost: Callable[[], None] = lambda: None) -> None:
        """Prepare to write; the folder is made with the first record. `lost` is called for each lost one."""
        self._folder = Path(policy.directory)
        self._policy = policy
        self._tell_lost = lost
        self._lock = threading.Lock()
        self._whole: dict[str, _Whole] = {}
        self._lost = _Lost()
        self._compressing: threading.Thread | None = None
        self.trouble: str | None = None

    def record(self, record: Record) -> None:
        """Append one tick; what the disk refuses is logged and kept in `trouble`, and never raised."""
        body = body_of(record)
        with self._lock:
            try:
                self._append(record, body)
            except OSError as error:
                self._miss(record, error)
            else:
                self._recover()

    def writable(self) -> None:
        """Check that records can be kept; raises StateError that says why not."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._folder / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise StateError(
                f"journal {self._folder}: cannot be written: {error.strerror or error}; "
                "check its permissions, or set journal.dir"
            ) from None

    def last(self, deployment: str) -> Record | None:
        """Return the latest record of a deployment in the newest files; `None` where none can be read."""
        wanted = b'"deployment":' + json.dumps(deployment, ensure_ascii=False).encode()
        for file in reversed(journal_files(self._folder)[-_NEWEST:]):
            try:
                found, newer = _last_in(file, wanted, deployment)
            except (OSError, EOFError, lzma.LZMAError) as error:
                _LOG.warning("what was learned before is not read back: %s", error)
                return None
            if newer:
                _LOG.warning("%s: what was learned there is not read back: %s", newer.where, newer.problem)
            if found is not None:
                return found
        return None

    def settle(self) -> None:
        """Wait until what is being compressed is done."""
        if self._compressing is not None:
            self._compressing.join()

    def _append(self, record: Record, body: Body) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        day = datetime.fromtimestamp(record.observation.at_s, UTC).date().isoformat()
        whole = self._whole.get(record.deployment)
        short = None if whole is None or _is_news(record, whole.record) else to_line_like(body, whole.body)
        line = dumped(body) if short is None else short
        path, new = current(self._policy, day, len(line.encode()) + 1)
        if short is not None and (whole is None or path != whole.file):
            # What it differs from would be in another file, that may go before this one.
            line, short = dumped(body), None
            path, new = current(self._policy, day, len(line.encode()) + 1)
        self._write(path, line.encode() + b"\n")
        if short is None:
            self._whole[record.deployment] = _Whole(path, record, body)
        if new:
            self._compress()

    def _write(self, path: Path, line: bytes) -> None:
        """Append a line, and before it what was lost since the last one; whole or not at all."""
        lost = self._lost
        if lost.records:
            line = to_gap(lost.records, lost.from_s, lost.until_s, self.trouble or "").encode() + b"\n" + line
        # Unbuffered: what a full disk refused must not be tried again when the file closes.
        with path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end and not _ends_whole(path):
                # A crash cut the last line; it must not swallow this one.
                line = b"\n" + line
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                # Half a line would cost a reader; if even this fails, the next record begins on a new one.
                with suppress(OSError):
                    file.truncate(end)
                raise

    def _miss(self, record: Record, error: OSError) -> None:
        at_s = record.observation.at_s
        first_s = self._lost.from_s if self._lost.records else at_s
        self._lost = _Lost(self._lost.records + 1, first_s, at_s)
        self.trouble = (
            f"journal {self._folder}: record {record.tick_id} is lost: {error.strerror or error}; "
            "check free space and permissions, or set journal.dir"
        )
        self._tell_lost()
        _LOG.error("%s", self.trouble)

    def _recover(self) -> None:
        if self._lost.records:
            _LOG.warning(
                "journal %s: is written again; %d records were lost", self._folder, self._lost.records
            )
        self._lost, self.trouble = _Lost(), None

    def _compress(self) -> None:
        """Compress the files before the current one, beside the ticks."""
        if self._compressing is None or not self._compressing.is_alive():
            # A process that ends leaves the rest to its successor.
            self._compressing = threading.Thread(
                target=compress, args=(self._folder,), name="journal", daemon=True
            )
            self._compressing.start()


def _is_news(record: Record, whole: Record) -> bool:
    """Say whether a record must be written whole: something changed, or a minute has passed."""
    since_s = record.observation.at_s - whole.observation.at_s
    return (
        record.decision.final != whole.decision.final
        or record.decision.current != whole.decision.current
        or record.outcome.status is not whole.outcome.status
        or record.config_digest != whole.config_digest
        or record.profile_digest != whole.profile_digest
        or not 0 <= since_s < WHOLE_S
    )


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line of a journal: a record, or where it stands and what is wrong with it.

    `form` is the schema or the version of a record that a newer Headgate wrote in a form not known here, and
    `at_s` (Unix seconds) when that was, as far as it can be told.
    """

    where: str
    record: Record | None
    problem: str = ""
    form: str = ""
    at_s: float | None = None


def read_journal(path: Path) -> Iterator[Line]:
    """Yield the lines of a journal's folder, or of one of its files, in order.

    A line that a crash cut off, that was changed, or that a newer version wrote comes with its problem and
    no record, as does a compressed file from where it is damaged: what stands around is read all the same.

    Raises StateError when there is no journal, or it cannot be read.
    """
    files = journal_files(path) if path.is_dir() else [path]
    if not files:
        raise StateError(f"{path}: holds no journal; `headgate run` writes one")
    for file in files:
        unfolding = Unfolding()
        try:
            with opened(file) as lines:
                for number, raw in enumerate(lines, start=1):
                    where = f"{file}:{number}"
                    if raw.strip():
                        yield _line(where, raw, unfolding)
        except (EOFError, lzma.LZMAError) as error:
            # What was compressed in it is lost from here on; the files after it are not.
            yield Line(str(file), None, f"is damaged, and read no further: {error}")
        except OSError as error:
            raise StateError(f"{file}: cannot be read: {error.strerror or error}") from None


def _last_in(file: Path, wanted: bytes, deployment: str) -> tuple[Record | None, Line | None]:
    """Return the last record of a file whose line holds `wanted`, reading as few lines as will do.

    Beside it comes the last line after that record which a newer version wrote, if there is one.
    """
    before: list[bytes] = []
    block: list[bytes] = []
    with opened(file) as every:
        for raw in every:
            if wanted in raw:
                if raw.startswith(_WHOLE_LINE):
                    # Of what stands before it only the last block is kept: a crash cuts one line at most.
                    before, block = block, []
                block.append(raw)
    unfolding = Unfolding()
    found: Record | None = None
    newer: Line | None = None
    for raw in (*before, *block):
        line = _line(str(file), raw, unfolding)
        if line.record is not None and line.record.deployment == deployment:
            found, newer = line.record, None
        elif line.form:
            newer = line
    return found, newer


def _line(where: str, raw: bytes, unfolding: Unfolding) -> Line:
    try:
        return Line(where, unfolding.record(raw.decode("utf-8")))
    except NewerLineError as error:
        return Line(where, None, str(error), error.form, error.at_s)
    except (BrokenLineError, UnicodeDecodeError) as error:
        problem = "is not text" if isinstance(error, UnicodeDecodeError) else str(error)
        return Line(where, None, problem)


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
