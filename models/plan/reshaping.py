"""Put a change of layouts into figures and a sentence: what it takes, what it saves, when it has paid."""

from collections.abc import Mapping
from dataclasses import replace

from models.artifact import LayoutProfile
from models.decision import Reshape
from models.observation import Observation
from models.plan.judged import Judged, Points
from models.policy import PlanPolicy
from models.units import show_count, show_duration, show_money
from models.values import Role

HOUR_S = 3600.0


def reshape(
    observation: Observation,
    layouts: Mapping[Role, LayoutProfile],
    other: Judged,
    points: Points,
    policy: PlanPolicy,
    present: Judged | None,
    keeps: tuple[str, ...],
) -> Reshape:
    """Describe the change from `layouts` to another pairing.

    Every replica of a role that changes starts in its new layout, as many as the highest demand needs, while
    the old ones still run; then the old ones drain. `present` is what the layouts that run cost (`None`: they
    cannot `keep` the promise of the classes named).
    """
    changed = [role for role, layout in other.pairing.items() if layout is not layouts[role]]
    counts, prices = other.fleets[-1], _prices(policy)
    switch_gpu_s, switch_cost, starts = 0.0, 0.0, 0
    for role in changed:
        pool, state = policy.pools[role], observation.pools.get(role)
        old = 0 if state is None else state.desired * layouts[role].gpus
        new = counts[role] * other.pairing[role].gpus
        both_s = new * pool.startup_s + old * pool.drain_s
        switch_gpu_s, switch_cost = switch_gpu_s + both_s, switch_cost + both_s * prices[role] / HOUR_S
        starts += new
    saves_gpus = saves = ratio = 0.0
    if present is not None:
        saves_gpus = points.mean(present.gpus) - points.mean(other.gpus)
        saves = points.mean(present.costs) - points.mean(other.costs)
        ratio = saves / max(points.mean(present.costs), 1e-12)
    return _worded(
        Reshape(
            layouts={role: other.pairing[role].parallelism.name for role in changed},
            instead_of={role: layouts[role].parallelism.name for role in changed},
            replicas=dict(counts),
            saves_ratio=ratio,
            saves_gpus=saves_gpus,
            saves_per_h=saves if policy.priced and present is not None else None,
            switch_gpu_s=switch_gpu_s,
            # Without prices a GPU-hour is the unit of both.
            payback_s=switch_cost / saves * HOUR_S if saves > 0 else None,
            free_gpus=_free(observation, layouts, policy, changed),
            keeps=keeps,
            allowed=policy.reshape.allowed,
            sentence="",
        ),
        starts,
        min(other.pairing[role].gpus for role in changed),
        policy.currency,
    )


def _prices(policy: PlanPolicy) -> Mapping[Role, float]:
    """Return what a GPU costs an hour per role; 1 where it is counted and not paid."""
    if not policy.priced:
        return dict.fromkeys(policy.pools, 1.0)
    return {role: stock.price_per_gpu_h or 0.0 for stock in policy.stocks for role in stock.roles}


def _free(
    observation: Observation,
    layouts: Mapping[Role, LayoutProfile],
    policy: PlanPolicy,
    changed: list[Role],
) -> int | None:
    """Return the GPUs within the budgets of the roles that change that nothing is asked for."""
    running = {role: state.desired for role, state in observation.pools.items() if role in layouts}
    gpus = {role: layout.gpus for role, layout in layouts.items()}
    limits = [limit for limit in policy.limits() if limit.roles & set(changed)]
    return min((max(limit.left(running, gpus), 0) for limit in limits), default=None)


def _worded(found: Reshape, starts: int, narrowest: int, currency: str) -> Reshape:
    names = " and ".join(f"{r} {found.instead_of[r]} -> {name}" for r, name in found.layouts.items())
    hours = show_count(found.switch_gpu_s / HOUR_S)
    switch = f"the switch takes {hours} GPU-hours, its {starts} GPUs starting while the old ones run"
    if found.payback_s is None:
        classes = " and ".join(found.keeps)
        text = f"{names} would keep the promise to {classes}, which one request alone breaks now; {switch}"
    else:
        saves = f"{found.saves_ratio * 100:.0f} %, {show_count(found.saves_gpus)} GPUs"
        if found.saves_per_h is not None:
            saves = f"{found.saves_ratio * 100:.0f} %, {show_money(found.saves_per_h, currency)}"
        text = (
            f"{names} would save {saves} on the mean of the last day; {switch}, and pays back in "
            f"{show_duration(found.payback_s)}"
        )
    if found.free_gpus is not None and found.free_gpus < narrowest:
        text += "; no new replica fits beside the old ones: one of those has to go first"
    elif found.free_gpus is not None and found.free_gpus < starts:
        text += f"; {found.free_gpus} GPUs are free for it, so it goes in steps"
    if not found.allowed:
        text += "; only proposed, as reshape.allowed is false"
    return replace(found, sentence=text)
