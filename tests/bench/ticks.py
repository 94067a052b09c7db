"""Count pure ticks per second: size and decide, the forecast given."""

import time

from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from planner.tick import plan
from tests.builders import forecast, layouts, observation, plan_policy

TICKS = 300


def run() -> dict[str, str]:
    """Tick a deployment of two classes at rising load, with room in the budget and with none."""
    return {
        "pure ticks, budget open": f"{_per_second(None):,.0f} /s",
        "pure ticks, budget binding": f"{_per_second(24):,.0f} /s",
    }


def _per_second(budget_gpus: int | None) -> float:
    policy = TickPolicy("bench", ForecastPolicy(), plan_policy(budget_gpus=budget_gpus), DecidePolicy())
    served = layouts()
    inputs = []
    for i in range(TICKS):
        rates = {"pages": 100 + i / 2, "email": 20 + i / 2}
        inputs.append((observation(rates), forecast(rates)))
    begin_s = time.process_time()
    for seen, expected in inputs:
        plan(seen, expected, policy, served)
    return TICKS / (time.process_time() - begin_s)
