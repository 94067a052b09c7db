"""Selection: fewest GPUs under the promise, the runner-up with why it lost, and honest refusals."""

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

from models.artifact import LayoutProfile, Machine, ParetoPoint, Question, Selection
from models.capacity.load import ClassLoad
from models.capacity.predict import predict
from models.mix import RequestMix
from models.values import Role
from profiler.order import Order
from profiler.pareto import front, undominated
from profiler.planning import plan
from profiler.sampling.full import Full
from profiler.selecting import Fleet, most_within, promise, select, why_unplaced, would_change
from profiler.sweep import Terms, sweep
from profiler.wiring import bench, scope

PAGES = Question(180, RequestMix.constant(8000, 50), 0.99, ttft_s=0.3, e2e_s=0.5, budget_gpus={"GB200": 40})
GB200 = (Machine("GB200", 4, 72),)


@cache
def layouts(names: str = "TP1,TP2,TP4,TEP4,DEP4") -> tuple[LayoutProfile, ...]:
    work = bench(Order("gpt-oss-120b", "GB200", "trtllm", layouts=names))
    return sweep(plan(work.roles, scope(work, 32_768)), work.roles, Terms(Full(computed=True))).layouts


def answer(question: Question, names: str = "TP1,TP2,TP4,TEP4,DEP4") -> Selection:
    return select(layouts(names), question, GB200)


def test_the_shop_gets_narrow_prefill_and_wide_decode() -> None:
    found = answer(PAGES)

    assert found.feasible
    assert found.layouts[Role.PREFILL] == "TP1"
    assert found.gpus <= 40
    assert "TTFT 300ms and end-to-end 500ms" in found.why


def test_the_selection_keeps_the_promise_and_one_replica_fewer_does_not() -> None:
    found = answer(PAGES)
    by_key = {(x.role, x.parallelism.name): x for x in layouts()}
    load = [ClassLoad.steady(promise(PAGES), PAGES.rate_rps, PAGES.mix)]

    def attained(counts: dict[Role, int]) -> float:
        fleet = {role: (by_key[role, found.layouts[role]], n) for role, n in counts.items()}
        return predict(load, fleet).expected_attainment

    assert attained(dict(found.replicas)) >= 0.99
    for role, n in found.replicas.items():
        if n > 1:
            assert attained({**found.replicas, role: n - 1}) < 0.99


def test_no_pairing_takes_fewer_gpus_than_the_selected_one() -> None:
    found = answer(PAGES)

    for prefill in ("TP1", "TP2", "TP4"):
        for decode in ("TP1", "TP2", "TP4", "TEP4", "DEP4"):
            pair = [
                x
                for x in layouts()
                if (x.role is Role.PREFILL and x.parallelism.name == prefill)
                or (x.role is Role.DECODE and x.parallelism.name == decode)
            ]
            only = select(pair, PAGES, GB200)
            assert not only.feasible or only.gpus >= found.gpus, (prefill, decode)


def test_the_runner_up_says_why_it_lost() -> None:
    found = answer(PAGES)

    assert found.runner_up
    assert "GPU" in found.runner_up_lost


def test_a_fleet_over_the_budget_is_infeasible_and_says_what_it_would_take() -> None:
    found = answer(
        Question(180, RequestMix.constant(8000, 50), 0.99, ttft_s=0.3, e2e_s=0.5, budget_gpus={"GB200": 8})
    )

    assert not found.feasible
    assert found.gpus > 8
    assert found.why.endswith("but the budget is 8")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (Question(1, RequestMix.constant(8000, 50), 0.99, ttft_s=0.02), "TTFT .* over 20ms"),
        (Question(1, RequestMix.constant(8000, 50), 0.99, itl_s=0.001), "ITL .* over 1ms"),
        (Question(1, RequestMix.constant(8000, 500), 0.99, e2e_s=0.2), "end-to-end .* over 200ms"),
    ],
)
def test_a_promise_that_one_request_alone_breaks_is_a_layout_problem(question: Question, says: str) -> None:
    found = answer(question)

    assert not found.feasible
    assert re.search(says, found.why)
    assert "More replicas do not help" in found.why
    assert set(found.replicas.values()) == {0}


