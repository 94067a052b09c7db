"""Append every record to a journal of JSON lines on disk, and read a journal back.

A folder holds files named by UTC day and number, `2026-11-27.000.jsonl`; a new one begins with a new day
and when the last one is full, and the oldest is deleted when there are too many. Every record is flushed to
the disk (fsync) before the tick ends: one a minute costs milliseconds, and a crash then loses at most the
tick it interrupts.
"""

import errno
import json
import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from models.decision import Record
from models.errors import StateError
from models.policy import JournalPolicy
from planner.record.line import BrokenLineError, from_line, to_line

_LOG = logging.getLogger(__name__)
# Files in which the latest record of a deployment is looked for: it ticks every minute, or is long gone.
_NEWEST = 2
_PATTERN = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].[0-9]*.jsonl"


class Journal:
    """Implement the Recorder port; one process writes to a folder, from any number of threads."""

    def __init__(self, policy: JournalPolicy) -> None:
        """Prepare to write; the folder is made with the first record."""
        self._folder = Path(policy.directory)
        self._policy = policy
        self._lock = Lock()
        self.trouble: str | None = None

    def record(self, record: Record) -> None:
        """Append one tick; what the disk refuses is logged and kept in `trouble`, and never raised."""
        line = to_line(record).encode() + b"\n"
        day = datetime.fromtimestamp(record.observation.at_s, UTC).date().isoformat()
        with self._lock:
            try:
                self._append(day, line)
            except OSError as error:
                self.trouble = (
                    f"journal {self._folder}: record {record.tick_id} is lost: {error.strerror or error}; "
                    "check free space and permissions, or set journal.dir"
                )
                _LOG.error("%s", self.trouble)
            else:
                self.trouble = None

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
                with file.open("rb") as lines:
                    # A crash may have cut the last line; the one before it is whole.
                    found = deque((raw for raw in lines if wanted in raw), maxlen=2)
                for raw in reversed(found):
                    record = _line(str(file), raw).record
                    if record is not None and record.deployment == deployment:
                        return record
            except (OSError, StateError) as error:
                _LOG.warning("what was learned before is not read back: %s", error)
                return None
        return None

    def _append(self, day: str, line: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._current(day, len(line))
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

    def _current(self, day: str, size: int) -> Path:
        files = journal_files(self._folder)
        today = [f for f in files if f.name.startswith(day)]
        if today and today[-1].stat().st_size + size <= self._policy.rotate_bytes:
            return today[-1]
        number = int(today[-1].name.split(".")[1]) + 1 if today else 0
        for old in files[: max(len(files) + 1 - self._policy.keep_files, 0)]:
            old.unlink(missing_ok=True)
        return self._folder / f"{day}.{number:03d}.jsonl"


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line of a journal: a record, or where it stands and what is wrong with it."""

    where: str
    record: Record | None
    problem: str = ""


def journal_files(folder: Path) -> list[Path]:
    """Return the files of a journal, oldest first."""
    return sorted(folder.glob(_PATTERN), key=lambda f: (f.name[:10], int(f.name.split(".")[1])))


def read_journal(path: Path) -> Iterator[Line]:
    """Yield the lines of a journal's folder, or of one of its files, in order.

    A line that a crash cut off, or that was changed, comes with its problem and no record.

    Raises StateError when there is no journal, it cannot be read, or it was written by a newer version.
    """
    files = journal_files(path) if path.is_dir() else [path]
    if not files:
        raise StateError(f"{path}: holds no journal; `headgate run` writes one")
    for file in files:
        try:
            with file.open("rb") as lines:
                for number, raw in enumerate(lines, start=1):
                    where = f"{file}:{number}"
                    if raw.strip():
                        yield _line(where, raw)
        except OSError as error:
            raise StateError(f"{file}: cannot be read: {error.strerror or error}") from None


def _line(where: str, raw: bytes) -> Line:
    try:
        return Line(where, from_line(raw.decode("utf-8")))
    except (BrokenLineError, UnicodeDecodeError) as error:
        problem = "is not text" if isinstance(error, UnicodeDecodeError) else str(error)
        return Line(where, None, problem)
    except StateError as error:
        raise StateError(f"{where}: {error}") from None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
