"""Recommend from a real Prometheus that holds a week of recorded traffic."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from config.metrics import read_metrics
from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.policy import ClassMatch, PrometheusPolicy
from models.series import Floats, Series
from models.values import Role, Signal
from planner.cli import headgate
from planner.observe.live import Target
from planner.observe.past import PrometheusHistory
from planner.observe.preflight import missing_series
from planner.observe.prometheus import PrometheusServer
from tests import builders, components
from tests.integration import openmetrics
from tests.integration.openmetrics import MODEL, Export, Pod, Week
from tests.integration.prometheus_server import load, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(170)]

WEEK_S = 7 * 86_400.0
# Frontend a restarts on Wednesday between two of the five-minute points at which old history is read.
RESTART = 5003
# Nobody scraped for half an hour on Friday from 13:20 on.
HOLE = (8000, 8030)
PODS = (Pod("a", 0.6, restart_minute=RESTART, counted_before=1_000_000), Pod("b", 0.4))


@dataclass(frozen=True)
class Ground:
    """Hold the server, what was loaded into it, and files for the command line."""

    url: str
    week: Week
    config: Path
    state: Path

    def recommend(self, *arguments: str, at_s: float | None = None, state: Path | None = None) -> Result:
        at = datetime.fromtimestamp(self.week.end_s + 7 if at_s is None else at_s, UTC).isoformat()
        pools = str(state or self.state)
        fixed = ["recommend", "--config", str(self.config), "--cluster-state", pools, "--at", at]
        return CliRunner().invoke(headgate, [*fixed, *arguments], catch_exceptions=False)

    def history(self) -> dict[Signal, Series]:
        names = read_metrics("dynamo")
        server = PrometheusServer(PrometheusPolicy(self.url, "dynamo"))
        source = PrometheusHistory(server, names, Target(MODEL, [ClassMatch("chat")], {}))
        found = dict(source.history(self.week.end_s + 7, WEEK_S)["chat"])
        assert source.gaps == ()
        return found


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("prometheus")
    week = openmetrics.read_week(components.trace("azure_llm_2024_conv_week_1min.csv.gz"))
    load(openmetrics.write(folder, week, Export(PODS, HOLE, queue=True)), folder / "data")
    (folder / "profile.json").write_text(dump(_profile()))
    state = folder / "state.yaml"
    state.write_text("pools: {prefill: {replicas: 6}, decode: {replicas: 6}}\n")
    with serving(folder / "data", folder) as url:
        config = folder / "headgate.yaml"
        config.write_text(CONFIG.format(url=url))
        yield Ground(url, week, config, state)


CONFIG = """\
prometheus: {{url: "{url}", preset: dynamo}}
deployments:
  - name: chat
    model: gpt-oss-120b
    profile: profile.json
    budget: {{gpus: 40}}
    pools: {{prefill: {{min: 1}}, decode: {{min: 1}}}}
    classes: [{{name: chat, slo: {{ttft: 500ms, itl: 30ms}}}}]
