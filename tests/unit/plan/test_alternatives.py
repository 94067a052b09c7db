"""Other layouts are proposed where they keep a broken promise or save their switch, over a day, no tick."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.capacity.load import ClassLoad
from models.decision import Reshape
from models.plan.alternatives import propose
from models.plan.search import FleetSearch
from models.policy import PlanPolicy, PoolPolicy, ReshapePolicy
from models.prediction import Forecast
from models.stock import Stock
from models.values import RequestClass, Role, Router, Signal, Slo
from tests import builders
from tests.builders import PAGES, PAGES_MIX, observation, plan_policy

PREFILL, DECODE = Role.PREFILL, Role.DECODE
DAY = (0.5, 0.8, 1.0, 1.3, 1.6)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
WEIGHTS = (0.15, 0.225, 0.25, 0.225, 0.15)
# Of twice the width: almost as many tokens a GPU, or clearly more.
SLOWER, FASTER = 1.8, 2.6


def prefill(per_gpu: float, tp: int = 2) -> LayoutProfile:
    return builders.prefill_layout(110_000.0 * per_gpu, tp)


def present(prefill_tp: int = 1) -> dict[Role, LayoutProfile]:
    return {PREFILL: builders.prefill_layout(tp=prefill_tp), DECODE: builders.decode_layout()}


def expected(rate: float, day: tuple[float, ...] = DAY, spread: float = 0.05) -> Forecast:
    """Expect pages at a rate, after a day whose quantiles stand in these ratios to it."""
    told = builders.forecast({"pages": rate}, spread)
    tokens = {
        Signal.ARRIVALS: 1.0,
        Signal.PREFILL_TOKENS: PAGES_MIX.mean_prefill_tokens,
        Signal.DECODE_TOKENS: PAGES_MIX.mean_osl_tokens,
    }
    signals = {
        signal: replace(each, past_day=tuple(rate * tokens[signal] * ratio for ratio in day))
        for signal, each in told.signals["pages"].items()
    }
    return replace(told, signals={"pages": signals})


def proposed(
    other: LayoutProfile,
    rate: float = 100.0,
    policy: PlanPolicy | None = None,
    running: Mapping[Role, int] | None = None,
    told: Forecast | None = None,
    layouts: Mapping[Role, LayoutProfile] | None = None,
) -> Reshape | None:
    seen = observation({"pages": rate}, running or {PREFILL: 12, DECODE: 2})
    others = {role: (other,) if other.role is role else () for role in (PREFILL, DECODE)}
    plan = policy or plan_policy((PAGES,))
    return propose(seen, told or expected(rate), layouts or present(), others, plan)


def gpus_needed(layouts: Mapping[Role, LayoutProfile], rate: float) -> int:
    """Return the GPUs of the cheapest fleet at a steady rate, found by trying every count."""
    model = FleetModel(layouts, [[ClassLoad.steady(PAGES, rate, PAGES_MIX)]], Router.LOAD)
    search = FleetSearch(model, np.ones(1), {"pages": 0.99})
    return min(
        p * layouts[PREFILL].gpus + d * layouts[DECODE].gpus
        for p in range(1, 40)
        for d in range(1, 6)
        if search.reaches({PREFILL: p, DECODE: d})
    )


def test_a_layout_that_saves_its_switch_is_proposed_with_its_figures() -> None:
    other = prefill(FASTER)

    found = proposed(other)

    assert found is not None
    assert (found.layouts, found.instead_of) == ({PREFILL: "TP2"}, {PREFILL: "TP1"})
    here = [gpus_needed(present(), 100.0 * ratio) for ratio in DAY]
    there = [gpus_needed({**present(), PREFILL: other}, 100.0 * ratio) for ratio in DAY]
    saved = float(np.dot(WEIGHTS, here) - np.dot(WEIGHTS, there))
    assert found.saves_gpus == pytest.approx(saved)
    assert found.saves_ratio == pytest.approx(saved / np.dot(WEIGHTS, here))
    # 120 s of start-up for every new replica's GPUs, 30 s of drain for those of 12 old ones.
    new_gpus = 2 * found.replicas[PREFILL]
    assert found.switch_gpu_s == 120.0 * new_gpus + 30.0 * 12
    assert found.payback_s == pytest.approx(found.switch_gpu_s / saved)
    assert not found.allowed
    assert found.sentence.startswith("prefill TP1 -> TP2 would save ")
    assert "reshape.allowed is false" in found.sentence


def test_a_layout_that_saves_nothing_is_not_proposed() -> None:
    assert proposed(prefill(SLOWER)) is None


def test_a_switch_that_pays_back_too_late_is_not_proposed() -> None:
    found = proposed(prefill(FASTER))
    assert found is not None
    assert found.payback_s is not None

    def within(payback_s: float) -> Reshape | None:
        policy = replace(plan_policy((PAGES,)), reshape=ReshapePolicy(payback_s=payback_s))
        return proposed(prefill(FASTER), policy=policy)

    assert within(found.payback_s * 1.01) is not None
    assert within(found.payback_s * 0.99) is None


def test_slow_starts_make_the_switch_dearer() -> None:
    quick = proposed(prefill(FASTER))
    pools = {PREFILL: PoolPolicy(startup_s=1200.0, startup_p99_s=2400.0), DECODE: PoolPolicy()}
    policy = replace(plan_policy((PAGES,), pools=pools), reshape=ReshapePolicy(payback_s=1e9))
    slow = proposed(prefill(FASTER), policy=policy)

    assert quick is not None
    assert slow is not None
    assert quick.replicas == slow.replicas
    assert slow.switch_gpu_s - quick.switch_gpu_s == (1200.0 - 120.0) * 2 * slow.replicas[PREFILL]


def test_less_than_the_stated_share_is_not_worth_it() -> None:
    found = proposed(prefill(FASTER))
    assert found is not None

    def at_least(ratio: float) -> Reshape | None:
        policy = replace(plan_policy((PAGES,)), reshape=ReshapePolicy(least_saving_ratio=ratio))
        return proposed(prefill(FASTER), policy=policy)

    assert at_least(found.saves_ratio - 0.005) is not None
    assert at_least(found.saves_ratio + 0.005) is None


def test_one_tick_does_not_propose_what_the_day_does_not_bear_out() -> None:
    # A wide layout that needs many requests to be full: at night one replica of it is idle GPUs.
    wide = prefill(8 * 3.0, tp=8)

    assert proposed(wide, 150.0, told=expected(150.0, (0.8, 0.9, 1.0, 1.1, 1.2))) is not None
    assert proposed(wide, 150.0, told=expected(150.0, (0.02, 0.9, 1.0, 1.1, 1.2))) is None
    # Nor does a forecast that may fall so low.
    falling = expected(150.0, (0.8, 0.9, 1.0, 1.1, 1.2), spread=0.49)
    assert proposed(wide, 150.0, told=falling) is None


def test_without_a_day_of_history_nothing_is_proposed() -> None:
    assert proposed(prefill(FASTER), told=builders.forecast({"pages": 100.0})) is None


@settings(max_examples=20)
@given(st.floats(20, 200), st.floats(1.5, 3.5), st.sampled_from([2, 4]))
def test_two_layouts_never_take_turns(rate: float, factor: float, tp: int) -> None:
    other = prefill(factor * tp / 2, tp)
    policy = replace(plan_policy((PAGES,)), reshape=ReshapePolicy(payback_s=1e9, least_saving_ratio=0.01))
    switched = {**present(), PREFILL: other}

    there = proposed(other, rate, policy)
    back = proposed(present()[PREFILL], rate, policy, layouts=switched)

    assert there is None or back is None


def test_a_promise_that_one_request_breaks_names_the_layout_that_keeps_it() -> None:
    # 8,000 tokens take 73 ms and 30 ms of overhead on TP1: more than 80 ms whatever the count.
    hasty = RequestClass("pages", Slo(ttft_s=0.08))
    policy = replace(plan_policy((hasty,)), reshape=ReshapePolicy(payback_s=1.0))

    found = proposed(prefill(3.0), policy=policy, told=builders.forecast({"pages": 100.0}))

    assert found is not None
    assert found.layouts == {PREFILL: "TP2"}
    assert found.keeps == ("pages",)
    assert found.payback_s is None
    assert "would keep the promise to pages, which one request alone breaks now" in found.sentence
    # One that breaks it as well is no help.
    assert proposed(prefill(1.1), policy=policy) is None


def test_what_the_budget_leaves_free_is_said() -> None:
    def sentence(budget: int) -> str:
        policy = replace(plan_policy((PAGES,), budget), reshape=ReshapePolicy(allowed=True))
        found = proposed(prefill(FASTER), policy=policy)
        assert found is not None
        assert found.allowed
        return found.sentence

    # 12 + 2 x 4 = 20 GPUs are asked for.
    assert "; 6 GPUs are free for it, so it goes in steps" in sentence(26)
    assert "; no new replica fits beside the old ones: one of those has to go first" in sentence(21)
    assert "free for it" not in sentence(60)
    assert "only proposed" not in sentence(60)


def test_a_layout_that_does_not_fit_where_the_present_one_does_is_not_proposed() -> None:
    pools = {PREFILL: PoolPolicy(max_replicas=40), DECODE: PoolPolicy(max_replicas=3)}
    policy = plan_policy((PAGES,), pools=pools)
    few = replace(policy, pools={**pools, PREFILL: PoolPolicy(max_replicas=40)})

    assert proposed(prefill(FASTER), policy=few) is not None
    narrow = replace(builders.decode_layout(base_s=0.0019, per_sequence_s=0.00004, tp=1))
    assert proposed(narrow, 400.0, policy) is None


def test_with_prices_money_decides() -> None:
    def priced(billed: int, miss: float | None) -> PlanPolicy:
        stock = Stock("GB200", (PREFILL, DECODE), None, None, 3.0, billed)
        plan = plan_policy((replace(PAGES, miss_price=miss),))
        return replace(plan, stocks=(stock,), currency="EUR")

    counted = proposed(prefill(FASTER))
    paid = proposed(prefill(FASTER), policy=priced(1, None))
    bought = proposed(prefill(FASTER), policy=priced(1, 0.01))

    assert counted is not None
    assert paid is not None
    assert bought is not None
    assert counted.saves_per_h is None
    assert paid.saves_per_h == pytest.approx(3.0 * counted.saves_gpus)
    assert paid.payback_s == pytest.approx(counted.payback_s)
    assert "EUR/h on the mean of the last day" in paid.sentence
    assert bought.saves_per_h is not None
    assert bought.saves_per_h > 0


def test_both_roles_may_change_together() -> None:
    seen = observation({"pages": 100.0}, {PREFILL: 12, DECODE: 2})
    faster_decode = builders.decode_layout(tp=2)
    others = {PREFILL: (prefill(FASTER), prefill(SLOWER, 4)), DECODE: (faster_decode,)}

    found = propose(seen, expected(100.0), present(), others, plan_policy((PAGES,)))

    assert found is not None
    assert found.layouts == {PREFILL: "TP2", DECODE: "TP2"}
    assert set(found.instead_of) == {PREFILL, DECODE}
