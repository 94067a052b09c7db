"""Write tables for a terminal or a pipe: plain text, aligned, nothing that only a terminal understands."""

from collections.abc import Sequence

from models.artifact import Profile
from models.decision import Record
from models.render.formats import moment, share, words
from models.render.grid import plain, to_text
from models.render.pool_grid import pool_grids
from models.render.profile_facts import effort_facts
from models.render.profile_fit_grid import fit_grid
from models.render.profile_grid import layout_grid, left_out_grid
from models.render.profile_ranking_grid import ranking_grid
from models.render.recommendation_grid import demand_grid, guard_grid, headline, role_grid
from models.render.replay_grid import verdict_grid
from models.render.sizing_worth import worth_lines
from models.render.verdict import judge
from models.simulation.scorecard import ReplayResult


def replay_table(result: ReplayResult, wide: bool = False) -> str:
    """Write the verdict table of a replay, one row per policy, and what it shows in words."""
    return f"{to_text(verdict_grid(result), wide)}\n{plain(str(judge(result)))}\n"


def recommendation_table(records: Record | Sequence[Record], wide: bool = False) -> str:
    """Write each deployment's recommendation: counts per role, then one sentence per role with its reason."""
    several = [records] if isinstance(records, Record) else list(records)
    return "\n".join(_recommendation(record, wide) for record in several)


def pool_table(records: Sequence[Record], wide: bool = False) -> str:
    """Write how the deployments of these records share their pools of GPUs; empty where they share none."""
    grids = pool_grids(records)
    return "\n".join(f"{plain(grid.caption)}\n\n{to_text(grid, wide)}" for grid in grids)


def profile_table(profile: Profile, wide: bool = False) -> str:
    """Write the layouts of a profile, the selection with its reason, and what was left out."""
    artifact = profile.artifact
    head = f"{artifact.model} on {artifact.hardware}, {artifact.engine}, {artifact.backend}"
    parts = [f"{plain(head)}\n{plain(profile.digest)}\n", to_text(layout_grid(profile), wide)]
    if artifact.selection:
        chosen = [f"Selected: {artifact.selection.why}"]
        if artifact.selection.runner_up:
            chosen.append(f"Runner-up: {artifact.selection.runner_up}: {artifact.selection.runner_up_lost}")
        parts.append("".join(f"{plain(line)}\n" for line in chosen))
        if artifact.selection.ranking:
            parts.append(to_text(ranking_grid(profile), wide))
        changes = [f"Would change the choice: {line}" for line in artifact.selection.would_change]
        if changes:
            parts.append("".join(f"{plain(line)}\n" for line in changes))
    if wide and (errors := fit_grid(profile)).rows:
        parts.append(to_text(errors, wide))
    if effort := effort_facts(artifact):
        parts.append("".join(f"{plain(name)}: {plain(value)}\n" for name, value in effort))
    if artifact.left_out:
        parts.append(to_text(left_out_grid(artifact.left_out), wide))
    return "\n".join(parts)


def _recommendation(record: Record, wide: bool) -> str:
    head = f"{record.deployment} at {moment(record.observation.at_s)}: {headline(record)}"
    lines = [plain(record.decision.sentence(role)) for role in record.decision.final]
    if record.sizing:
        predicted = [f"{name} {share(met)}" for name, met in record.sizing.attainment.items()]
        lines.append(f"Predicted to keep their promise: {plain(words(predicted))}.")
        if record.sizing.extrapolated:
            lines.append("The profile was read outside what it measured: treat the figures with caution.")
        lines += [plain(f"{what}: {told}.") for what, told in worth_lines(record.sizing)]
    lines += [plain(f"Unknown: {gap.what}: {gap.reason}") for gap in record.observation.gaps]
    parts = [f"{plain(head)}\n\n{to_text(role_grid(record), wide)}"]
    if wide:
        parts += [to_text(demand_grid(record), wide), to_text(guard_grid(record), wide)]
    return "\n".join([*parts, "".join(f"{line}\n" for line in lines)])
