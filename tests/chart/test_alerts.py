"""Each alert fires on what it is about, stays silent on what it is not, and says what to do."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests import components
from tests.chart.alerts import Case, group, led, once, rules

SHOP = {"deployment": "shop"}
PAGES = {**SHOP, "class": "pages", "signal": "arrivals"}
DECODE = {**SHOP, "role": "decode"}

TRUSTED = 'headgate_forecast_trusted{deployment="shop", class="pages", signal="arrivals"}'
HELD_UP = 'headgate_forecast_fit_held_up{deployment="shop", class="pages", signal="arrivals"}'
LIMITED = 'headgate_sizing_limited{deployment="shop", role="decode", limit="budget"}'
STUCK = 'headgate_pool_replicas{deployment="shop", role="decode", state="stuck"}'
STARTING = 'headgate_pool_replicas{deployment="shop", role="decode", state="starting"}'
PREDICTED = 'headgate_attainment_predicted_ratio{deployment="shop", class="pages"}'
TARGET = 'headgate_attainment_target_ratio{deployment="shop"}'
TICKED = 'headgate_last_tick_timestamp_seconds{deployment="shop"}'
STUCK_BY = 'headgate_replicas_stuck{{deployment="shop", role="decode", obstacle="{}"}}'
REFUSED = 'headgate_nodes_refused{{deployment="shop", place="agent pool", state="{}"}}'


def ticks(status: str) -> str:
    return f'headgate_ticks_total{{deployment="shop", status="{status}"}}'


# Per alert: cases in which it fires, then cases in which it does not.
CASES: dict[str, list[Case]] = {
    "HeadgateNoLeader": [
        Case(led({}, leader="1+0x30 0+0x170"), fires=[{}]),
        Case({"up": "0+0x200"}, fires=[{}]),
        Case(led({})),
        # A hand-over.
        Case(led({}, leader="1+0x86 0+0x1 1+0x100")),
    ],
    "HeadgateNoTick": [
        Case(led({TICKED: "3600+0x200"}), fires=[SHOP]),
        Case(led({TICKED: "0+60x200"})),
        # The other one took over.
        Case({**once({TICKED: "0+60x20 1200+0x180"}), **led({TICKED: "1200+60x200"})}),
    ],
    "HeadgateTicksFail": [
        Case(led({ticks("failed"): "0+1x200", ticks("applied"): "0+0x200"}), fires=[SHOP]),
        Case(led({'headgate_ticks_failed_total{deployment="shop"}': "0+1x200"}), fires=[SHOP]),
        Case(led({ticks("failed"): "0+1x200", ticks("unchanged"): "0+1x200"})),
        Case(led({ticks("failed"): "0+0x200"})),
    ],
    "HeadgateQuotaRefused": [
        Case(led({STUCK_BY.format("quota"): "2+0x200"}), fires=[SHOP]),
        Case(led({REFUSED.format("capacity"): "1+0x200"}), fires=[SHOP]),
        Case(led({STUCK_BY.format("image"): "2+0x200", REFUSED.format("quota"): "0+0x200"})),
        Case(once({STUCK_BY.format("quota"): "2+0x200"})),
    ],
    "HeadgateConfigRefused": [
        Case(led({"headgate_config_refused": "1+0x200"}), fires=[{}]),
        Case(led({"headgate_config_refused": "0+0x200"})),
        Case(led({"headgate_config_refused": "0+0x85 1+0x100"})),
    ],
    "HeadgateJournalFails": [
        Case(led({"headgate_journal_records_lost_total": "0+1x200"}), fires=[{}]),
        Case(led({"headgate_journal_records_lost_total": "7+0x200"})),
    ],
    "HeadgateHeldTooLong": [
        Case(led({ticks("held"): "0+1x200", ticks("unchanged"): "7+0x200"}), fires=[SHOP]),
        Case(led({ticks("held"): "0+1x200", ticks("unchanged"): "0+1x200"})),
        Case(led({ticks("held"): "0+0x200", ticks("unchanged"): "0+1x200"})),
    ],
    "HeadgateForecastDemoted": [
        Case(led({TRUSTED: "1+0x50 0+0x150"}), fires=[PAGES]),
        Case(led({TRUSTED: "1+0x200"})),
        Case(led({TRUSTED: "1+0x70 0+0x130"})),
        Case(once({TRUSTED: "0+0x200"})),
    ],
    "HeadgateFitHeldUp": [
        Case(led({HELD_UP: "1+0x200"}), at="150m", fires=[PAGES]),
        Case(led({HELD_UP: "0+0x200"}), at="150m"),
        Case(once({HELD_UP: "1+0x200"}), at="150m"),
    ],
    "HeadgateBudgetBinds": [
        Case(led({LIMITED: "1+0x200"}), fires=[{**DECODE, "limit": "budget"}]),
        Case(led({LIMITED: "0+0x200"})),
        Case(once({LIMITED: "1+0x200"})),
    ],
    "HeadgateRoleStuck": [
        Case(led({STUCK: "2+0x200", STARTING: "2+0x200"}), fires=[DECODE]),
        Case(led({STUCK: "0+0x200", STARTING: "2+0x200"})),
        Case(once({STUCK: "2+0x200"})),
    ],
    "HeadgateAttainmentUnderTarget": [
        Case(led({PREDICTED: "0.95+0x200", TARGET: "0.99+0x200"}), fires=[{**SHOP, "class": "pages"}]),
        Case(led({PREDICTED: "0.985+0x200", TARGET: "0.99+0x200"})),
        Case(once({PREDICTED: "0.5+0x200", TARGET: "0.99+0x200"})),
    ],
}


def test_every_alert_has_cases_on_both_sides() -> None:
    assert set(CASES) == set(rules())
    for name, cases in CASES.items():
        assert any(case.fires for case in cases), name
        assert any(not case.fires for case in cases), name


@pytest.mark.parametrize("name", sorted(rules()))
def test_an_alert_says_what_happens_and_what_to_do(name: str) -> None:
    rule = rules()[name]

    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook"}
    steps = [line for line in said["runbook"].splitlines() if line[:1].isdigit()]
    assert len(steps) >= 2, "a runbook is steps"
    assert [step.split(".")[0] for step in steps] == [str(n) for n in range(1, len(steps) + 1)]


@pytest.mark.integration
def test_prometheus_reads_the_rules(tmp_path: Path) -> None:
    _rules(tmp_path)

    checked = _promtool(tmp_path, "check", "rules", "rules.yaml")

    assert checked.returncode == 0, checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout


@pytest.mark.integration
@pytest.mark.parametrize("name", sorted(CASES))
def test_an_alert_fires_when_it_should_and_not_otherwise(name: str, tmp_path: Path) -> None:
    _rules(tmp_path)
    (tmp_path / "test.yaml").write_text(
        json.dumps({"rule_files": ["rules.yaml"], "tests": [_test(name, case) for case in CASES[name]]})
    )

    ran = _promtool(tmp_path, "test", "rules", "test.yaml")

    assert ran.returncode == 0, ran.stdout + ran.stderr


def _test(name: str, case: Case) -> dict[str, object]:
    """Write a case as promtool reads it: labels are compared, and the texts that go with them."""
    rule = rules()[name]
    expected = [
        {
            "exp_labels": {**rule["labels"], **labels},
            "exp_annotations": _filled(rule["annotations"], labels, case),
        }
        for labels in case.fires
    ]
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": name, "exp_alerts": expected}],
    }


def _filled(annotations: Mapping[str, str], labels: Mapping[str, str], case: Case) -> dict[str, str]:
    """Fill in what the alert's templates show: its labels, and the value of the series that it is about."""
    values = {name.partition("{")[0]: said for name, said in case.series.items() if "leader" not in name}
    value = next(iter(values.values()), "").split("+")[0]
    shown = {"{{ $value }}": value, "{{ $value | humanizePercentage }}": f"{_percent(value)}%"}
    shown |= {f"{{{{ $labels.{key} }}}}": said for key, said in labels.items()}
    filled = dict(annotations)
    for template, text in shown.items():
        filled = {key: said.replace(template, text) for key, said in filled.items()}
    return filled


def _percent(value: str) -> str:
    try:
        return f"{float(value) * 100:.4g}"
    except ValueError:
        return ""


def _rules(folder: Path) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group()]}))


def _promtool(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [components.promtool(), *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
