"""Check that requests which grow longer are sized for as long as they will be, and that chance is not."""

from dataclasses import replace

import numpy as np
import pytest

from models.plan.drift import DRIFT_MINUTES, drifts
from models.plan.sizing import size
from models.prediction import Forecast
from models.series import Floats
from models.values import Role, Signal
from tests.builders import PAGES_MIX, forecast, layouts, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
RATE = 100.0
AHEAD_S = 180.0
TOLD = forecast({"pages": RATE})
FLAT = np.ones(DRIFT_MINUTES)
MINUTES = np.arange(DRIFT_MINUTES, dtype=np.float64)
GROWING: Floats = np.power(1.05, MINUTES)


def measured(arrivals: Floats = FLAT, prompts: Floats = FLAT, answers: Floats = FLAT) -> Forecast:
    """Say what was measured minute by minute, as multiples of what is forecast."""
    lately = {
        Signal.ARRIVALS: RATE * arrivals,
        Signal.PREFILL_TOKENS: RATE * arrivals * PAGES_MIX.mean_prefill_tokens * prompts,
        Signal.DECODE_TOKENS: RATE * arrivals * PAGES_MIX.mean_osl_tokens * answers,
    }
    signals = {s: replace(t, latest=tuple(lately[s].tolist())) for s, t in TOLD.signals["pages"].items()}
    return replace(TOLD, signals={"pages": signals})


def factors(told: Forecast) -> dict[Signal, float]:
    return {found.signal: found.factor for found in drifts(told, AHEAD_S)}


def test_growing_prompts_are_sized_for_as_long_as_they_will_be_when_an_order_is_ready() -> None:
    # The middle of the six minutes is 2.5 after the first and 3 before now; an order is ready 3 after now.
    found = factors(measured(prompts=GROWING))
    assert found == {Signal.PREFILL_TOKENS: pytest.approx(1.05 ** (2.5 + 3.0 + 3.0))}
    sizing = size(observation({"pages": RATE}), measured(prompts=GROWING), layouts(), plan_policy())
    usual = size(observation({"pages": RATE}), TOLD, layouts(), plan_policy())
    assert sizing is not None
    assert usual is not None
    assert sizing.replicas()[PREFILL] >= 1.4 * usual.replicas()[PREFILL]
    assert sizing.replicas()[DECODE] == usual.replicas()[DECODE]
    assert "prefill tokens of pages grow: 8k to 10.2k a request within 6 minutes" in (
        sizing.roles[PREFILL].sentence
    )


def test_growing_answers_are_too() -> None:
    assert set(factors(measured(answers=GROWING))) == {Signal.DECODE_TOKENS}


def test_lengths_are_told_from_arrivals_that_waver() -> None:
    wavering = 1.0 + 0.1 * np.random.default_rng(5).standard_normal(DRIFT_MINUTES)
    assert factors(measured(arrivals=wavering, prompts=GROWING)) == pytest.approx(
        factors(measured(prompts=GROWING))
    )


def test_no_length_is_believed_that_is_far_above_all_that_was_seen() -> None:
    doubling: Floats = np.power(1.3, MINUTES)
    assert factors(measured(prompts=doubling))[Signal.PREFILL_TOKENS] == pytest.approx(1.5 * doubling[-1])


@pytest.mark.parametrize(
    "told",
    [
        TOLD,
        measured(),
        measured(arrivals=GROWING),
        measured(prompts=GROWING[::-1]),
        measured(prompts=np.power(1.005, MINUTES)),
        measured(arrivals=FLAT[:2], prompts=GROWING[:2], answers=FLAT[:2]),
        measured(arrivals=0.0 * FLAT),
    ],
    ids=["nothing", "steady", "arrivals", "shorter", "slowly", "two minutes", "idle"],
)
def test_nothing_else_is_a_drift(told: Forecast) -> None:
    assert drifts(told, AHEAD_S) == ()


def test_chance_is_hardly_ever_taken_for_one() -> None:
    rng = np.random.default_rng(3)
    days = [drifts(measured(prompts=rng.lognormal(0.0, 0.02, DRIFT_MINUTES)), AHEAD_S) for _ in range(3_000)]
    assert sum(bool(found) for found in days) <= 9


def test_where_prompts_grow_already_as_forecast_nothing_is_added() -> None:
    signals = TOLD.signals["pages"]
    said = signals[Signal.PREFILL_TOKENS]
    higher = replace(said, paths=tuple(tuple(2.0 * v for v in path) for path in said.paths))
    told = measured(prompts=GROWING)
    lately = told.signals["pages"][Signal.PREFILL_TOKENS].latest
    foreseen = {**told.signals["pages"], Signal.PREFILL_TOKENS: replace(higher, latest=lately)}
    assert drifts(replace(told, signals={"pages": foreseen}), AHEAD_S) == ()
