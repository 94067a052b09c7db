"""Any CSV of measured demand is read as it stands; what cannot be read is told with its line and column."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.errors import TraceError
from planner.observe.seriesfile import Reading, read_series

START = datetime(2026, 11, 27, tzinfo=UTC)
START_S = START.timestamp()


def written(folder: Path, *lines: str) -> Path:
    path = folder / "demand.csv"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def minutes(values: list[object], header: str = "timestamp,rps") -> list[str]:
    return [header, *(f"{START_S + 60 * i:.0f},{value}" for i, value in enumerate(values))]


def read(folder: Path, *lines: str) -> Reading:
    (found,) = read_series(written(folder, *lines))
    return found


@pytest.mark.parametrize(
    "stamp",
    [
        lambda i: f"{START_S + 60 * i:.0f}",
        lambda i: f"{START_S * 1000 + 60_000 * i:.0f}",
        lambda i: f"{START + timedelta(minutes=i):%Y-%m-%dT%H:%M:%SZ}",
        lambda i: f"{START + timedelta(minutes=i):%Y-%m-%d %H:%M:%S}",
        lambda i: f"{START + timedelta(minutes=i + 330):%Y-%m-%dT%H:%M:%S}+05:30",
    ],
    ids=["seconds", "milliseconds", "rfc3339", "spaced", "zone"],
)
def test_times_are_read_however_they_are_written(tmp_path: Path, stamp: object) -> None:
    assert callable(stamp)
    found = read(tmp_path, "timestamp,rps", *(f"{stamp(i)},{i}" for i in range(5)))

    assert found.series.start_s == START_S
    assert found.series.step_s == 60.0
    assert found.series.values.tolist() == [0, 1, 2, 3, 4]
    assert found.notes == ()


def test_gzip_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    path.write_bytes(gzip.compress("\n".join(minutes([1, 2, 3])).encode()))

    assert read_series(path)[0].series.values.tolist() == [1, 2, 3]


def test_what_is_missing_is_a_gap_and_never_a_zero(tmp_path: Path) -> None:
    found = read(tmp_path, *minutes([1, "", "NaN", "null", "inf", 6]), f"{START_S + 600:.0f},7")

    assert found.series.known.tolist() == [True, *4 * [False], True, *4 * [False], True]
    assert found.notes == (
        "4 values are missing or not finite",
        "2 gaps, 8m in all, the longest 4m",
    )


def test_disorder_and_repeats_are_mended_and_counted(tmp_path: Path) -> None:
    rows = [f"{START_S + 60 * i:.0f},{v}" for i, v in ((0, 1), (3, 4), (1, 2), (2, 9), (2, 3))]

    found = read(tmp_path, "timestamp,rps", *rows)

    assert found.series.values.tolist() == [1, 2, 3, 4]
    assert found.notes == (
        "1 rows were out of order, and were sorted",
        "1 rows repeat a timestamp; the last of each counts",
    )


def test_finer_measurements_are_averaged_over_the_planners_minute(tmp_path: Path) -> None:
    rows = [f"{START_S + 15 * i + 0.1 * (i % 3):.1f},{i}" for i in range(12)]

    found = read(tmp_path, "time,rps", *rows)

    assert (found.series.step_s, found.series.values.tolist()) == (60.0, [1.5, 5.5, 9.5])
    assert found.notes == ("values every 15s were averaged over 1m",)


def test_a_step_is_what_was_measured_and_never_finer(tmp_path: Path) -> None:
    path = written(tmp_path, "t_s,rps", *(f"{600 * i},{i}" for i in range(12)))

    assert read_series(path)[0].series.step_s == 600.0
    coarser = read_series(path, step_s=1800.0)[0].series
    assert (coarser.step_s, coarser.values.tolist()) == (1800.0, [1, 4, 7, 10])
    with pytest.raises(TraceError, match="one value is measured every 10m; a step of 1m would be finer"):
        read_series(path, step_s=60.0)


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    path = written(
        tmp_path, "zone,timestamp,requests,tokens", *(f"eu,{60 * i},{i},{100 * i}" for i in range(3))
    )

    one, two = read_series(path, ["tokens", "requests"])

    assert (one.name, one.series.values.tolist()) == ("demand.csv tokens", [0, 100, 200])
    assert (two.name, two.series.values.tolist()) == ("demand.csv requests", [0, 1, 2])
    with pytest.raises(TraceError, match="has columns requests, tokens; choose with --column"):
        read_series(path)
    with pytest.raises(TraceError, match="has no column 'token'; there are zone, requests, tokens"):
        read_series(path, ["token"])


def test_a_column_of_dates_needs_no_known_name(tmp_path: Path) -> None:
    found = read(tmp_path, "Zeitpunkt,rps", "2026-11-27T00:00:00Z,1", "2026-11-27T00:01:00Z,2")

    assert found.series.start_s == START_S


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (minutes([1, "many", 3]), "line 3, column rps: 'many' is not a number"),
        (minutes([1, 2, -3]), "line 4, column rps: '-3' is below zero"),
        (["timestamp,rps", "2026-11-27T00:00:00Z,1", "", "soon,2"], "line 4, column timestamp: 'soon' is no"),
        (["timestamp,rps", "60,1", "-60,2"], "line 3, column timestamp: '-60' is no time between 1970"),
        (["timestamp,rps", "60,1", "120"], "line 3 has 1 fields where the header has 2"),
        (["timestamp,rps", "60,1"], "needs rows at two times at least, and has 1"),
        (["timestamp,rps"], "has no column of numbers beside timestamp"),
        (["timestamp", "60", "120"], "has no column of numbers beside timestamp"),
        (["day,hour,requests", "0,0,5", "0,1,6"], "line 1 names no column of times: day, hour, requests"),
        (["timestamp,rps", "0,1", "60,1", "120,1", "4000000000,1"], "a timestamp is wrong"),
    ],
    ids=[
        "word",
        "negative",
        "no time",
        "before 1970",
        "cut row",
        "one row",
        "no rows",
        "no value",
        "no time",
        "far",
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(TraceError) as told:
        read(tmp_path, *lines)

    assert str(told.value).startswith(str(tmp_path / "demand.csv"))
    assert said in str(told.value)


def test_a_month_of_minutes_keeps_every_value(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 500, 43_200)

    found = read(tmp_path, *minutes(values.tolist()))

    assert np.array_equal(found.series.values, values)