"""


def _profile() -> ProfileArtifact:
    layouts = builders.layouts()
    chosen = {role: layout.parallelism.name for role, layout in layouts.items()}
    return ProfileArtifact(
        model=MODEL,
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="analytic",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=tuple(layouts.values()),
        selection=Selection(chosen, {Role.PREFILL: 1, Role.DECODE: 1}, 5, True, "for this test"),
    )


def true_rate(week: Week) -> Floats:
    return week.requests / 60.0


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_last_window_agrees_with_the_data(ground: Ground) -> None:
    said = answer(ground.recommend("-o", "json"))

    demand = said["demand"]["classes"]["chat"]
    rate = float(true_rate(ground.week)[-1])
    assert said["schema"] == "headgate/recommendation/v1"
    assert said["demand"]["age_s"] == pytest.approx(7.0)
    assert demand["arrivals_rps"] == pytest.approx(rate, rel=0.01)
    assert demand["prefill_tokens_per_s"] == pytest.approx(rate * openmetrics.INPUT[1], rel=0.01)
    assert demand["decode_tokens_per_s"] == pytest.approx(rate * openmetrics.OUTPUT[1], rel=0.01)
    mix = demand["mix"]["atoms"]
    assert sum(a["weight"] * a["isl_tokens"] for a in mix) == pytest.approx(openmetrics.INPUT[1], rel=0.01)
    assert len(mix) > 4


def test_the_history_of_the_week_agrees_with_the_data_restart_included(ground: Ground) -> None:
    history = ground.history()

    arrivals, true = history[Signal.ARRIVALS], true_rate(ground.week)
    known = arrivals.known
    assert (arrivals.start_s, len(arrivals)) == (ground.week.start_s, len(true))
    assert arrivals.values[known].sum() == pytest.approx(true[known].sum(), rel=0.01)
    # Every five minutes, too: that is how finely the older days are read.
    whole = known.reshape(-1, 5).all(axis=1)
    error = np.abs(arrivals.values.reshape(-1, 5).mean(axis=1) / true.reshape(-1, 5).mean(axis=1) - 1)
    assert error[whole].max() < 0.01
    for signal, mean in (
        (Signal.PREFILL_TOKENS, openmetrics.INPUT[1]),
        (Signal.DECODE_TOKENS, openmetrics.OUTPUT[1]),
    ):
        tokens = history[signal]
        assert tokens.values[known].sum() == pytest.approx(mean * true[known].sum(), rel=0.01)


def test_recent_days_are_read_by_the_minute(ground: Ground) -> None:
    arrivals = ground.history()[Signal.ARRIVALS]

    recent = slice(len(arrivals) - 2 * 1440, len(arrivals))
    known = arrivals.known[recent]
    assert arrivals.values[recent][known] == pytest.approx(true_rate(ground.week)[recent][known], rel=0.01)


def test_half_an_hour_without_samples_is_a_gap_and_nothing_else_is(ground: Ground) -> None:
    for series in ground.history().values():
        # The first sample after it also says nothing of its own minute.
        hole = (ground.week.start_s + 60.0 * HOLE[0], ground.week.start_s + 60.0 * (HOLE[1] + 1))
        assert series.gaps() == [hole]


def test_it_forecasts_and_recommends_a_fleet(ground: Ground) -> None:
    said = answer(ground.recommend("-o", "json"))

    rate = float(true_rate(ground.week)[-1])
    quantiles = said["forecast"]["classes"]["chat"]["arrivals"]["quantiles"]
    assert 0.5 * rate < quantiles["0.5"] < 2 * rate
    assert list(quantiles.values()) == sorted(quantiles.values())
    assert said["sizing"]["roles"]["prefill"]["target"] >= 1
    assert said["decision"]["final"]["decode"] < 6
    assert said["change"]
    assert "decode 6 -> 5" in said["summary"]
    assert any("31 minutes are unknown" in gap["reason"] for gap in said["gaps"])


def test_the_table_says_what_was_seen_and_what_is_unknown(ground: Ground) -> None:
    result = ground.recommend()

    assert result.exit_code == 0
    assert "Demand of chat over 1m to 2024-05-19T00:00:00Z: 19.1 requests/s" in result.stdout
    assert "Unknown: prefix cache of chat" in result.stdout
    assert "Unknown: history of chat: 31 minutes are unknown" in result.stdout


def test_yaml_and_json_say_the_same(ground: Ground) -> None:
    from config.document import read_text

    as_yaml = ground.recommend("-o", "yaml")

    assert read_text(as_yaml.stdout, "output").values == answer(ground.recommend("-o", "json"))


def test_a_moment_in_the_hole_is_held_and_lowers_nothing(ground: Ground) -> None:
    in_the_hole_s = ground.week.start_s + 60.0 * (HOLE[0] + 10)

    said = answer(ground.recommend("-o", "json", at_s=in_the_hole_s))

    assert said["held"]
    assert not said["change"]
    assert any("samples are missing since 10m ago" in gap["reason"] for gap in said["gaps"])


def test_before_anything_was_measured_it_is_held(ground: Ground) -> None:
    said = answer(ground.recommend("-o", "json", at_s=ground.week.start_s - 86_400.0))

    assert said["held"]
    assert said["demand"]["measured_at"] is None
    assert said["demand"]["classes"]["chat"]["arrivals_rps"] is None


@pytest.mark.parametrize(("hours", "code"), [(0.0, 3), (-240.0, 4)])
def test_the_exit_code_tells_a_change_from_a_hold(ground: Ground, hours: float, code: int) -> None:
    assert ground.recommend("--exit-code", at_s=ground.week.end_s + 3600 * hours).exit_code == code


def test_running_on_the_recommended_state_recommends_no_change(ground: Ground, tmp_path: Path) -> None:
    state, replicas = tmp_path / "state.json", {"prefill": 6, "decode": 6}
    changed = True
    # Downs go one step at a time: five of them at most from six to one.
    for _ in range(6):
        state.write_text(json.dumps({"pools": {role: {"replicas": n} for role, n in replicas.items()}}))
        said = answer(ground.recommend("-o", "json", state=state))
        changed, replicas = said["change"], said["decision"]["final"]
        if not changed:
            break

    assert not changed
    assert ground.recommend("--exit-code", state=state).exit_code == 0


def test_the_check_at_start_names_what_is_missing_and_what_it_costs(ground: Ground) -> None:
    names = read_metrics("dynamo")
    server = PrometheusServer(PrometheusPolicy(ground.url, "dynamo"))

    def missing(model: str, preset: str = "dynamo") -> dict[str, str]:
        target = Target(model, [ClassMatch("chat")], {})
        gaps = missing_series(server, read_metrics(preset), target, ground.week.end_s)
        return {gap.what: gap.reason for gap in gaps}

    assert names.preset == "dynamo"
    assert set(missing(MODEL)) == {"prefix cache of chat"}
    assert "hits are taken as none" in missing(MODEL)["prefix cache of chat"]
    other = missing("llama-3.1-70b")["demand of chat"]
    assert "there are series with model = 'gpt-oss-120b'" in other
    assert "is the preset 'vllm' right" in missing(MODEL, "vllm")["demand of chat"]
