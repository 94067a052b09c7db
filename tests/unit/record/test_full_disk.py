"""A disk that fills up cuts a line short; the journal says what was lost, and goes on."""

import subprocess
import sys
from pathlib import Path

from planner.record.journal import read_journal
from tests.components import REPOSITORY

WRITES = """
import resource, sys
from models.policy import JournalPolicy
from planner.record.journal import Journal
from tests.unit.record import telling

lost = []
journal = Journal(JournalPolicy(sys.argv[1]), lambda: lost.append(1))
records = list(telling.records(12))
# A write that goes beyond is cut short, and the next refused, as on a full disk.
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, most))
for record in records[:8]:
    journal.record(record)
assert journal.trouble, "nothing was refused"
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
for record in records[8:]:
    journal.record(record)
assert journal.trouble is None
print(len(lost))
"""


def test_what_a_full_disk_cost_is_counted_and_said_and_nothing_else_is_lost(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WRITES, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    lost = int(ran.stdout)

    lines = list(read_journal(tmp_path))

    assert 0 < lost < 8
    assert sum(line.record is not None for line in lines) == 12 - lost
    assert [line.problem for line in lines if line.record is None] == [
        f"{lost} records before this line were lost: {reason(tmp_path, ran.stderr)}"
    ]


def reason(folder: Path, said: str) -> str:
    """Return what the last refused record was told of, as the log says it."""
    return next(line for line in reversed(said.splitlines()) if line.startswith(f"journal {folder}: record"))
