"""A restart goes on from what the journal's last record had learned."""

from pathlib import Path

from models.decision import Decision, Outcome, Record, Status
from models.readiness import Readiness, StartUp, readiness
from models.values import Role
from planner import wiring
from planner.commands.resuming import time_to_ready
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


def planned(chosen: Deployment) -> dict[Role, Readiness]:
    return time_to_ready(chosen).learn(builders.observation(at_s=builders.AT_S + 9999))


def test_start_ups_of_the_last_record_count_from_the_first_tick_on(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    journaled(tmp_path, chosen, chosen.served.profile_digest)

    found = planned(chosen)

    assert found[Role.DECODE].startup_s == 300.0
    assert found[Role.DECODE].seen == SLOW
    assert found[Role.PREFILL].seen == ()


def test_start_ups_of_another_profile_are_left(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    journaled(tmp_path, chosen, "sha256:another")

    assert planned(chosen)[Role.DECODE].seen == ()


def test_without_a_journal_the_stated_times_count(tmp_path: Path) -> None:
    chosen = deployment(tmp_path)
    policy = chosen.loaded.settings.journal.to_policy()

    assert planned(chosen)[Role.DECODE].startup_s == chosen.policy.plan.pools[Role.DECODE].startup_s
    assert not Path(policy.directory).exists()
