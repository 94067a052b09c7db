"""`headgate explain` tells one decision from its record alone, and what other counts would have attained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from models.decision import Record
from models.errors import HeadgateError
from models.values import Role
from planner.cli import headgate
from planner.record.line import SCHEMA, to_line
from planner.record.rotation import journal_files
from tests import builders
from tests.unit.report.journals import SETTING, decided, write

NOON_S = builders.AT_S
DAY_S = 86_400.0


def explain(journal: Path, *arguments: str) -> Result:
    return CliRunner().invoke(headgate, ["explain", "--journal", str(journal), *arguments])


def refusal(result: Result) -> str:
    assert isinstance(result.exception, HeadgateError), result.output
    return str(result.exception)


def words(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def asked(journal: Path, *counts: str) -> list[dict[str, object]]:
    questions = [part for each in counts for part in ("--why-not", each)]
    result = explain(journal, *questions, "-o", "json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["why_not"]
    return found


def test_the_newest_decision_is_told_from_the_outcome_down(tmp_path: Path) -> None:
    said = words(explain(write(tmp_path, [decided(), decided(NOON_S + 60, pages=120.0)])))

    parts = ["shop, 2023-11-14 22:14 UTC", "Outcome", "Seen", "Expected", "Sized", "Guards", "Tick"]
    assert [said.index(part) for part in parts] == sorted(said.index(part) for part in parts)
    assert "pages: 120 requests/s, 960k prefill tokens/s" in said
    assert "dry run: would change prefill 8 -> 11" in said
    # Start-up of 3 minutes as measured, a tick and the lag: the record's own horizon.
    assert "pages, highest within 4m15s: p50 120, p90 132, p99.5 144 requests/s" in said


def test_a_moment_shows_the_decision_that_held_then(tmp_path: Path) -> None:
    journal = write(tmp_path, [decided(NOON_S + 60 * i, pages=50.0 + i) for i in range(5)])

    assert "Tick shop@1700000120.000" in words(explain(journal, "2023-11-14T22:16:10Z"))
    assert "Tick shop@1700000060.000" in words(explain(journal, "shop@1700000060.000"))


def test_a_moment_early_in_a_day_is_answered_from_the_day_before(tmp_path: Path) -> None:
    midnight_s = NOON_S - NOON_S % DAY_S
    journal = write(tmp_path, [decided(midnight_s - 30), decided(midnight_s + 300)])

    assert len(journal_files(journal)) == 2
    assert f"Tick shop@{midnight_s - 30:.3f}" in words(explain(journal, "2023-11-14T00:01:00Z"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shop@1.000"], "holds no tick 'shop@1.000'; `headgate explain` without a tick shows the newest"),
        (["2023-11-14T20:00:00Z"], "no record that old; the first is of 2023-11-14 22:13 UTC"),
        (["2023-11-15T08:00:00Z"], "2023-11-15 08:00 UTC has no decision; the last one before"),
        (["--deployment", "mail"], "holds no whole record of mail"),
        (["--why-not", "aggregated=3"], "shop has the roles prefill and decode"),
    ],
)
def test_what_cannot_be_explained_says_what_there_is(tmp_path: Path, arguments: list[str], said: str) -> None:
    journal = write(tmp_path, [decided()])

    assert said in refusal(explain(journal, *arguments))


@pytest.mark.parametrize("count", ["0", "-1", "prefill=0", "prefill", "9" * 5000, "gpu=3", ""])
def test_a_count_that_nobody_can_run_is_a_usage_error(tmp_path: Path, count: str) -> None:
    result = explain(write(tmp_path, [decided()]), "--why-not", count)

    assert result.exit_code == 2, result.output


def test_several_deployments_want_a_name(tmp_path: Path) -> None:
    other = replace(decided(), deployment="mail", tick_id="mail@1700000000.000")
    journal = write(tmp_path, [decided(), other])

    assert "say --deployment mail|shop" in refusal(explain(journal))
    assert "shop, 2023" in words(explain(journal, "--deployment", "shop"))
    assert "mail, 2023" in words(explain(journal, "mail@1700000000.000"))


def test_why_not_agrees_with_what_the_record_says_of_its_neighbours(tmp_path: Path) -> None:
    record = decided(burn_rate=3.0)
    assert record.sizing is not None
    journal = write(tmp_path, [record])
    target = record.sizing.replicas()

    for role, sized in record.sizing.roles.items():
        both = f"prefill={target[Role.PREFILL]},decode={target[Role.DECODE]}"
        [here] = asked(journal, both)
        assert here["attained"]["attainment"] == pytest.approx(dict(record.sizing.attainment), abs=1e-12)  # type: ignore[index]
        for step, neighbour in ((-1, sized.fewer), (1, sized.more)):
            if neighbour is None:
                continue
            counts = {**target, role: target[role] + step}
            [found] = asked(journal, ",".join(f"{r}={n}" for r, n in counts.items()))
            kept = found["attained"]["attainment"]  # type: ignore[index]
            assert kept == pytest.approx(dict(neighbour.attainment), abs=1e-12)


def test_why_not_answers_for_any_count_and_names_what_stands_in_the_way(tmp_path: Path) -> None:
    journal = write(tmp_path, [decided(pages=120.0)])

    few, more, far = asked(journal, "prefill=9", "prefill=13", "decode=40")

    assert not few["enough"]
    assert "breaks first; it saves 2 GPUs" in str(few["sentence"])
    assert more["enough"]
    assert "does not need so many prefill; it takes 2 GPUs" in str(more["sentence"])
    assert far["obstacles"] == ["exceeds the 40-GPU budget by 131 GPUs"]


def test_a_plain_count_asks_about_each_role_and_the_decided_one_is_named_as_such(tmp_path: Path) -> None:
    found = asked(write(tmp_path, [decided(pages=120.0)]), "11")

    assert [each["counts"] for each in found] == [{"prefill": 11, "decode": 1}, {"prefill": 11, "decode": 11}]
    assert "prefill 11 and decode 1: this was decided" in str(found[0]["sentence"])


def test_a_guard_that_kept_more_is_named_as_the_reason(tmp_path: Path) -> None:
    record = decided(pages=60.0, ready=20)
    assert record.decision.adjustments, "the step down is bounded"
    assert record.sizing is not None

    [found] = asked(write(tmp_path, [record]), f"prefill={record.sizing.roles[Role.PREFILL].target}")

    assert "kept above it" in str(found["sentence"])


def test_without_its_setting_a_record_is_explained_and_other_counts_want_the_configuration(
    tmp_path: Path,
) -> None:
    journal = write(tmp_path, [decided()], setting=None)

    assert "Sized" in words(explain(journal))
    refused = explain(journal, "--why-not", "4")
    assert refused.exit_code == 2
    assert "say --config FILE as well" in refused.output


def test_a_sizing_that_this_version_does_not_reproduce_is_told(tmp_path: Path) -> None:
    record = decided()
    assert record.sizing is not None
    older = replace(record, version="0.0.1", sizing=replace(record.sizing, expected_attainment=0.5))

    said = words(explain(write(tmp_path, [older]), "--why-not", "7"))

    assert "sizes the same moment otherwise than Headgate 0.0.1 did" in said
    assert "otherwise" not in words(explain(write(tmp_path / "same", [record]), "--why-not", "7"))


def test_a_line_that_is_being_written_or_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    journal = write(tmp_path, [decided()])
    with journal_files(journal)[0].open("a") as file:
        file.write(to_line(decided(NOON_S + 60))[:500])

    assert "Tick shop@1700000000.000" in words(explain(journal))


def test_newer_lines_that_may_be_the_newest_decision_are_told(tmp_path: Path) -> None:
    journal = write(tmp_path, [decided(), decided(NOON_S + 60)])
    [file] = journal_files(journal)
    first, second = file.read_text().splitlines()
    file.write_text(f"{first}\n{second.replace(SCHEMA, 'headgate/record/v9')}\n")

    newest = words(explain(journal))
    assert "Tick shop@1700000000.000" in newest
    assert "1 line of 2023-11-14 22:14 UTC to 2023-11-14 22:14 UTC is headgate/record/v9" in newest
    assert json.loads(explain(journal, "-o", "json").stdout)["notes"]
    assert "headgate/record/v9" not in words(explain(journal, "2023-11-14T22:13:30Z"))
    assert "headgate/record/v9" in refusal(explain(journal, "2023-11-15T12:00:00Z"))


def test_a_folder_without_a_journal_says_who_writes_one(tmp_path: Path) -> None:
    assert "holds no journal; `headgate run` writes one" in refusal(explain(tmp_path))
    assert CliRunner().invoke(headgate, ["explain"]).exit_code == 2


def test_json_carries_the_whole_record(tmp_path: Path) -> None:
    record = decided()
    body = json.loads(explain(write(tmp_path, [record]), "-o", "json").stdout)

    assert body["schema"] == "headgate/explanation/v1"
    assert body["summary"] == str(record.decision)
    assert body["record"]["tick_id"] == record.tick_id


def test_control_characters_from_outside_do_not_reach_the_terminal(tmp_path: Path) -> None:
    record = decided()
    evil: Record = replace(record, outcome=replace(record.outcome, detail="\x1b[2J gone"))

    assert "\x1b" not in explain(write(tmp_path, [evil])).stdout


def test_a_damaged_setting_is_named_with_its_file(tmp_path: Path) -> None:
    journal = write(tmp_path, [decided()])
    [file] = journal.glob("setting-*.json")
    file.write_text("{")

    assert f"{file}: is no setting that this version can read" in refusal(explain(journal, "--why-not", "4"))
    assert SETTING.policy.deployment == "shop"
