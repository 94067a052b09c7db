"""Count pure ticks per second: size and decide, the forecast given."""

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from models.mix import RequestMix
from models.observation import ClassDemand, Observation
from models.policy import DecidePolicy, ForecastPolicy, PoolPolicy, TickPolicy
from models.prediction import Forecast
from models.values import RequestClass, Role
from planner.tick import plan
from tests.builders import (
    CHAT,
    EMAIL,
    PAGES,
    aggregated_layout,
    forecast,
    layouts,
    observation,
    plan_policy,
)

TICKS, ROUNDS = 200, 5
BOTH = (Role.PREFILL, Role.DECODE)


def run() -> dict[str, str]:
    """Tick a deployment at rising load: room in the budget and none, measured lengths, one pool."""
    pages = [{"pages": 100 + i * 0.75, "email": 20 + i * 0.75} for i in range(TICKS)]
    chat = [{"chat": 20 + i / 4, "email": 20 + i / 4} for i in range(TICKS)]
    cases = {
        "budget open": _per_second(pages, (PAGES, EMAIL), None),
        "budget binding": _per_second(pages, (PAGES, EMAIL), 12),
        "lengths measured anew each tick": _per_second(chat, (CHAT, EMAIL), None, measured=True),
        "aggregated": _per_second(chat, (CHAT, EMAIL), None, roles=(Role.AGGREGATED,)),
    }
    return {f"pure ticks, {name}": f"{ticks:,.0f} /s" for name, ticks in cases.items()}


def _per_second(
    rates: Sequence[Mapping[str, float]],
    classes: tuple[RequestClass, ...],
    budget_gpus: int | None,
    roles: tuple[Role, ...] = BOTH,
    measured: bool = False,
) -> float:
    """Return ticks per second of processor time: the best of a few rounds, as others share the machine."""
    pools = {role: PoolPolicy() for role in roles}
    policy = TickPolicy(
        "bench", ForecastPolicy(), plan_policy(classes, budget_gpus, pools=pools), DecidePolicy()
    )
    served = layouts() if roles == BOTH else {Role.AGGREGATED: aggregated_layout()}
    generator = np.random.default_rng(0)
    inputs: list[tuple[Observation, Forecast]] = []
    for now in rates:
        seen = observation(now, dict.fromkeys(roles, 10))
        inputs.append((_with_lengths(seen, generator) if measured else seen, forecast(now)))
    gc.collect()
    spent_s = []
    for _ in range(ROUNDS):
        begin_s = time.process_time()
        for seen, expected in inputs:
            plan(seen, expected, policy, served)
        spent_s.append(time.process_time() - begin_s)
    return TICKS / min(spent_s)


def _with_lengths(seen: Observation, generator: np.random.Generator) -> Observation:
    """Give each class the lengths of 500 requests, lognormal around its own."""
    demand: dict[str, ClassDemand] = {}
    for name, one in seen.demand.items():
        assert one.mix is not None
        isl = one.mix.mean_isl_tokens * generator.lognormal(-0.1, 0.4, 500)
        osl = one.mix.mean_osl_tokens * generator.lognormal(-0.1, 0.4, 500)
        demand[name] = replace(one, mix=RequestMix.from_samples(isl, osl))
    return replace(seen, demand=demand)
