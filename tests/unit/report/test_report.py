"""`headgate report` takes journals as they come, and every format says the same."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.decision import Record
from models.errors import HeadgateError
from models.observation import Gap
from models.render.exchange import to_csv, to_markdown
from models.render.formats import moment
from models.render.grid import Column, Grid
from models.track.score import oracle_path
from planner.cli import headgate
from planner.record.line import SCHEMA, to_line
from planner.record.rotation import journal_files
from planner.record.setting import read_setting
from planner.report.tracks import read_tracks
from tests import builders
from tests.unit.report.journals import SETTING, decided, write

MINUTE_S = 60.0


def records(count: int = 90, **changes: Any) -> list[Record]:
    """Decide once a minute while demand swings."""
    return [
        replace(decided(builders.AT_S + MINUTE_S * i, pages=80.0 + i % 40), **changes) for i in range(count)
    ]


def report(journal: Path, *arguments: str) -> Result:
    return CliRunner().invoke(headgate, ["report", "--journal", str(journal), *arguments])


def deployments(journal: Path, *arguments: str) -> list[dict[str, Any]]:
    result = report(journal, *arguments, "-o", "json")
    assert result.exception is None, result.output
    body = json.loads(result.stdout)
    assert body["schema"] == "headgate/track/v1"
    found: list[dict[str, Any]] = body["deployments"]
    return found


def refusal(result: Result) -> str:
    assert isinstance(result.exception, HeadgateError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("journal"), records())


def test_every_format_tells_the_same_figures(journal: Path) -> None:
    [told] = deployments(journal)
    whole = told["spans"][-1]

    table = report(journal, "-o", "wide").stdout
    rows = list(csv.DictReader(io.StringIO(report(journal, "-o", "csv").stdout)))
    markdown = report(journal, "-o", "markdown").stdout

    assert [(r["span_days"], r["fleet"]) for r in rows][:3] == [
        ("1", "headgate"),
        ("1", "as it ran"),
        ("1", "oracle"),
    ]
    assert float(rows[-3]["gpu_hours"]) == whole["judged"]["gpu_h"]
    assert float(rows[-3]["attainment_pages"]) == whole["judged"]["attainment"]["pages"]
    assert rows[-1]["coverage"] == ""
    assert rows[0]["ready"] == "false"
    cells = [
        [c.strip() for c in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"
    ]
    assert ["history", "at least 7 days", "0.1 days", "no"] in cells
    for check in told["checks"]:
        assert check["found"] in table
        assert check["found"] in markdown


def test_the_page_holds_all_of_it(journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "track.html"
    result = report(journal, "--out", str(out))

    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert "Not ready to act: shop" in page
    assert "Track record of shop" in page
    assert out.stat().st_size < 1_500_000


def test_the_exit_code_says_not_ready_where_it_is_asked_for(journal: Path) -> None:
    assert report(journal).exit_code == 0
    assert report(journal, "--exit-code").exit_code == 3


def test_several_deployments_are_judged_apart(tmp_path: Path) -> None:
    others = records(deployment="mail")
    policy = replace(SETTING.policy, deployment="mail")
    write(tmp_path, records())
    write(tmp_path, others, replace(SETTING, policy=policy))

    assert [each["deployment"] for each in deployments(tmp_path)] == ["shop", "mail"]
    assert [each["deployment"] for each in deployments(tmp_path, "--deployment", "mail")] == ["mail"]
    assert "holds no record of web" in refusal(report(tmp_path, "--deployment", "web"))


def test_minutes_without_demand_are_unknown_and_never_a_zero(tmp_path: Path) -> None:
    whole = records(60)
    blind = [
        replace(each, observation=replace(each.observation, demand={}, gaps=(Gap("demand", "no answer"),)))
        for each in whole[20:40]
    ]
    [told] = deployments(write(tmp_path, [*whole[:20], *blind, *whole[40:]]))

    assert told["spans"][-1]["known_ratio"] == pytest.approx(40 / 60)
    assert told["spans"][-1]["days"] == pytest.approx(1 / 24)


def test_a_pause_in_the_journal_is_not_recorded_time(tmp_path: Path) -> None:
    whole = records(180)
    [told] = deployments(write(tmp_path, [*whole[:30], *whole[150:]]))

    assert told["spans"][-1]["days"] == pytest.approx(1 / 24)
    assert told["spans"][-1]["known_ratio"] == 1.0


def test_demand_that_is_nowhere_known_gives_no_verdict(tmp_path: Path) -> None:
    blind = [replace(each, observation=replace(each.observation, demand={})) for each in records(5)]
    [told] = deployments(write(tmp_path, blind))

    assert told["ready"] is None
    assert told["spans"] == []
    assert "its demand is nowhere known" in told["verdict"]
    assert report(tmp_path, "--exit-code").exit_code == 3


def test_an_empty_journal_says_who_writes_one(tmp_path: Path) -> None:
    assert "holds no journal; `headgate run` writes one" in refusal(report(tmp_path))
    (tmp_path / "2026-11-27.000.jsonl").touch()
    assert "holds no record yet; wait for the first tick" in refusal(report(tmp_path))


def test_a_journal_that_is_being_written_to_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    write(tmp_path, records(30))
    with journal_files(tmp_path)[-1].open("a") as file:
        file.write(to_line(decided())[:700])

    [told] = deployments(tmp_path)

    assert told["records"] == 30
    assert told["notes"] == ["the last line is still being written, or was cut off"]


def test_lines_that_a_crash_cut_are_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path, records(30))
    [file] = journal_files(tmp_path)
    lines = file.read_text().splitlines()
    lines[3], lines[7] = lines[3][:100], "{}"
    file.write_text("\n".join(lines) + "\n")

    [told] = deployments(tmp_path)

    assert told["records"] == 28
    assert told["notes"] == [f"2 lines could not be read, the first: {file}:4 is cut off or not JSON"]


def altered(folder: Path, change: Callable[[int, str], str]) -> Path:
    """Change the lines of a journal's only file, each given its number from 0."""
    [file] = journal_files(folder)
    lines = file.read_text().splitlines()
    file.write_text("".join(change(i, line) + "\n" for i, line in enumerate(lines)))
    return folder


