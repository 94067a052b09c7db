"""Make records as a scaler writes them every 15 seconds: two roles, three classes, nothing round."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from models.decision import Outcome, Record, Status
from models.mix import RequestMix
from models.observation import ClassDemand, LatencyReading, Observation, QueueReading
from models.policy import DecidePolicy, ForecastPolicy, PoolPolicy, TickPolicy
from models.prediction import Forecast, SignalForecast
from models.readiness import Readiness, StartUp
from models.values import RequestClass, Role, Signal, Slo
from planner.forecasting import rounded
from planner.tick import plan
from tests import builders

BEGIN_S = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
TICK_S = 15.0
CLASSES = (
    RequestClass("pages", Slo(ttft_s=0.3, e2e_s=0.5), priority=10),
    RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.03), priority=5),
    RequestClass("email", Slo()),
)
LENGTHS = {"pages": (8000, 50), "chat": (2000, 250), "email": (600, 700)}
RATES = {"pages": 90.0, "chat": 40.0, "email": 15.0}


def records(count: int) -> Iterator[Record]:
    """Yield records of one deployment, sized and decided as a tick does."""
    drawn = np.random.default_rng(7)
    pools = {Role.PREFILL: PoolPolicy(max_replicas=40), Role.DECODE: PoolPolicy(max_replicas=20)}
    policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy(CLASSES, pools=pools), DecidePolicy())
    layouts, current = builders.layouts(), {Role.PREFILL: 14, Role.DECODE: 4}
    expected, mixes = Forecast(BEGIN_S), dict[str, RequestMix]()
    for i in range(count):
        at_s = BEGIN_S + TICK_S * i + float(drawn.uniform(0, 0.01))
        if i % 4 == 0:
            expected = Forecast(at_s, {name: _forecast(drawn, name) for name in RATES})
            mixes = {name: _mix(drawn, *LENGTHS[name]) for name in LENGTHS}
        seen = _observation(drawn, at_s, mixes, current)
        expected = replace(expected, at_s=at_s)
        sizing, decision = plan(seen, expected, policy, layouts)
        yield Record(
            tick_id=f"shop@{at_s:.3f}",
            deployment="shop",
            observation=seen,
            forecast=expected,
            sizing=sizing,
            decision=decision,
            outcome=Outcome(Status.APPLIED if decision.changes else Status.UNCHANGED, ""),
            config_digest="sha256:" + "c" * 64,
            profile_digest="sha256:" + "p" * 64,
            version="0.1.0",
            readiness=dict.fromkeys(pools, _started()),
            burn_rate=3.0,
        )
        current = dict(decision.final)


def _forecast(drawn: np.random.Generator, name: str) -> dict[Signal, SignalForecast]:
    """Make paths of half an hour at the usual levels, as a forecast says them."""
    levels, offsets = ForecastPolicy().levels, tuple(60.0 * i for i in range(1, 31))
    isl, osl = LENGTHS[name]
    made = {}
    for signal, tokens in zip(Signal, (1.0, isl, osl), strict=True):
        middle = RATES[name] * tokens * (1.0 + 0.02 * drawn.standard_normal(len(offsets)).cumsum() / 20.0)
        band = np.array([-0.16, -0.07, 0.0, 0.07, 0.13, 0.19, 0.26])[:, None] * drawn.lognormal(0.0, 0.01)
        paths = middle * (1.0 + band * np.linspace(0.5, 1.0, len(offsets)))
        made[signal] = SignalForecast(
            levels=levels,
            offsets_s=offsets,
            paths=rounded(paths),
            model="blend of fourier and boosting",
            why="blend of fourier and boosting: pinball loss against the last value -23% at 15m",
            recent_peak=float(middle[0] * 1.03),
            coverage=float(drawn.uniform(0.88, 0.92)),
            fitted_at_s=BEGIN_S - 1800.0,
            latest=tuple(float(v) for v in middle[:2]),
            past_day=tuple(float(v) for v in middle[:5]),
        )
    return made


def _mix(drawn: np.random.Generator, isl: float, osl: float) -> RequestMix:
    return RequestMix.from_samples(isl * drawn.lognormal(0, 0.4, 64), osl * drawn.lognormal(0, 0.4, 64))


def _observation(
    drawn: np.random.Generator, at_s: float, mixes: dict[str, RequestMix], counts: dict[Role, int]
) -> Observation:
    """Look at demand and latencies that differ at every look."""
    demand = {}
    for name, mix in mixes.items():
        rate = RATES[name] * float(drawn.lognormal(0, 0.05))
        demand[name] = ClassDemand(
            rate, rate * mix.mean_prefill_tokens, rate * mix.mean_osl_tokens, mix, arrival_cv2=1.1
        )
    usual_s = np.array([0.09, 0.12, 0.006, 0.007, 0.1, 0.006])
    latency = {name: LatencyReading(*(usual_s * drawn.lognormal(0, 0.05, 6)).tolist()) for name in mixes}
    return Observation(
        at_s=at_s,
        window_s=60.0,
        demand=demand,
        pools={role: builders.pool(n) for role, n in counts.items()},
        latency=latency,
        queue=QueueReading(3, float(drawn.uniform(0, 9000))),
        demand_at_s=at_s - 7.3,
    )


def _started() -> Readiness:
    drawn = np.random.default_rng(3)
    seen = tuple(StartUp(BEGIN_S - 600.0 * i, 1, *drawn.uniform(90, 140, 2).tolist()) for i in range(30))
    return Readiness(130.0, 600.0, 118.0, 130.0, 139.0, 30, 30, "", seen)
