"""Build small stages: a few minutes of chat on the analytic layouts of the builders."""

from collections.abc import Mapping

import numpy as np

from models.policy import DecidePolicy, ForecastPolicy, PlanPolicy, PoolPolicy, TickPolicy
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Slo
from planner.contest import Setup
from planner.replay import Stage
from planner.tick import Served
from tests import builders

CHAT = RequestClass("chat", Slo(ttft_s=0.3, itl_s=0.01))


def chat(rate_rps: float = 20.0, minutes: float = 10.0, seed: int = 1) -> Workload:
    """Generate Poisson arrivals of chat requests."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, minutes * 60, rng.poisson(rate_rps * minutes * 60)))
    return Workload.of(
        1_700_000_000.0 + times,
        np.clip(rng.lognormal(7.5, 0.6, times.size), 10, 20_000),
        np.clip(rng.lognormal(4.5, 0.6, times.size), 1, 2000),
        class_names=("chat",),
    )


def stage(workload: Workload | None = None, **changes: object) -> Stage:
    """Make a stage of the disaggregated builders' layouts; keyword arguments change its fields."""
    fields: dict[str, object] = {
        "trace": "chat",
        "workload": chat() if workload is None else workload,
        "layouts": builders.layouts(),
        "classes": (CHAT,),
        "startup_s": {Role.PREFILL: 120.0, Role.DECODE: 120.0},
    }
    return Stage(**{**fields, **changes})  # type: ignore[arg-type]


def setup(budget_gpus: int | None = None, initial: Mapping[Role, int] | None = None) -> Setup:
    """Make what the contestants are built from."""
    pools = {Role.PREFILL: PoolPolicy(), Role.DECODE: PoolPolicy()}
    plan = PlanPolicy((CHAT,), pools, budget_gpus=budget_gpus)
    policy = TickPolicy("shop", ForecastPolicy(), plan, DecidePolicy())
    return Setup(policy, Served(builders.layouts(), "sha256:0", "0"), initial)