def test_more_load_never_takes_fewer_gpus_and_a_looser_promise_never_more() -> None:
    by_rate = [
        answer(Question(rate, RequestMix.constant(2000, 200), 0.99, ttft_s=0.5)).gpus
        for rate in (1, 20, 100, 400)
    ]
    by_slo = [
        answer(Question(100, RequestMix.constant(2000, 200), 0.99, itl_s=itl)).gpus
        for itl in (0.004, 0.006, 0.01, 0.1)
    ]

    assert by_rate == sorted(by_rate)
    assert by_slo == sorted(by_slo, reverse=True)


def test_no_layout_at_all_is_said() -> None:
    found = select((), PAGES, GB200)

    assert not found.feasible
    assert found.why == "no layout of the model fits this hardware in any role"


def test_the_same_question_gives_the_same_answer() -> None:
    assert answer(PAGES) == answer(PAGES)


def test_the_front_falls_in_speed_and_rises_in_output() -> None:
    points = front(layouts(), PAGES)

    assert len(points) > 3
    assert all(
        a.tokens_per_s_per_user > b.tokens_per_s_per_user and a.tokens_per_s_per_gpu < b.tokens_per_s_per_gpu
        for a, b in pairwise(points)
    )


def test_a_dominated_point_is_dropped() -> None:
    fast, slow, beaten = ParetoPoint("a", 100, 10), ParetoPoint("b", 10, 100), ParetoPoint("c", 9, 50)

    assert undominated([slow, beaten, fast, fast]) == [fast, slow]


def test_the_ranking_starts_with_the_winner_and_says_why_each_other_lost() -> None:
    ranking = answer(PAGES).ranking

    assert ranking[0].lost == ""
    assert all(each.lost for each in ranking[1:])
    assert [each.gpus for each in ranking] == sorted(each.gpus for each in ranking)
    assert ranking[0].goodput_rps_per_gpu == answer(PAGES).goodput_rps_per_gpu
    assert ranking[0].goodput_rps_per_gpu == pytest.approx(180 / ranking[0].gpus, rel=0.01)


def test_what_would_change_the_choice_does_change_it() -> None:
    """The rate that is named makes another pairing smaller by more than a twentieth."""
    found = answer(PAGES)
    said = would_change(layouts(), PAGES, found, GB200)

    pattern = re.compile(r"a rate of (\S+) requests/s: (.*) with (\d+) GPUs")
    named = next(match for match in map(pattern.match, said) if match)
    other = answer(replace(PAGES, rate_rps=float(named[1])))
    assert other.gpus == int(named[3])
    assert other.ranking[0].name == named[2]
    assert other.layouts != found.layouts


def test_a_choice_that_fails_is_not_explained_by_what_would_change_it() -> None:
    question = replace(PAGES, budget_gpus={"GB200": 8})

    assert would_change(layouts(), question, answer(question), GB200) == ()


def test_the_highest_rate_fills_the_budget() -> None:
    asked = replace(PAGES, rate_rps=10.0, budget_gpus={"GB200": 24})

    most = most_within(layouts(), asked, GB200)

    found = answer(most)
    assert found.feasible
    assert 20 <= found.gpus <= 24
    assert not answer(replace(most, rate_rps=most.rate_rps * 1.05)).feasible


def test_without_a_budget_there_is_no_highest_rate() -> None:
    asked = replace(PAGES, budget_gpus={})

    assert most_within(layouts(), asked, GB200) == asked


