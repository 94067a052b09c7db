"""The journal keeps every tick, survives crashes and full disks, and never stops a tick."""

import errno
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.decision import Decision, Outcome, Record, Status
from models.errors import StateError
from models.policy import JournalPolicy
from models.values import Role
from planner.record.journal import Journal, read_journal
from planner.record.line import GAP, LIKE, SCHEMA, to_line
from planner.record.memory import Memory
from planner.record.rotation import compress, journal_files, opened
from tests import builders
from tests.unit.record import telling

DAY_S = 86_400.0
NOON_S = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()


def record(at_s: float = NOON_S, tick: str = "t") -> Record:
    counts = {Role.PREFILL: 2, Role.DECODE: 1}
    return Record(
        tick_id=tick,
        deployment="shop",
        observation=builders.observation(at_s=at_s),
        forecast=builders.forecast({"pages": 100.0}, at_s=at_s),
        sizing=None,
        decision=Decision(counts, counts, counts),
        outcome=Outcome(Status.UNCHANGED),
        config_digest="sha256:c",
        profile_digest="sha256:p",
        version="0.1.0",
    )


def journal(folder: Path, **changes: int) -> Journal:
    return Journal(JournalPolicy(str(folder), **changes))


def ids(path: Path) -> list[str]:
    return [line.record.tick_id for line in read_journal(path) if line.record]


def test_records_come_back_in_order_and_equal(tmp_path: Path) -> None:
    written = [record(NOON_S + 60 * i, f"t{i}") for i in range(5)]
    kept = journal(tmp_path / "made" / "here")
    for one in written:
        kept.record(one)

    assert [line.record for line in read_journal(tmp_path / "made" / "here")] == written


def test_every_line_carries_the_schema(tmp_path: Path) -> None:
    journal(tmp_path).record(record())

    line = (tmp_path / "2026-11-27.000.jsonl").read_text()

    assert line.endswith("\n")
    assert json.loads(line)["schema"] == SCHEMA == "headgate/record/v1"


def test_a_new_day_begins_a_new_file(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    for i in range(3):
        kept.record(record(NOON_S + i * DAY_S, f"t{i}"))
        kept.settle()

    assert [f.name for f in journal_files(tmp_path)] == [
        "2026-11-27.000.jsonl.xz",
        "2026-11-28.000.jsonl.xz",
        "2026-11-29.000.jsonl",
    ]
    assert ids(tmp_path) == ["t0", "t1", "t2"]


def test_a_full_file_is_followed_by_the_next_number(tmp_path: Path) -> None:
    size = len(to_line(record(tick="t00"))) + 1
    kept = journal(tmp_path, rotate_bytes=2 * size, keep_files=1000)
    for i in range(23):
        kept.record(record(NOON_S + 60 * i, tick=f"t{i:02d}"))
    kept.settle()

    files = journal_files(tmp_path)
    assert len(files) == 12
    assert all(f.stat().st_size <= 2 * size for f in files)
    assert ids(tmp_path) == [f"t{i:02d}" for i in range(23)]


def test_the_oldest_file_goes_when_there_are_too_many(tmp_path: Path) -> None:
    kept = journal(tmp_path, keep_files=3)
    for i in range(6):
        kept.record(record(NOON_S + i * DAY_S, f"t{i}"))
        kept.settle()

    assert ids(tmp_path) == ["t3", "t4", "t5"]


def test_a_restart_appends_to_the_same_file(tmp_path: Path) -> None:
    journal(tmp_path).record(record(tick="before"))
    journal(tmp_path).record(record(tick="after"))

    assert len(journal_files(tmp_path)) == 1
    assert ids(tmp_path) == ["before", "after"]


def test_a_line_that_a_crash_cut_off_is_reported_and_loses_no_other(tmp_path: Path) -> None:
    journal(tmp_path).record(record(tick="whole"))
    file = journal_files(tmp_path)[0]
    with file.open("a") as cut:
        cut.write(to_line(record(tick="cut"))[:200])

    lines = list(read_journal(tmp_path))
    journal(tmp_path).record(record(tick="later"))

    assert [(line.record is None, line.problem) for line in lines] == [
        (False, ""),
        (True, "is cut off or not JSON"),
    ]
    assert lines[1].where == f"{file}:2"
    assert ids(tmp_path) == ["whole", "later"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2]", "is no record"),
        ('{"schema": "headgate/profile/v1"}', "is no record"),
        (
            '{"schema": "headgate/record/v1", "tick_id": "t"}',
            "is no whole record: deployment: field required",
        ),
        (b"\xff\xfe", "is not text"),
    ],
)
def test_a_line_that_is_no_record_is_reported(tmp_path: Path, text: str | bytes, problem: str) -> None:
    file = tmp_path / "2026-11-27.000.jsonl"
    file.write_bytes((text if isinstance(text, bytes) else text.encode()) + b"\n")

    [line] = read_journal(tmp_path)

    assert line.record is None
    assert line.problem == problem


