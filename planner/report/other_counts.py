"""Replay a record's sizing for counts that were not chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from models.decision import Record
from models.errors import StateError
from models.plan.what_if import WhatIf, what_if
from models.speed import corrected
from models.values import Role
from planner.record.setting import Setting
from planner.tick import plan, planned_with

_CHANGED = (
    "{what} has changed since this decision: what other counts would attain is computed with the present one"
)
_RESIZED = (
    "this version sizes the same moment otherwise than Headgate {version} did: what other counts would "
    "attain is as this version sees it"
)


@dataclass(frozen=True, slots=True)
class Others:
    """Hold the decided fleet and those asked about as the record's moment judges them.

    `notes` say why the figures may be other than those that were decided by. `horizon_s` is how far ahead an
    order had to be placed.
    """

    decided: WhatIf | None
    asked: tuple[WhatIf, ...]
    notes: tuple[str, ...]
    horizon_s: float


def other_counts(record: Record, setting: Setting, asked: Sequence[Mapping[Role, int]]) -> Others:
    """Judge other counts by the scenarios of a record; roles that are not named stay as decided.

    Raises StateError where the record holds no demand to judge by, or a role that the deployment lacks.
    """
    roles = setting.layouts
    decided = {role: record.decision.final[role] for role in roles if role in record.decision.final}
    if len(decided) < len(roles):
        raise StateError(f"{record.tick_id}: was decided for other roles than {' and '.join(roles)}")
    if any(role not in roles for counts in asked for role in counts):
        raise StateError(
            f"{record.deployment} has the roles {' and '.join(roles)}; say for example {next(iter(roles))}=4"
        )
    policy = planned_with(setting.policy.plan, record.readiness, record.share, record.burn_rate)
    fleets = [decided, *({**decided, **counts} for counts in asked)] if asked else []
    found = what_if(record.observation, record.forecast, corrected(roles, policy.pools), policy, fleets)
    if asked and not found:
        raise StateError(
            f"{record.tick_id}: saw no demand that could be sized for, so no count can be judged by it"
        )
    return Others(
        found[0] if found else None,
        tuple(found[1:]),
        _notes(record, setting) if asked else (),
        policy.ready_horizon_s(),
    )


def _notes(record: Record, setting: Setting) -> tuple[str, ...]:
    if setting.policy.config_digest != record.config_digest:
        return (_CHANGED.format(what="the configuration"),)
    if setting.profile_digest != record.profile_digest:
        return (_CHANGED.format(what="the profile"),)
    sizing, _ = plan(
        record.observation,
        record.forecast,
        setting.policy,
        setting.layouts,
        record.readiness,
        record.share,
        record.burn_rate,
    )
    # What other layouts would save is no count, and the setting does not hold them.
    if record.sizing is None or sizing == replace(record.sizing, reshape=None):
        return ()
    return (_RESIZED.format(version=record.version),)
