"""Tell the e-commerce day to the baselines: what the peak costs, and where the mean and the HPA fail."""

import pytest

from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from models.simulation.scorecard import PolicyResult
from models.simulation.story import Story
from models.values import Role
from planner.contest import Setup, contest
from planner.replay import Stage
from planner.tick import Served
from tests import builders

STORY = Story(day_s=86_400 / 120)
PEAK, MEAN, HPA = "static-peak", "static-mean", "hpa"


@pytest.fixture(scope="module")
def results() -> dict[str, PolicyResult]:
    """Replay the day, 120 times compressed, once for all tests of this file."""
    plan = builders.plan_policy()
    stage = Stage(
        trace="demo",
        workload=STORY.workload(seed=1),
        layouts=builders.layouts(),
        classes=plan.classes,
        startup_s=dict.fromkeys(builders.layouts(), 120.0),
        compression=STORY.compression,
        history=STORY.history(seed=1),
    )
    policy = TickPolicy("shop", ForecastPolicy(), plan, DecidePolicy())
    setup = Setup(policy, Served(builders.layouts(), "sha256:0", "0"))
    return {r.policy: r for r in contest([PEAK, MEAN, HPA], stage, setup, jobs=1)}


def pages(result: PolicyResult) -> float:
    found = next(c for c in result.classes if c.name == "pages")
    assert found.slo_attainment is not None
    return found.slo_attainment


def test_the_constant_fleet_for_the_peak_keeps_every_promise_all_day(
    results: dict[str, PolicyResult],
) -> None:
    assert pages(results[PEAK]) >= 0.99
    assert results[PEAK].in_flight == 0


def test_it_holds_the_night_s_decode_by_day_and_the_day_s_prefill_by_night(
    results: dict[str, PolicyResult],
) -> None:
    hours = results[PEAK].gpu_hours_by_role
    # 270 pages of 8,000 tokens a second over 110,000 tokens/s a GPU: 20 replicas at least, for 26 hours.
    assert 20 <= hours[Role.PREFILL] / 26 <= 30
    # 300 mails of 700 tokens: more than three replicas of four GPUs.
    assert 12 < hours[Role.DECODE] / 26 <= 32


def test_a_fleet_for_the_mean_load_costs_less_than_half_and_fails(results: dict[str, PolicyResult]) -> None:
    assert results[MEAN].gpu_hours < 0.5 * results[PEAK].gpu_hours
    assert pages(results[MEAN]) < 0.6


def test_the_autoscaler_saves_gpus_and_breaks_promises_where_load_turns(
    results: dict[str, PolicyResult],
) -> None:
    assert results[HPA].gpu_hours < 0.8 * results[PEAK].gpu_hours
    assert results[HPA].completed == results[HPA].requests
    worst = min(
        p.attainment["pages"] or 0.0 for p in results[HPA].timeline if p.attainment["pages"] is not None
    )
    assert worst < 0.9
    assert results[HPA].scale_events > 20
