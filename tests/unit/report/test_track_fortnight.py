"""The track record of a real fortnight: good decisions are found good, and each way of being bad is found."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.values import Role
from planner.cli import headgate as program
from tests.unit.report import fortnight
from tests.unit.report.fortnight import Counts, Minute

LAG_STEPS = 18
# Three days are enough to compare a followed fleet with a watched one.
WATCHED = 432


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep one journal a policy, of the same fortnight."""
    folder = tmp_path_factory.mktemp("fortnight")
    series = fortnight.recorded()
    known = [minute for minute in series if minute.rps is not None]
    needs = [fortnight.fleet_of(minute) for minute in known[::6]]
    roles = (Role.PREFILL, Role.DECODE)
    most = {role: max(need[role] for need in needs) for role in roles}
    least = {role: min(need[role] for need in needs) for role in roles}
    fortnight.headgate(folder / "headgate", series, acts=True, begin=most)
    begin = {role: 2 * n for role, n in most.items()}
    fortnight.headgate(folder / "watched", series[:WATCHED], acts=False, begin=begin)
    fortnight.other(folder / "too-small", series, lambda i: least)
    fortnight.other(folder / "too-large", series, lambda i: {r: 2 * n for r, n in most.items()})
    fortnight.other(folder / "lagging", series, lambda i: _late(series, i, most))
    return folder


def _late(series: list[Minute], i: int, most: Counts) -> Counts:
    """Size each hour for what came three hours ago."""
    at = i - i % 6 - LAG_STEPS
    return fortnight.fleet_of(series[at]) if at >= 0 and series[at].rps is not None else most


def report(journal: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(program, ["report", "--journal", str(journal), "-o", "json", *arguments])
    assert result.exception is None, result.output
    [found] = json.loads(result.stdout)["deployments"]
    body: dict[str, Any] = found
    return body


def lacking(journal: Path) -> list[str]:
    return [check["name"] for check in report(journal)["checks"] if not check["holds"]]


@pytest.mark.slow
def test_headgate_keeps_its_promise_near_the_oracle_and_is_ready(journals: Path) -> None:
    said = report(journals / "headgate")
    whole = said["spans"][-1]

    assert said["ready"], said["verdict"]
    assert [span["span_days"] for span in said["spans"]] == [1, 7, 28]
    # 37 of 2,016 windows are empty.
    assert whole["known_ratio"] == pytest.approx(1 - 37 / 2016, abs=1e-9)
    assert whole["days"] == pytest.approx(14.0)
    assert len(said["days"]) == 14


@pytest.mark.slow
def test_a_fleet_that_is_too_small_breaks_its_promise(journals: Path) -> None:
    found = lacking(journals / "too-small")

    assert "promise of chat" in found
    assert "time under need" in found
    assert "GPU-hours over the oracle" not in found


@pytest.mark.slow
def test_a_fleet_that_is_too_large_wastes(journals: Path) -> None:
    assert lacking(journals / "too-large") == ["GPU-hours over the oracle", "coverage of p90"]


@pytest.mark.slow
def test_a_fleet_that_follows_three_hours_late_is_found_under_its_need(journals: Path) -> None:
    assert {"promise of chat", "time under need"} <= set(lacking(journals / "lagging"))


@pytest.mark.slow
def test_advice_that_nobody_follows_is_scored_as_if_followed_and_beside_what_ran(journals: Path) -> None:
    followed, advised = report(journals / "headgate")["days"], report(journals / "watched")

    assert not advised["acted"]
    # The same forecasts, guards and bounds. The recorded sizing saw a fleet twice as large: what runs need
    # not start and is released with more care, which moves counts by one now and then.
    for ran, shadow in list(zip(followed, advised["days"], strict=False))[1:3]:
        assert shadow["judged"]["gpu_h"] == pytest.approx(ran["judged"]["gpu_h"], rel=0.1)
        kept = ran["judged"]["attainment"]["chat"]
        assert shadow["judged"]["attainment"]["chat"] == pytest.approx(kept, abs=0.03)
        assert shadow["ran"]["gpu_h"] > 1.5 * shadow["judged"]["gpu_h"]
    assert "more than Headgate's" in advised["verdict"]


@pytest.mark.slow
def test_scores_reproduce_from_the_journal_alone(journals: Path, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    copied.mkdir()
    for file in (journals / "headgate").iterdir():
        (copied / file.name).write_bytes(file.read_bytes())

    assert report(copied) == report(journals / "headgate")
