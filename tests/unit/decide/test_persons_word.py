"""Pauses, pins and maintenance windows: a person's word stands above every figure."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from models.decision import Reason
from models.observation import PoolState
from models.policy import DecidePolicy, PoolPolicy
from models.values import Role
from models.window import Allowed, Once, Weekly, Window
from tests.builders import AT_S, plan_policy, pool
from tests.unit.decide.deciding import DECODE, PREFILL, decided, reasons, said, sizing

BERLIN = ZoneInfo("Europe/Berlin")
NOW = Once(AT_S - 60, AT_S + 3600)


def both(prefill: PoolState, decode: PoolState | None = None) -> dict[Role, PoolState]:
    return {PREFILL: prefill, DECODE: decode or pool(2)}


def during(allowed: Allowed, when: Once | Weekly = NOW) -> DecidePolicy:
    return DecidePolicy(windows=(Window("upgrade", allowed, when),))


@pytest.mark.parametrize(("wanted", "final"), [(2, 4), (9, 9)])
def test_a_paused_scale_in_keeps_replicas_and_lets_ups_through(wanted: int, final: int) -> None:
    decision = decided(both(pool(4, paused_scale_in=True)), sizing(wanted, 2))
    assert decision.final[PREFILL] == final
    assert reasons(decision, PREFILL) == ([Reason.PAUSED_SCALE_IN] if wanted < 4 else [])


@pytest.mark.parametrize(("wanted", "final"), [(3, 3), (9, 4)])
def test_a_paused_scale_out_adds_none_and_lets_downs_through(wanted: int, final: int) -> None:
    decision = decided(both(pool(4, paused_scale_out=True)), sizing(wanted, 2))
    assert decision.final[PREFILL] == final
    assert reasons(decision, PREFILL) == ([Reason.PAUSED_SCALE_OUT] if wanted > 4 else [])


def test_paused_on_both_sides_is_paused() -> None:
    for wanted in (1, 9):
        held = pool(4, paused_scale_in=True, paused_scale_out=True)
        assert decided(both(held), sizing(wanted, 2)).final[PREFILL] == 4


def test_no_later_guard_overrules_a_pause_on_one_side() -> None:
    low = plan_policy(pools={PREFILL: PoolPolicy(max_replicas=3), DECODE: PoolPolicy()})
    assert decided(both(pool(4, paused_scale_in=True)), sizing(3, 2), low).final[PREFILL] == 4
    high = plan_policy(pools={PREFILL: PoolPolicy(min_replicas=6), DECODE: PoolPolicy()})
    assert decided(both(pool(4, paused_scale_out=True)), sizing(6, 2), high).final[PREFILL] == 4
    # The budget binds: a donor may not give what a person told it to keep.
    full = plan_policy(budget_gpus=20)
    held = decided(both(pool(12, paused_scale_in=True)), sizing(8, 3), full)
    assert held.final == {PREFILL: 12, DECODE: 2}


def test_nobody_gives_gpus_to_a_role_that_must_not_grow() -> None:
    full = plan_policy(budget_gpus=20)
    decision = decided(
        both(pool(12), pool(2, paused_scale_out=True)), sizing(10, 3, upper={PREFILL: 12}), full
    )
    assert decision.final == {PREFILL: 12, DECODE: 2}


def test_a_pin_keeps_to_the_open_side_of_a_pause() -> None:
    kept = decided(both(pool(4, pinned_replicas=2, paused_scale_in=True)), sizing(9, 2))
    assert kept.final[PREFILL] == 4
    assert reasons(kept, PREFILL) == [Reason.PINNED, Reason.PAUSED_SCALE_IN]
    grown = decided(both(pool(4, pinned_replicas=6, paused_scale_in=True)), sizing(9, 2))
    assert grown.final[PREFILL] == 6


def test_one_role_s_pause_leaves_the_other_alone() -> None:
    decision = decided(both(pool(4, paused_scale_out=True), pool(2)), sizing(9, 5))
    assert decision.final == {PREFILL: 4, DECODE: 5}


@pytest.mark.parametrize(
    ("allowed", "wanted", "final"),
    [
        (Allowed.NOTHING, 9, 4),
        (Allowed.NOTHING, 3, 4),
        (Allowed.UP, 9, 9),
        (Allowed.UP, 3, 4),
        (Allowed.DOWN, 9, 4),
        (Allowed.DOWN, 3, 3),
    ],
)
def test_an_open_window_lets_through_what_it_allows(allowed: Allowed, wanted: int, final: int) -> None:
    decision = decided(both(pool(4)), sizing(wanted, 2), policy=during(allowed))
    assert decision.final[PREFILL] == final
    if final == 4:
        assert reasons(decision, PREFILL) == [Reason.WINDOW]
        assert "'upgrade' until 2023-11-14 23:13 UTC" in said(decision, PREFILL)


@pytest.mark.parametrize("allowed", list(Allowed))
@pytest.mark.parametrize("when", [Once(AT_S - 60, AT_S), Once(AT_S + 1, AT_S + 60)], ids=["past", "to come"])
def test_a_window_that_is_not_open_changes_nothing(allowed: Allowed, when: Once) -> None:
    for wanted in (sizing(9, 2), sizing(3, 1)):
        assert decided(both(pool(4)), wanted, policy=during(allowed, when)) == decided(both(pool(4)), wanted)


def test_windows_that_overlap_are_all_kept() -> None:
    policy = DecidePolicy(windows=(Window("sale", Allowed.UP, NOW), Window("quota", Allowed.DOWN, NOW)))
    for wanted in (2, 9):
        assert decided(both(pool(4)), sizing(wanted, 2), policy=policy).final[PREFILL] == 4


def test_a_pin_is_followed_in_a_window() -> None:
    decision = decided(both(pool(4, pinned_replicas=6)), sizing(9, 3), policy=during(Allowed.NOTHING))
    assert decision.final == {PREFILL: 6, DECODE: 2}


def test_a_window_s_word_holds_against_floors_and_budgets() -> None:
    plan = plan_policy(
        budget_gpus=20, pools={PREFILL: PoolPolicy(min_replicas=6), DECODE: PoolPolicy(max_replicas=1)}
    )
    decision = decided(both(pool(4), pool(3)), sizing(16, 1), plan, during(Allowed.NOTHING))
    assert decision.final == {PREFILL: 4, DECODE: 3}


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, zone: ZoneInfo = BERLIN) -> float:
    return datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()


def test_a_weekly_window_goes_by_the_wall_clock_and_past_midnight() -> None:
    # Saturdays 22:00 to 06:00 in Berlin; 28 November 2026 is a Saturday.
    night = Weekly(frozenset({5}), time(22), time(6), "Europe/Berlin")
    assert night.end_s(at(2026, 11, 28, 21, 59)) is None
    assert night.end_s(at(2026, 11, 28, 22, 0)) == at(2026, 11, 29, 6, 0)
    assert night.end_s(at(2026, 11, 29, 5, 59)) == at(2026, 11, 29, 6, 0)
    assert night.end_s(at(2026, 11, 29, 6, 0)) is None
    assert night.end_s(at(2026, 11, 29, 22, 0)) is None


def test_a_weekly_window_lasts_an_hour_more_where_clocks_go_back() -> None:
    # On 25 October 2026 Berlin's clocks show 02:00 to 03:00 twice.
    night = Weekly(frozenset({5}), time(22), time(6), "Europe/Berlin")
    begin_s = at(2026, 10, 24, 22, 0)
    assert night.end_s(begin_s) == begin_s + 9 * 3600
    # In summer the same wall clock is an hour earlier in UTC.
    summer = datetime(2026, 7, 4, 20, 30, tzinfo=UTC).timestamp()
    assert night.end_s(summer) is not None
    assert night.end_s(datetime(2026, 12, 5, 20, 30, tzinfo=UTC).timestamp()) is None


def test_equal_times_are_a_whole_day() -> None:
    sunday = Weekly(frozenset({6}))
    assert sunday.end_s(at(2026, 11, 29, 12, zone=ZoneInfo("UTC"))) == at(2026, 11, 30, zone=ZoneInfo("UTC"))
    assert sunday.end_s(at(2026, 11, 30, 0, zone=ZoneInfo("UTC"))) is None


def test_a_window_without_a_day_and_one_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="needs days"):
        Weekly(frozenset())
    with pytest.raises(ValueError, match="no IANA time zone"):
        Weekly(frozenset({0}), timezone="Mars/Olympus")
    with pytest.raises(ValueError, match="end after it begins"):
        Once(AT_S, AT_S)
