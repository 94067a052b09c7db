"""Fill a journal's folder as `headgate run` does, with records and what they were decided with."""

from collections.abc import Sequence
from pathlib import Path

from models.decision import Record
from models.policy import DecidePolicy, ForecastPolicy, JournalPolicy, TickPolicy
from models.readiness import Readiness
from models.values import Role
from planner.act.dryrun import DryRun
from planner.record.journal import Journal
from planner.record.setting import Setting, write_setting
from planner.tick import plan
from tests import builders

POLICY = TickPolicy(
    "shop", ForecastPolicy(), builders.plan_policy(budget_gpus=40), DecidePolicy(), config_digest="sha256:c"
)
SETTING = Setting(POLICY, builders.layouts(), "sha256:p")


def decided(
    at_s: float = builders.AT_S,
    pages: float = 100.0,
    ready: int = 8,
    deployment: str = "shop",
    burn_rate: float = 1.0,
) -> Record:
    """Decide once, as a tick does."""
    rates = {"pages": pages, "email": 20.0}
    seen = builders.observation(rates, {Role.PREFILL: ready, Role.DECODE: 2}, at_s)
    expected = builders.forecast(rates, at_s=at_s)
    measured = {Role.PREFILL: Readiness(180.0, 600.0)}
    sizing, decision = plan(seen, expected, POLICY, builders.layouts(), measured, burn_rate=burn_rate)
    return Record(
        tick_id=f"{deployment}@{at_s:.3f}",
        deployment=deployment,
        observation=seen,
        forecast=expected,
        sizing=sizing,
        decision=decision,
        outcome=DryRun().act(decision, seen),
        config_digest="sha256:c",
        profile_digest="sha256:p",
        version="0.1.0",
        readiness=measured,
        burn_rate=burn_rate,
    )


def write(folder: Path, records: Sequence[Record], setting: Setting | None = SETTING) -> Path:
    """Write records, and the setting unless it is to be lacking."""
    if setting is not None:
        write_setting(folder, setting)
    journal = Journal(JournalPolicy(str(folder)))
    for record in records:
        journal.record(record)
    return folder
