"""What a replay report claims follows from its figures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.render.verdict import Tone, Verdict, judge
from models.render.worth import SAME_ATTAINMENT, SAME_COST_RATIO
from models.simulation.scorecard import ClassResult, Percentiles, PolicyResult, ReplayResult, TimelinePoint
from models.values import RequestClass, Role, Slo

NONE = Percentiles()


def scored(policy: str, attained: float | None, gpu_hours: float, pages: float | None = None) -> PolicyResult:
    classes = () if pages is None else (ClassResult("pages", 10, 10, pages, NONE, NONE, NONE),)
    return PolicyResult(
        policy=policy,
        requests=0 if attained is None else 1000,
        completed=0 if attained is None else 1000,
        rejected=0,
        in_flight=0,
        skipped_rows=0,
        slo_attainment=attained,
        goodput_rps=1.0,
        gpu_hours=gpu_hours,
        gpu_hours_by_role={},
        ttft_s=NONE,
        itl_s=NONE,
        e2e_s=NONE,
        scale_events=0,
        decisions=1,
        policy_cpu_s=0.0,
        wall_s=0.0,
        classes=classes,
    )


def replayed(
    *policies: PolicyResult, target: float | None = 0.99, pages: float | None = None
) -> ReplayResult:
    slo = Slo(ttft_s=0.3, attainment=pages)
    return ReplayResult(
        deployment="shop",
        trace="demo",
        model="m",
        hardware="h",
        layouts={},
        gpus_per_replica={},
        budget_gpus=None,
        start_s=0.0,
        end_s=1.0,
        interval_s=60.0,
        seed=0,
        policies=policies,
        config_digest="",
        profile_digest="",
        version="0",
        classes=() if pages is None else (RequestClass("pages", slo),),
        target_attainment=target,
    )


def test_a_kept_promise_with_fewer_gpu_hours_is_a_win() -> None:
    verdict = judge(replayed(scored("headgate", 0.995, 600), scored("static-peak", 0.996, 1000)))

    assert verdict.tone is Tone.GOOD
    assert verdict.headline == "Headgate kept its promise with 40 % fewer GPU-hours than static-peak."
    assert "99.50 % of requests kept their promise (static-peak: 99.60 %)" in verdict.details[0]


def test_a_missed_promise_is_never_called_a_saving() -> None:
    verdict = judge(replayed(scored("headgate", 0.98, 300), scored("static-peak", 0.996, 1000)))

    assert verdict.tone is Tone.BAD
    assert verdict.headline.startswith("Headgate missed its promise: 98.00 % of all requests against")
    assert "at this attainment that is not a saving" in str(verdict)


def test_one_class_below_its_own_target_is_a_missed_promise_although_the_total_is_met() -> None:
    result = replayed(
        scored("headgate", 0.995, 600, pages=0.97),
        scored("static-peak", 0.996, 1000, pages=0.995),
        pages=0.99,
    )

    assert judge(result).headline == "Headgate missed its promise: 97.00 % of pages against 99.00 %."


def test_no_fewer_gpu_hours_is_no_saving() -> None:
    equal = judge(replayed(scored("headgate", 0.995, 999), scored("static-peak", 0.996, 1000)))
    dearer = judge(replayed(scored("headgate", 0.995, 1200), scored("static-peak", 0.996, 1000)))

    assert equal.tone is Tone.MIXED
    assert "about as many GPU-hours as static-peak" in equal.headline
    assert dearer.tone is Tone.BAD
    assert "saved nothing here: it used 20 % more GPU-hours than static-peak" in dearer.headline


def test_a_better_rival_is_named() -> None:
    verdict = judge(
        replayed(
            scored("headgate", 0.995, 600), scored("static-peak", 0.996, 1000), scored("hpa", 0.995, 500)
        )
    )

    assert "hpa did better here: 99.50 % with 500 GPU-hours against 600." in verdict.details


def test_a_cheaper_rival_that_broke_the_promise_is_not_called_better() -> None:
    verdict = judge(
        replayed(scored("headgate", 0.995, 600), scored("static-peak", 0.996, 1000), scored("hpa", 0.7, 100))
    )

    assert "hpa" not in str(verdict)


def test_the_oracle_is_a_bound_and_no_rival() -> None:
    verdict = judge(
        replayed(
            scored("headgate", 0.995, 600), scored("static-peak", 0.996, 1000), scored("oracle", 0.99, 500)
        )
    )

    assert verdict.tone is Tone.GOOD
    assert verdict.details[-1] == (
        "The oracle, which knows the future, kept 99.00 % with 500 GPU-hours: headgate used 20 % more "
        "GPU-hours than that."
    )


def test_a_reference_over_the_budget_is_no_fleet_that_may_be_run() -> None:
    point = TimelinePoint(60.0, {}, {}, {Role.DECODE: 11}, {}, {}, 0)
    peak = replace(scored("static-peak", 0.996, 1000), timeline=(point,))
    result = replace(
        replayed(scored("headgate", 0.995, 600), peak), budget_gpus=28, gpus_per_replica={Role.DECODE: 4}
    )

    said = "Static-peak held up to 44 GPUs, above the budget of 28"
    assert said in str(judge(result))
    assert said not in str(judge(replace(result, budget_gpus=44)))


def test_misses_under_a_full_budget_are_put_down_to_it() -> None:
    def point(minute: int, decode: int, met: float) -> TimelinePoint:
        return TimelinePoint(
            60.0 * minute, {"pages": 100.0}, {"pages": met}, {Role.DECODE: decode}, {}, {}, 0
        )

    # Seven TP4 replicas fill 28 GPUs; nine of ten misses fall into the hour in which they run.
    full = [point(m, 7, 0.91) for m in range(60)]
    spare = [point(60 + m, 5, 0.99) for m in range(60)]
    tested = replace(scored("headgate", 0.95, 600), timeline=(*full, *spare))
    result = replace(
        replayed(tested, scored("static-peak", 0.996, 1000)),
        budget_gpus=28,
        gpus_per_replica={Role.DECODE: 4},
    )

    said = "90 % of the missed requests fell into the 1h in which the whole budget of 28 GPUs was in use."
    assert said in str(judge(result))
    assert "whole budget" not in str(judge(replace(result, budget_gpus=32)))


def test_without_static_peak_the_cheapest_that_kept_the_promise_is_the_measure() -> None:
    verdict = judge(
        replayed(
            scored("headgate", 0.995, 600),
            scored("hpa", 0.992, 800),
            scored("static:9,9", 0.999, 900),
            scored("static-mean", 0.5, 100),
        )
    )

    assert verdict.headline == "Headgate kept its promise with 25 % fewer GPU-hours than hpa."


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (replayed(), "nothing to compare"),
        (replayed(scored("headgate", None, 0.0)), "nothing to judge"),
        (replayed(scored("headgate", 0.995, 600)), "says nothing about what it saves"),
        (replayed(scored("headgate", 0.9, 600)), "Headgate missed its promise"),
        (replayed(scored("headgate", 0.995, 600), scored("static-peak", 1.0, 0.0)), "cannot be compared"),
    ],
)
def test_where_nothing_can_be_claimed_nothing_is(result: ReplayResult, says: str) -> None:
    verdict = judge(result)

    assert says in str(verdict)
    assert verdict.tone is not Tone.GOOD


def test_without_a_stated_promise_fewer_kept_promises_are_said_first() -> None:
    verdict = judge(replayed(scored("headgate", 0.9, 600), scored("static-peak", 0.99, 1000), target=None))

    assert verdict.tone is Tone.MIXED
    assert "9 points fewer requests were served in time" in verdict.headline


def test_where_nothing_was_promised_no_promise_is_called_kept() -> None:
    verdict = judge(replayed(scored("headgate", 0.99, 600), scored("static-peak", 0.99, 1000), target=None))

    assert verdict.headline == (
        "Headgate served as many requests in time with 40 % fewer GPU-hours than static-peak."
    )


def test_where_every_fleet_misses_that_is_said() -> None:
    verdict = judge(replayed(scored("headgate", 0.97, 600), scored("static-peak", 0.97, 1000)))

    assert verdict.tone is Tone.MIXED
    assert "40 % fewer GPU-hours than static-peak, where static-peak missed its promise too" in str(verdict)


def attainments() -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, 0.5, 0.97, 0.9899, 0.99, 0.9901, 0.9949, 0.995, 1.0]) | st.floats(0, 1)


@given(
    attainments(),
    st.floats(0, 1e6),
    attainments(),
    st.floats(0, 1e6),
    st.sampled_from([None, 0.9, 0.99, 1.0]),
    attainments(),
)
def test_a_win_is_claimed_only_where_the_figures_show_one(
    ours: float, cost: float, theirs: float, peak: float, target: float | None, pages: float
) -> None:
    result = replayed(
        scored("headgate", ours, cost, pages=pages),
        scored("static-peak", theirs, peak, pages=theirs),
        target=target,
        pages=0.95,
    )

    verdict = judge(result)

    won = pages >= 0.95 and (target is None or ours >= target) and cost < peak * (1 - SAME_COST_RATIO)
    assert (verdict.tone is Tone.GOOD) == won
    assert ("kept its promise with" in verdict.headline) == won


@given(attainments(), attainments(), st.floats(1, 1e6), st.floats(1, 1e6))
def test_without_a_promise_a_win_needs_as_much_attainment(
    ours: float, theirs: float, cost: float, peak: float
) -> None:
    verdict = judge(
        replayed(scored("headgate", ours, cost), scored("static-peak", theirs, peak), target=None)
    )

    if verdict.tone is Tone.GOOD:
        assert ours >= theirs - SAME_ATTAINMENT
        assert cost < peak * (1 - SAME_COST_RATIO)


def test_a_headline_begins_with_a_capital_and_ends_with_a_stop() -> None:
    assert Verdict(Tone.NONE, "hpa won").headline == "Hpa won."


def test_another_policy_can_be_the_subject() -> None:
    result = replayed(scored("hpa", 0.995, 600), scored("static-peak", 0.996, 1000))

    assert judge(result).headline.startswith("Hpa kept its promise")
    assert judge(replace(result, policies=result.policies[::-1])).headline.startswith("Static-peak")