def test_a_mix_is_sized_by_its_own_lengths_and_not_by_their_mean() -> None:
    """Half of the prompts are 16k, half 200: the mean of 8k would keep a TTFT that the long ones break."""
    mixed = RequestMix.merge([(1, RequestMix.constant(16_000, 50)), (1, RequestMix.constant(200, 50))])
    strict = Question(20, RequestMix.constant(8_100, 50), 0.99, ttft_s=0.15)

    assert answer(strict).feasible
    assert answer(replace(strict, mix=mixed)).layouts != answer(strict).layouts


@cache
def two_kinds() -> tuple[LayoutProfile, ...]:
    """Profile prefill on H100 and decode on GB200."""
    order = Order("gpt-oss-120b", "prefill=h100,decode=gb200", layouts="TP1,TP2,TP4")
    work = bench(order)
    return sweep(plan(work.roles, scope(work, 32_768)), work.roles, Terms(Full(computed=True))).layouts


BOTH = (Machine("H100", 8, 8), Machine("GB200", 4, 72))
CHAT = Question(40, RequestMix.constant(1000, 300), 0.99, ttft_s=0.5, itl_s=0.02)


def test_roles_on_different_hardware_have_a_budget_each() -> None:
    roomy = select(two_kinds(), replace(CHAT, budget_gpus={"H100": 64, "GB200": 8}), BOTH)
    h100 = roomy.replicas[Role.PREFILL] * int(roomy.layouts[Role.PREFILL].removeprefix("TP"))
    tight = select(two_kinds(), replace(CHAT, budget_gpus={"H100": h100 - 1, "GB200": 8}), BOTH)

    assert roomy.feasible
    assert "GPUs of H100 and" in roomy.why
    assert not tight.feasible or tight.layouts != roomy.layouts
    assert any("of H100, whose budget is" in each.lost for each in tight.ranking) or not tight.feasible


def test_prices_decide_where_they_are_stated() -> None:
    """With GB200 at a thousandth of H100's price, prefill takes the layout of least H100."""
    dear = select(two_kinds(), replace(CHAT, price_per_gpu_h={"H100": 1000.0, "GB200": 1.0}), BOTH)
    cheap = select(two_kinds(), replace(CHAT, price_per_gpu_h={"H100": 1.0, "GB200": 1000.0}), BOTH)

    def gpus(found: Selection, role: Role) -> int:
        return found.replicas[role] * int(found.layouts[role].removeprefix("TP"))

    assert gpus(dear, Role.PREFILL) <= gpus(cheap, Role.PREFILL)
    assert gpus(cheap, Role.DECODE) <= gpus(dear, Role.DECODE)
    assert " an hour " in dear.why


def test_a_hand_over_between_kinds_of_hardware_takes_the_network() -> None:
    prefill = next(x for x in two_kinds() if x.key == "prefill=TP1")
    inside = next(x for x in layouts() if x.key == "prefill=TP1")

    # 900 GB/s inside the NVLink domain, 50 GB/s over the network.
    assert prefill.handover_s_per_token == pytest.approx(inside.handover_s_per_token * 900 / 50)


def test_over_several_nvlink_domains_each_must_hold_both_roles() -> None:
    by_key = {x.key: x for x in layouts()}
    pairing = {Role.PREFILL: by_key["prefill=TP1"], Role.DECODE: by_key["decode=TP4"]}
    load = [ClassLoad.steady(promise(PAGES), PAGES.rate_rps, PAGES.mix)]
    prediction = predict(load, {role: (layout, 2) for role, layout in pairing.items()})
    asked = replace(PAGES, budget_gpus={"GB200": 144})

    def why(prefill: int, decode: int) -> str | None:
        counts = {Role.PREFILL: prefill, Role.DECODE: decode}
        return why_unplaced(Fleet(pairing, counts, prediction, 0.0), asked, GB200)

    assert why(1, 17) is None
    assert why(1, 18) == "prefill and decode cannot be divided so that every NVLink domain in use holds both"
    assert why(2, 18) is None
