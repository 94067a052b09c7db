"""Hold the forecast to its promise on recorded weeks, lived through with refits and delayed feedback.

Shapes are azure_llm_2024_conv (Azure Public Dataset, CC-BY 4.0) and ServeGen m-small (Apache-2.0), scaled to
20 requests/s with arrivals drawn anew.
"""

from dataclasses import replace

import pytest

from models.policy import ForecastPolicy
from tests.bench.forecast import HORIZONS_S, HOUR, Walk, coverage_after_shift, walk
from tests.demand import DAY_S, conversation_week, two_real_weeks

pytestmark = pytest.mark.slow

REFIT_S = 7200.0


@pytest.fixture(scope="module")
def conversation() -> Walk:
    series = conversation_week()
    policy = replace(HOUR, refit_s=REFIT_S)
    return walk(series, series.start_s + 3 * DAY_S, series.end_s - 3600.0, policy)


@pytest.mark.parametrize("horizon_s", HORIZONS_S)
def test_the_09_quantile_covers_nine_of_ten_on_the_conversation_week(
    conversation: Walk, horizon_s: float
) -> None:
    # 1,140 origins at every horizon; at an hour they are worth about 100 independent ones.
    assert 0.87 <= conversation.coverage[HORIZONS_S.index(horizon_s)] <= 0.93


def test_the_season_pays_at_half_an_hour_and_costs_nothing_at_five_minutes(conversation: Walk) -> None:
    series = conversation_week()
    off = replace(HOUR, refit_s=REFIT_S, enabled=False)
    plain = walk(series, series.start_s + 3 * DAY_S, series.end_s - 3600.0, off)
    ratio = conversation.loss(0.9) / plain.loss(0.9)

    assert ratio[HORIZONS_S.index(300.0)] <= 1.01
    assert ratio[HORIZONS_S.index(1800.0)] <= 0.97
    assert ratio[HORIZONS_S.index(3600.0)] <= 0.90


def test_the_09_quantile_covers_nine_of_ten_on_a_fortnight_with_outages() -> None:
    series = two_real_weeks()
    policy = replace(ForecastPolicy(), refit_s=REFIT_S)
    lived = walk(series, series.start_s + 9 * DAY_S, series.end_s - 3600.0, policy)

    assert all(0.87 <= share <= 0.93 for share in lived.coverage)


@pytest.mark.parametrize("ratio", [2.0, 0.5])
def test_coverage_returns_two_horizons_after_demand_changed_its_level(ratio: float) -> None:
    assert 0.85 <= coverage_after_shift(ratio, positions=40) <= 0.95
