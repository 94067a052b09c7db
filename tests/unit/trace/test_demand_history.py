"""Read demand from before a trace, and refuse what cannot be it."""

from pathlib import Path

import pytest

from models.errors import TraceError
from models.values import Signal
from planner.observe.demand_history import read_history

HEADER = "timestamp,requests,input_tokens,output_tokens"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "history.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_totals_per_minute_become_rates_per_second(tmp_path: Path) -> None:
    path = write(tmp_path, "600,120,6000,600", "660,60,3000,300", "720,0,0,0")

    series = read_history(path, ["chat"]).series["chat"]

    assert series[Signal.ARRIVALS].values.tolist() == [2.0, 1.0, 0.0]
    assert series[Signal.PREFILL_TOKENS].values.tolist() == [100.0, 50.0, 0.0]
    assert series[Signal.DECODE_TOKENS].values.tolist() == [10.0, 5.0, 0.0]
    assert (series[Signal.ARRIVALS].start_s, series[Signal.ARRIVALS].step_s) == (600.0, 60.0)


def test_a_missing_or_broken_minute_is_a_gap_and_not_a_zero(tmp_path: Path) -> None:
    path = write(tmp_path, "600,1,9,9", "660,1,9,9", "720,-4,9,9", "780,1,9,9", "900,1,9,9")

    read = read_history(path, ["chat"])

    assert read.series["chat"][Signal.ARRIVALS].known.tolist() == [True, True, False, True, False, True]
    assert read.notes == ("history.csv: 1 of 5 rows are not usable and count as gaps: line 4",)


def test_classes_are_told_apart_by_their_column(tmp_path: Path) -> None:
    rows = [f"{t},{n},900,90,{name}" for t in (600, 660) for n, name in ((60, "chat"), (6, "mail"))]

    found = read_history(write(tmp_path, *rows, header=f"{HEADER},class"), ["chat", "mail"]).series

    assert found["chat"][Signal.ARRIVALS].values.tolist() == [1.0, 1.0]
    assert found["mail"][Signal.ARRIVALS].values.tolist() == [0.1, 0.1]


@pytest.mark.parametrize(
    ("header", "rows", "classes", "says"),
    [
        ("timestamp,requests", ["1,2"], ["chat"], "missing: input_tokens"),
        (HEADER, ["600,1,9,9", "660,1,9,9"], ["chat", "mail"], "no `class` column"),
        (HEADER, [], ["chat"], "nothing after the header"),
        (HEADER, ["600,1,9,9"], ["chat"], "fewer than two usable rows"),
        (HEADER, ["600,1,9,9", "610,1,9,9", "620,1,9,9"], ["chat"], "closer than a minute"),
        (HEADER, ["600,9,1,9", "660,9,1,9"], ["chat"], "fewer input tokens than requests"),
        (f"{HEADER},class", ["600,1,9,9,x", "660,1,9,9,x"], ["chat"], "class 'x' is not configured"),
        (HEADER, ["600,1,9,9", "660,1,9,9", "4000000000,1,9,9"], ["chat"], "a timestamp is wrong"),
    ],
)
def test_a_history_that_cannot_be_used_says_why(
    tmp_path: Path, header: str, rows: list[str], classes: list[str], says: str
) -> None:
    with pytest.raises(TraceError, match=says):
        read_history(write(tmp_path, *rows, header=header), classes)


def test_coarser_totals_are_rates_over_their_own_step(tmp_path: Path) -> None:
    path = write(tmp_path, "600,600,6000,600", "1200,1200,6000,600")

    arrivals = read_history(path, ["chat"]).series["chat"][Signal.ARRIVALS]

    assert (arrivals.step_s, arrivals.values.tolist()) == (600.0, [1.0, 2.0])
