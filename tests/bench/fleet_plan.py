"""Time the division of a pool of GPUs: 200 deployments on 2,000 GPUs, claims, plan and shares."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.gpu_pool import GpuPool, Membership
from models.plan.claims import make_claim
from models.plan.fleet_plan import Claim, FleetPlan, Rung, plan_fleet
from models.plan.shares import Member, divide
from models.policy import DecidePolicy
from models.topology import Topology
from models.values import Role
from planner.sharing import SharedPool
from tests.builders import AT_S, forecast, layouts, observation, plan_policy

DEPLOYMENTS, GPUS, RUNGS = 200, 2000, 20
# Deployments whose claims are made for real; they are as large as what 200 share 2,000 GPUs by.
CLAIMED = 20


def run() -> dict[str, str]:
    """Divide the pool once, in one priority, which is the hardest case, and in three; then the whole path."""
    figures = {
        f"{DEPLOYMENTS} deployments on {GPUS:,} GPUs, one priority": _said(1),
        f"{DEPLOYMENTS} deployments on {GPUS:,} GPUs, three": _said(3),
    }
    _claims()
    begin_s = time.process_time()
    claims = _claims()
    each_s = (time.process_time() - begin_s) / CLAIMED
    figures["claim of one deployment, its ladder"] = f"{1e3 * each_s:.1f} ms of CPU"
    figures[f"claims in, {DEPLOYMENTS} shares out"] = _shares(claims)
    return figures


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


def _claims() -> list[Claim]:
    """Make real claims of deployments of different demand, about fourteen GPUs each."""
    draw = np.random.default_rng(0)
    plan, served, made = plan_policy(budget_gpus=GPUS), layouts(), []
    for i in range(CLAIMED):
        rates = {"pages": float(draw.uniform(20, 180)), "email": float(draw.uniform(5, 60))}
        counts = {Role.PREFILL: int(draw.integers(2, 14)), Role.DECODE: 1}
        member = Membership(f"d{i}", i % 4, i % 3, True, 5)
        seen = observation(rates, counts)
        made.append(make_claim(member, seen, forecast(rates), served, plan, DecidePolicy(), GPUS))
    return made


def _shares(made: Sequence[Claim]) -> str:
    """Hand claims of 200 deployments to a pool and take every share, as ticks that fall together do."""
    members = [Membership(f"d{i}", i % 4, i % 3, True, 5) for i in range(DEPLOYMENTS)]
    claims = [
        replace(made[i % CLAIMED], deployment=m.deployment, priority=m.priority)
        for i, m in enumerate(members)
    ]
    shared = SharedPool(GpuPool("gb200", GPUS, Topology.lay_out(4, 72, GPUS)), members, 60.0)
    begin_s = time.process_time()
    for claim in claims:
        shared.claim(claim, claim.running_gpus, AT_S)
    shares = [shared.share(m.deployment, AT_S) for m in members]
    taken_s = time.process_time() - begin_s
    divided = [Member(m, c, c.running_gpus) for m, c in zip(members, claims, strict=True)]
    begin_s = time.process_time()
    divide(shared.pool, divided, acting=True)
    once_s = time.process_time() - begin_s
    short = sum(share.binds for share in shares)
    total = sum(share.gpus for share in shares)
    return f"{taken_s:.2f} s of CPU, {1e3 * once_s:.0f} ms of it the division; {total:,} GPUs, {short} short"
