"""Replay days of constant noisy load: how often does a fleet change that need not?

Requests arrive at random (Poisson) at a constant mean rate, with lengths that vary by 40 %: 16,000 tokens in
and 300 out. The loads lie apart by less than one replica, so that some may lie just below a need.
"""

from itertools import pairwise

import numpy as np

from models.policy import USUAL_FORECASTERS, DecidePolicy, ForecastPolicy, TickPolicy
from models.series import Floats, Series
from models.simulation.scorecard import PolicyResult
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Signal, Slo
from planner.contest import HEADGATE, Setup, compete
from planner.replay import Stage
from planner.tick import Served
from tests import builders
from tests.demand import DAY_S, SUNDAY_S

STEADY = RequestClass("documents", Slo(ttft_s=3.0, itl_s=0.05))
RATES_RPS = (5.6, 6.0, 6.4)
ISL, OSL, CV = 16_000.0, 300.0, 0.4
HISTORY_DAYS, SETTLED_MINUTES = 2, 120


def run() -> dict[str, str]:
    """Return, per load, the changes after two hours, those of decode among them, and what was kept."""
    found = {}
    for rate_rps in RATES_RPS:
        result = replayed(rate_rps)
        later = [
            {role: n + point.starting[role] for role, n in point.ready.items()}
            for point in result.timeline[SETTLED_MINUTES:]
        ]
        events = {role: sum(a[role] != b[role] for a, b in pairwise(later)) for role in later[0]}
        kept = result.slo_attainment or 0.0
        found[f"{rate_rps:g} rps, changes after hour 2"] = (
            f"{sum(events.values())} ({events[Role.DECODE]} of decode), {kept:.2%} kept, "
            f"{result.gpu_hours:.0f} GPU-hours"
        )
    return found


def replayed(rate_rps: float, seed: int = 0) -> PolicyResult:
    """Replay a day at a constant rate after days of the same."""
    rng = np.random.default_rng(seed)
    layouts = {
        Role.PREFILL: builders.prefill_layout(25_000.0),
        Role.DECODE: builders.decode_layout(0.012, 0.0006),
    }
    start_s = SUNDAY_S + HISTORY_DAYS * DAY_S
    count = int(rng.poisson(rate_rps * DAY_S))
    times_s = np.sort(start_s + DAY_S * rng.random(count))
    times_s[0] = start_s
    work = Workload.of(
        times_s, _lengths(ISL, count, rng), _lengths(OSL, count, rng), class_names=(STEADY.name,)
    )
    minutes = rng.poisson(rate_rps * 60.0, HISTORY_DAYS * 1440) / 60.0
    past = {
        signal: Series.of(minutes * each, SUNDAY_S)
        for signal, each in zip(Signal, (1.0, ISL, OSL), strict=True)
    }
    stage = Stage(
        "steady", work, layouts, (STEADY,), dict.fromkeys(layouts, 120.0), history={STEADY.name: past}
    )
    plan = builders.plan_policy([STEADY])
    policy = TickPolicy("steady", ForecastPolicy(forecasters=USUAL_FORECASTERS), plan, DecidePolicy())
    return compete(HEADGATE, stage, Setup(policy, Served(layouts, "", "")), lambda share: None)


def _lengths(mean: float, count: int, rng: np.random.Generator) -> Floats:
    sigma = np.sqrt(np.log1p(CV**2))
    drawn = mean * np.exp(rng.normal(-(sigma**2) / 2, sigma, count))
    return np.asarray(np.maximum(np.rint(drawn), 1.0))
