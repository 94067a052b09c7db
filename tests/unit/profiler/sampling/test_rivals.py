"""Early drop: a layout goes when it cannot win, stays when it may, and never leaves a role without choice."""

from dataclasses import replace

import pytest

from models.artifact import EngineLimits, LayoutProfile, Phase, Question
from models.mix import RequestMix
from models.surface import Surface
from models.values import Parallelism, Role
from profiler.measure.backend import Replica
from profiler.sampling.rivals import Contest, Need, need, optimistic, pessimistic, why_lost
from profiler.tasks import Task
from tests.builders import decode_layout, prefill_layout

CHAT = Question(2000.0, RequestMix.constant(2000, 500), 0.99, ttft_s=1.0, itl_s=0.03)
PAGES = replace(CHAT, itl_s=None, e2e_s=8.0)


def banded(layout: LayoutProfile, band: float) -> LayoutProfile:
    def around(surface: Surface | None) -> Surface | None:
        if surface is None:
            return None
        return replace(surface, band_ratio=tuple(tuple(band for _ in surface.y) for _ in surface.x))

    return replace(layout, prefill=around(layout.prefill), decode=around(layout.decode))


def task(layout: LayoutProfile) -> Task:
    held = Replica(
        layout.limits, layout.kv_capacity_tokens, layout.kv_fixed_tokens, layout.overhead_s, 0.0, "test"
    )
    return Task(layout.role, layout.parallelism, held, ())


def verdict(contest: Contest, layout: LayoutProfile) -> str | None:
    phase = Phase.PREFILL if layout.prefill else Phase.DECODE
    surface = layout.prefill or layout.decode
    assert surface is not None
    return contest.lost(task(layout), phase, surface)


def contest(question: Question, *done: LayoutProfile) -> Contest:
    found = Contest(question)
    for layout in done:
        found.add(layout)
    return found


GOOD = (
    banded(prefill_layout(110_000, tp=1), 0.05),
    banded(prefill_layout(200_000, tp=2), 0.05),
)


def test_a_layout_that_takes_far_more_than_two_others_is_lost_with_the_figures() -> None:
    wasteful = banded(prefill_layout(150_000, tp=8), 0.05)

    said = verdict(contest(CHAT, *GOOD), wasteful)

    assert said is not None
    assert "TP1" in said
    assert "TP2" in said
    least = need(replace(wasteful, prefill=optimistic(wasteful.prefill)), CHAT).cost  # type: ignore[arg-type]
    assert f"needs {least:g} GPUs or more" in said


def test_what_is_not_known_well_enough_stays() -> None:
    unsure = banded(prefill_layout(150_000, tp=8), 0.9)

    assert verdict(contest(CHAT, *GOOD), unsure) is None


def test_a_close_second_stays() -> None:
    close = banded(prefill_layout(360_000, tp=4), 0.05)

    assert verdict(contest(CHAT, *GOOD), close) is None


def test_a_role_keeps_two_layouts_whatever_comes() -> None:
    wasteful = banded(prefill_layout(150_000, tp=8), 0.05)

    assert verdict(contest(CHAT), wasteful) is None
    assert verdict(contest(CHAT, GOOD[0]), wasteful) is None


def test_rivals_of_the_other_role_do_not_count() -> None:
    slow = banded(decode_layout(base_s=0.01, tp=8), 0.05)

    assert verdict(contest(CHAT, *GOOD), slow) is None


def test_a_layout_that_breaks_the_promise_alone_is_lost_where_two_keep_it() -> None:
    slow = banded(prefill_layout(1500, tp=1), 0.05)

    said = verdict(contest(CHAT, *GOOD), slow)

    assert said is not None
    assert said.startswith("one request alone breaks the promise: TTFT 1.3")
    assert verdict(contest(CHAT, slow, slow), slow) is None


def test_a_quick_layout_stays_where_the_whole_answer_has_a_deadline() -> None:
    quick = banded(prefill_layout(400_000, tp=16), 0.05)

    assert verdict(contest(CHAT, *GOOD), quick) is not None
    assert verdict(contest(PAGES, *GOOD), quick) is None


def test_decode_layouts_are_judged_by_what_they_emit() -> None:
    good = [banded(decode_layout(tp=1), 0.05), banded(decode_layout(base_s=0.0015, tp=2), 0.05)]
    poor = banded(decode_layout(base_s=0.018, per_sequence_s=1e-4, tp=8), 0.05)

    assert verdict(contest(CHAT, *good), poor) is not None


def test_an_aggregated_layout_is_judged_with_both_of_its_surfaces() -> None:
    def whole(tp: int, tokens_per_s: float) -> LayoutProfile:
        return banded(
            LayoutProfile(
                Role.AGGREGATED,
                Parallelism(tp=tp),
                EngineLimits(512, 8192),
                4e6,
                prefill_layout(tokens_per_s).prefill,
                decode_layout().decode,
            ),
            0.05,
        )

    poor = whole(8, 100_000)
    judge = contest(CHAT, whole(1, 110_000), whole(2, 200_000))
    assert poor.prefill is not None
    assert poor.decode is not None

    assert judge.lost(task(poor), Phase.PREFILL, poor.prefill) is None
    assert judge.lost(task(poor), Phase.DECODE, poor.decode) is not None


@pytest.mark.parametrize(("cost", "lost"), [(12.4, False), (12.6, True)])
def test_the_margin_is_a_quarter_over_the_second_best(cost: float, lost: bool) -> None:
    def of(name: str, takes: float) -> Need:
        return Need(name, takes, True, 0.1, 0.01, False, "", "GPUs")

    assert (why_lost(of("TP8", cost), [of("TP1", 2), of("TP2", 10), of("TP4", 40)]) is not None) is lost


def test_edges_of_a_band_lie_beyond_it_and_never_fall() -> None:
    surface = Surface((1.0, 2.0), (1.0, 2.0), ((1.0, 2.0), (2.0, 3.0)), 0.0, ((0.1, 0.6), (0.1, 2.0)))

    low, high = optimistic(surface).values_s, pessimistic(surface).values_s

    assert low[0][0] <= low[0][1] <= low[1][1]
    assert high[0][0] <= high[0][1] <= high[1][1]
    for i in range(2):
        for j in range(2):
            value, band = surface.values_s[i][j], surface.band_ratio[i][j]
            assert low[i][j] <= max(value * (1 - band), value * 0.05) + 1e-12
            assert high[i][j] >= value * (1 + band) - 1e-12