def test_a_newer_line_is_told_with_its_moment_and_costs_no_other(tmp_path: Path) -> None:
    body = json.loads(to_line(record()))
    lines = [{**body, "schema": "headgate/record/v2"}, body, {"schema": "headgate/record/v3"}]
    (tmp_path / "2026-11-27.000.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))

    newer, known, bare = read_journal(tmp_path)

    assert (newer.form, newer.at_s, newer.record) == ("headgate/record/v2", NOON_S, None)
    assert "upgrade headgate" in newer.problem
    assert known.record == record()
    assert (bare.form, bare.at_s) == ("headgate/record/v3", None)


def test_lines_that_differ_from_a_newer_one_are_newer_too(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    for one in quarter_minutes(1.5):
        kept.record(one)
    [file] = journal_files(tmp_path)
    lines = file.read_text().splitlines()
    lines[0] = lines[0].replace(SCHEMA, "headgate/record/v2")
    file.write_text("\n".join(lines) + "\n")

    found = list(read_journal(tmp_path))

    assert [line.form for line in found] == ["headgate/record/v2"] * 4 + [""] * 2
    assert all(line.record is not None for line in found[4:])


def test_a_record_that_a_newer_version_gave_a_word_of_its_own_is_told_by_that_version(tmp_path: Path) -> None:
    body = json.loads(to_line(record()))
    body["version"], body["outcome"]["status"] = "9.1.0", "dreamt"
    (tmp_path / "2026-11-27.000.jsonl").write_text(json.dumps(body) + "\n")

    [line] = read_journal(tmp_path)

    assert (line.form, line.at_s) == ("headgate 9.1.0", NOON_S)


def test_a_compressed_file_that_is_damaged_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    for i in range(3):
        kept.record(record(NOON_S + i * DAY_S, f"t{i}"))
        kept.settle()
    first = journal_files(tmp_path)[0]
    first.write_bytes(first.read_bytes()[:-20])

    assert [line.problem[:35] for line in read_journal(tmp_path) if not line.record] == [
        "is damaged, and read no further: Co"
    ]
    assert ids(tmp_path)[-2:] == ["t1", "t2"]


def test_a_folder_without_a_journal_is_an_error_that_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="holds no journal; `headgate run` writes one"):
        list(read_journal(tmp_path))
    with pytest.raises(StateError, match="No such file"):
        list(read_journal(tmp_path / "absent.jsonl"))


def test_a_folder_that_cannot_be_made_costs_the_record_and_not_the_tick(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file stands where the folder should")
    kept = journal(tmp_path / "taken")

    with caplog.at_level(logging.ERROR):
        kept.record(record(tick="lost"))

    assert kept.trouble is not None
    assert "record lost is lost" in kept.trouble
    assert "set journal.dir" in caplog.text


def test_a_folder_that_cannot_be_written_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(StateError, match="cannot be written: File exists"):
        journal(tmp_path / "taken").writable()
    journal(tmp_path / "fine").writable()
    assert list((tmp_path / "fine").iterdir()) == []


def test_a_full_disk_leaves_no_half_line_and_the_next_record_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = journal(tmp_path)
    kept.record(record(tick="before"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        kept.record(record(tick="lost"))
    trouble = kept.trouble
    kept.record(record(tick="after"))

    assert trouble is not None
    assert "No space left on device" in trouble
    assert kept.trouble is None
    assert ids(tmp_path) == ["before", "after"]
    gap = [line.problem for line in read_journal(tmp_path) if not line.record]
    assert len(gap) == 1
    assert gap[0].startswith("1 records before this line were lost: ")


def test_a_device_that_is_really_full_is_told(tmp_path: Path) -> None:
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "2026-11-27.000.jsonl").symlink_to(device)
    kept = journal(tmp_path)

    kept.record(record())

    assert kept.trouble is not None
    assert "No space left on device" in kept.trouble


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    kept = journal(tmp_path, rotate_bytes=100_000, keep_files=1000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: kept.record(record(tick=f"t{i}")), range(100)))

    assert sorted(ids(tmp_path)) == sorted(f"t{i}" for i in range(100))


def test_memory_keeps_records_in_order() -> None:
    kept, first = Memory(), record()
    second = replace(first, tick_id="second")
    kept.record(first)
    kept.record(second)

    assert kept.records == [first, second]


def test_the_last_record_of_a_deployment_is_found_behind_others_and_a_cut_line(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.record(record(NOON_S - DAY_S, "old"))
    kept.record(record(NOON_S, "last"))
    kept.record(replace(record(NOON_S + 60, "other"), deployment="shop-2"))
    with journal_files(tmp_path)[-1].open("a") as file:
        file.write(to_line(record(NOON_S + 120, "cut"))[:-200])

    found = kept.last("shop")

    assert found == record(NOON_S, "last")
    assert kept.last("shop-2") is not None
    assert kept.last("sho") is None


def test_the_last_record_may_stand_in_the_file_before_the_newest(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.record(record(NOON_S, "last"))
    kept.record(replace(record(NOON_S + DAY_S, "other"), deployment="mail"))

    assert kept.last("shop") == record(NOON_S, "last")
    assert journal(tmp_path / "none").last("shop") is None


def test_what_a_newer_version_wrote_is_told_and_what_stands_before_it_read_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = journal(tmp_path)
    kept.record(record(tick="old"))
    kept.record(record(NOON_S + 60.0, tick="new"))
    file = journal_files(tmp_path)[0]
    first, second = file.read_text().splitlines()
    file.write_text(f"{first}\n{second.replace(SCHEMA, 'headgate/record/v9')}\n")

    with caplog.at_level(logging.WARNING):
        assert kept.last("shop") == record(tick="old")

    assert "headgate/record/v9" in caplog.text


def quarter_minutes(minutes: float) -> list[Record]:
    """Make records of ticks every 15 seconds: demand moves at each, the forecast once a minute."""
    made = []
    for i in range(round(4 * minutes)):
        at_s = NOON_S + 15 * i
        seen = builders.observation({"pages": 100.0 + i, "email": 20.0}, at_s=at_s)
        expected = replace(builders.forecast({"pages": 100.0 + i // 4}, at_s=at_s), at_s=at_s)
        made.append(replace(record(at_s, f"t{i}"), observation=seen, forecast=expected))
    return made


def schemas(folder: Path) -> list[str]:
    found = []
    for file in journal_files(folder):
        with opened(file) as lines:
            found += [json.loads(line)["schema"] for line in lines]
    return found


def test_between_two_minutes_a_line_says_only_what_changed_and_reads_back_whole(tmp_path: Path) -> None:
    kept, written = journal(tmp_path), quarter_minutes(3)
    for one in written:
        kept.record(one)

    assert schemas(tmp_path) == [SCHEMA, LIKE, LIKE, LIKE] * 3
    assert [line.record for line in read_journal(tmp_path)] == written
    assert kept.last("shop") == written[-1]


@pytest.mark.parametrize(
    "news",
    [
        {"outcome": Outcome(Status.HELD)},
        {"config_digest": "sha256:other"},
        {"decision": Decision({Role.PREFILL: 2, Role.DECODE: 1}, {}, {Role.PREFILL: 3, Role.DECODE: 1})},
        {"decision": Decision({Role.PREFILL: 3, Role.DECODE: 1}, {}, {Role.PREFILL: 2, Role.DECODE: 1})},
    ],
)
def test_a_record_that_says_something_new_is_written_whole(tmp_path: Path, news: dict[str, object]) -> None:
    kept, (first, second, *_) = journal(tmp_path), quarter_minutes(1)
    kept.record(first)
    kept.record(replace(second, **news))  # type: ignore[arg-type]

    assert schemas(tmp_path) == [SCHEMA, SCHEMA]


def test_every_file_can_be_read_without_the_others(tmp_path: Path) -> None:
    kept, written = journal(tmp_path, rotate_bytes=20_000, keep_files=1000), quarter_minutes(5)
    for one in written:
        kept.record(one)
    kept.settle()

    files = journal_files(tmp_path)
    assert len(files) > 2
    assert [line.record for file in files for line in read_journal(file)] == written


def test_a_line_whose_whole_record_was_changed_is_reported(tmp_path: Path) -> None:
    kept, written = journal(tmp_path), quarter_minutes(1)
    for one in written[:2]:
        kept.record(one)
    file = journal_files(tmp_path)[0]
    file.write_text(file.read_text().replace('"tick_id":"t0"', '"tick_id":"x0"', 1))

    assert [line.problem for line in read_journal(tmp_path)] == [
        "",
        "differs from record t0, which cannot be read",
    ]


def test_after_a_lost_whole_record_the_next_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[int] = []
    kept, written = Journal(JournalPolicy(str(tmp_path)), lambda: lost.append(1)), quarter_minutes(2)
    for one in written[:4]:
        kept.record(one)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        for one in written[4:6]:
            kept.record(one)
    for one in written[6:]:
        kept.record(one)

    assert len(lost) == 2
    assert schemas(tmp_path) == [SCHEMA, LIKE, LIKE, LIKE, GAP, SCHEMA, LIKE]
    assert [line.record for line in read_journal(tmp_path) if line.record] == written[:4] + written[6:]


def test_a_compression_that_was_cut_off_is_done_anew_and_loses_nothing(tmp_path: Path) -> None:
    kept = journal(tmp_path)
    kept.record(record(NOON_S, "old"))
    kept.record(record(NOON_S + DAY_S, "new"))
    kept.settle()
    old = journal_files(tmp_path)[0]
    plain = old.with_suffix("")
    with opened(old) as packed:
        plain.write_bytes(packed.read())
    (tmp_path / f".{plain.name}.part").write_bytes(b"half")
    assert ids(tmp_path) == ["old", "new"]

    compress(tmp_path)

    assert [f.name for f in journal_files(tmp_path)] == [old.name, "2026-11-28.000.jsonl"]
    assert not plain.exists()
    assert ids(plain) == ["old"]


def test_a_day_of_quarter_minutes_stays_within_twenty_megabytes(tmp_path: Path) -> None:
    """An hour of two roles and three classes, every figure as long as figures of a scaler are."""
    kept = journal(tmp_path, rotate_bytes=2_000_000)
    for one in telling.records(240):
        kept.record(one)
    kept.settle()
    (tmp_path / "2026-11-29.000.jsonl").touch()
    compress(tmp_path)

    day_bytes = 24 * sum(file.stat().st_size for file in journal_files(tmp_path))
    assert day_bytes < 20_000_000