def test_lines_of_an_older_version_are_read(tmp_path: Path) -> None:
    def older(i: int, line: str) -> str:
        body: dict[str, Any] = json.loads(line)
        return json.dumps({k: body[k] for k in body if k not in ("share", "burn_rate", "readiness")})

    altered(write(tmp_path, records(30)), older)

    [told] = deployments(tmp_path)
    assert (told["records"], told["notes"], told["passed_over"]) == (30, [], [])


def test_lines_of_a_newer_version_are_counted_with_their_times_and_the_rest_is_scored(tmp_path: Path) -> None:
    def newer(i: int, line: str) -> str:
        return line.replace(SCHEMA, "headgate/record/v9") if 9 <= i < 21 else line

    altered(write(tmp_path, records(30)), newer)

    [told] = deployments(tmp_path)

    begin_s, until_s = builders.AT_S + 9 * MINUTE_S, builders.AT_S + 20 * MINUTE_S
    assert told["records"] == 18
    assert told["spans"][-1]["days"] == pytest.approx(18 / 1440)
    assert told["passed_over"] == [
        {"form": "headgate/record/v9", "lines": 12, "from_s": begin_s, "until_s": until_s}
    ]
    said = f"12 lines of {moment(begin_s)} to {moment(until_s)} are headgate/record/v9"
    assert said in told["notes"][0]
    assert said in told["verdict"]
    assert said in report(tmp_path).stdout
    csv_result = report(tmp_path, "-o", "csv")
    assert said in csv_result.stderr
    assert said not in csv_result.stdout


