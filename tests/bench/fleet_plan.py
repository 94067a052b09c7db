"""Time the division of a pool of GPUs: 200 deployments on 2,000 GPUs."""

import time

import numpy as np

from models.plan.fleet_plan import Claim, FleetPlan, Rung, plan_fleet

DEPLOYMENTS, GPUS, RUNGS = 200, 2000, 20


def run() -> dict[str, str]:
    """Divide the pool once, in one priority, which is the hardest case, and in three."""
    return {
        f"{DEPLOYMENTS} deployments on {GPUS:,} GPUs, one priority": _said(1),
        f"{DEPLOYMENTS} deployments on {GPUS:,} GPUs, three": _said(3),
    }


def _said(priorities: int) -> str:
    draw = np.random.default_rng(0)
    claims = []
    for i in range(DEPLOYMENTS):
        kept = np.cumsum(np.sort(draw.uniform(1.0, 9.0, RUNGS))[::-1])
        ladder = tuple(Rung(2 * (n + 1), float(k)) for n, k in enumerate(kept))
        claims.append(Claim(f"d{i}", ladder, i % priorities))
    begin_s = time.process_time()
    plan: FleetPlan = plan_fleet(claims, GPUS)
    taken_s = time.process_time() - begin_s
    short = len(plan.short)
    return f"{1e3 * taken_s:.0f} ms of CPU, {plan.used_gpus:,} GPUs used, {short} short of their need"
