"""A restart goes on from what the journal's last record had learned."""

import json
from collections.abc import Mapping
from pathlib import Path

from click.testing import CliRunner

from models.decision import Decision, Outcome, Record, Status
from models.readiness import Readiness, StartUp, readiness
from models.values import Role
from planner import wiring
from planner.cli import headgate
from planner.commands.resuming import learner
from planner.record.journal import Journal
from planner.wiring import Deployment
from tests import builders
from tests.unit.loop.ground import prepare

COUNTS = {Role.PREFILL: 2, Role.DECODE: 1}
SLOW = tuple(StartUp(builders.AT_S + 600 * i, 2, 240.0, 300.0) for i in range(12))


def deployment(folder: Path) -> Deployment:
    return wiring.deployment(wiring.read_config(prepare(folder, "http://127.0.0.1:9")))


def journaled(folder: Path, chosen: Deployment, profile_digest: str) -> None:
    record = Record(
        tick_id="shop@1",
        deployment="shop",
        observation=builders.observation(),
        forecast=builders.forecast({"pages": 100.0}),
        sizing=None,
        decision=Decision(COUNTS, COUNTS, COUNTS),
        outcome=Outcome(Status.UNCHANGED),
        config_digest="",
        profile_digest=profile_digest,
        version="0",
        readiness={Role.DECODE: readiness(SLOW, chosen.policy.plan.pools[Role.DECODE])},
    )
    Journal(chosen.loaded.settings.journal.to_policy()).record(record)


def planned(chosen: Deployment) -> Mapping[Role, Readiness]:
    return learner(chosen).learn(builders.observation(at_s=builders.AT_S + 9999))


def test_start_ups_of_the_last_record_count_from_the_first_tick_on(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    journaled(tmp_path, chosen, chosen.served.profile_digest)

    found = planned(chosen)

    assert found[Role.DECODE].startup_s == 300.0
    assert found[Role.DECODE].seen == SLOW
    assert found[Role.PREFILL].seen == ()


def test_a_recommendation_of_now_plans_with_them_as_the_scaler_does(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    journaled(tmp_path, chosen, chosen.served.profile_digest)
    config, state = str(tmp_path / "headgate.yaml"), str(tmp_path / "state.yaml")
    arguments = ["recommend", "--config", config, "--cluster-state", state, "-o", "json"]

    now = json.loads(CliRunner().invoke(headgate, arguments).stdout)
    then = json.loads(CliRunner().invoke(headgate, [*arguments, "--at", "2026-01-01T00:00:00Z"]).stdout)

    plan = chosen.policy.plan
    assert (
        now["start_up"]["decode"]["sentence"]
        == "ready within 5m (P90 of 24 replicas in 12 orders; 2m stated)"
    )
    assert now["start_up"]["prefill"]["orders"] == 0
    assert "seen" not in now["start_up"]["decode"]
    assert now["forecast"]["horizon_s"] == 300.0 + plan.interval_s + plan.observation_lag_s
    # What was learned since is not known at a moment of the past.
    assert then["start_up"] == {}
    assert then["forecast"]["horizon_s"] == plan.ready_horizon_s()


def test_start_ups_of_another_profile_are_left(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    journaled(tmp_path, chosen, "sha256:another")

    assert planned(chosen)[Role.DECODE].seen == ()


def test_without_a_journal_the_stated_times_count(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    policy = chosen.loaded.settings.journal.to_policy()

    assert planned(chosen)[Role.DECODE].startup_s == chosen.policy.plan.pools[Role.DECODE].startup_s
    assert not Path(policy.directory).exists()