def test_a_journal_of_nothing_but_newer_lines_asks_for_an_upgrade(tmp_path: Path) -> None:
    altered(write(tmp_path, records(5)), lambda i, line: line.replace(SCHEMA, "headgate/record/v9"))

    said = refusal(report(tmp_path))
    assert "holds no record that can be read; 5 lines" in said
    assert "headgate/record/v9, which this version does not know, and count nowhere: upgrade headgate" in said


def test_a_setting_that_cannot_be_read_costs_its_own_records_alone(tmp_path: Path) -> None:
    write(tmp_path, records(30))
    policy = replace(SETTING.policy, config_digest="sha256:d")
    write(
        tmp_path,
        [
            replace(each, config_digest="sha256:d", observation=replace(each.observation, at_s=at_s))
            for each in records(5)
            for at_s in [each.observation.at_s + 40 * MINUTE_S]
        ],
        replace(SETTING, policy=policy),
    )
    for file in tmp_path.glob("setting-*.json"):
        if "sha256:d" in file.read_text():
            file.write_text(file.read_text().replace("headgate/setting/v1", "headgate/setting/v7"))

    [told] = deployments(tmp_path)

    assert told["records"] == 30
    [note] = told["notes"]
    assert note.startswith("5 records lack what they were decided with, and are left out: ")
    assert "headgate/setting/v7" in note


def test_records_whose_setting_lacks_want_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, records(5), setting=None)

    assert "does not hold what its 5 records were decided with: say --config FILE" in refusal(
        report(tmp_path)
    )


def test_records_of_a_second_process_are_left_out_and_told(tmp_path: Path) -> None:
    whole = records(60)
    [told] = deployments(write(tmp_path, [*whole, *whole[10:20]]))

    assert told["records"] == 60
    assert any("10 records lie before others" in note for note in told["notes"])


def test_a_place_that_may_not_be_written_is_told_before_the_work(journal: Path, tmp_path: Path) -> None:
    assert "does not exist" in report(journal, "--out", str(tmp_path / "none" / "x.html")).output
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert "may not be written" in report(journal, "--out", str(tmp_path / "x.html")).output


def test_criteria_come_from_the_journal(tmp_path: Path) -> None:
    lax = replace(
        SETTING,
        criteria=replace(
            SETTING.criteria,
            least_days=0.01,
            least_coverage=0.0,
            most_coverage=1.0,
            under_ratio=1.0,
            over_ratio=9.0,
        ),
    )
    [told] = deployments(write(tmp_path, records(60), lax))

    found: Mapping[str, bool] = {check["name"]: check["holds"] for check in told["checks"]}
    assert found["history"]
    assert found["time under need"]
    assert told["criteria"]["least_days"] == 0.01


def test_csv_survives_commas_quotes_and_formulas() -> None:
    rows = [{"name": 'a, "b"\nc', "run": "=1+1", "value": -1.5, "yes": True, "none": None}]
    [back] = list(csv.DictReader(io.StringIO(to_csv(rows))))

    assert back == {"name": 'a, "b"\nc', "run": "'=1+1", "value": "-1.5", "yes": "true", "none": ""}
    assert to_csv([]) == ""


def test_markdown_escapes_what_would_break_a_table() -> None:
    text = to_markdown(Grid("a|b", (Column("x"), Column("y", numeric=True)), (("p|q", "<b>"),)))

    assert text.splitlines() == ["**a\\|b**", "", "| x | y |", "| --- | ---: |", "| p\\|q | \\<b\\> |"]


def test_the_oracle_stays_inside_the_budget(tmp_path: Path) -> None:
    policy = replace(SETTING.policy, plan=replace(SETTING.policy.plan, budget_gpus=12))
    write(tmp_path, records(), replace(SETTING, policy=policy))
    [told] = read_tracks(tmp_path, lambda record: read_setting(tmp_path, record), 28)

    assert oracle_path(told.track, 0).gpus.max() <= 12
