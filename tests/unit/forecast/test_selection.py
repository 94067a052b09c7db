"""Hold the choice of a model to its order, its margin and its reasons."""

import numpy as np

from models.forecast.backtest import ORIGIN_STEP_S
from models.forecast.selection import Choice, Judged, choose
from models.series import Floats
from tests.demand import SUNDAY_S

HORIZONS_S = np.array([60.0, 300.0, 900.0])
ROWS = 576


def judged(name: str, loss: float | Floats, hit: float = 0.9) -> Judged:
    losses = np.broadcast_to(np.asarray(loss, dtype=float), (3, ROWS)).T.copy()
    hits = (np.arange(ROWS * 3) % 100 < 100 * hit).astype(float).reshape(ROWS, 3)
    hits[np.isnan(losses)] = np.nan
    return Judged(name, losses, hits)


def chosen(*candidates: Judged, blend: int | None = None) -> Choice:
    origins_s = SUNDAY_S + ORIGIN_STEP_S * np.arange(1.0, ROWS + 1.0)
    return choose(candidates, origins_s, HORIZONS_S, 0.9, blend)


def test_the_simplest_that_is_not_beaten_stays() -> None:
    choice = chosen(judged("last value", 1.0), judged("season", 0.985))

    assert choice.index == 0
    assert choice.why == "last value: season does not save 2% (-1% at 5m, -1% at 15m, over 48h)"
    assert choice.fallback is None


def test_a_clear_winner_is_chosen_and_the_reason_has_figures() -> None:
    choice = chosen(judged("last value", 1.0), judged("season", 0.7), judged("other", 0.8))

    assert choice.index == 1
    assert choice.why == "season: pinball loss against last value -30% at 5m, -30% at 15m, over 48h"


def test_two_that_win_alike_are_settled_by_order() -> None:
    assert chosen(judged("last value", 1.0), judged("a", 0.7), judged("b", 0.7)).index == 1


def test_a_lead_that_shrinks_below_the_margin_keeps_its_winner() -> None:
    """Better by a third until yesterday, worse by one percent since: not enough to switch back."""
    loss = np.where(np.arange(ROWS) < 288, 0.66, 1.01)
    choice = chosen(judged("last value", 1.0), judged("season", loss))

    assert choice.index == 1


def test_a_winner_that_turned_bad_is_left_after_a_day() -> None:
    loss = np.where(np.arange(ROWS) < 288, 0.66, 1.5)

    assert chosen(judged("last value", 1.0), judged("season", loss)).index == 0


def test_too_little_in_common_is_not_compared() -> None:
    loss = np.where(np.arange(ROWS) < ROWS - 23, np.nan, 0.1)
    choice = chosen(judged("last value", 1.0), judged("season", loss))

    assert choice.index == 0
    assert choice.why == "last value: comparing begins after 2h of common backtest"


def test_a_newcomer_does_not_undo_an_earlier_choice() -> None:
    """A week's season that exists since ten minutes must not cost the day's season its place."""
    young = np.where(np.arange(ROWS) < ROWS - 2, np.nan, 0.1)
    choice = chosen(judged("last value", 1.0), judged("day", 0.7), judged("week", young))

    assert choice.index == 1


def test_coverage_more_than_five_points_short_sets_the_forecast_aside() -> None:
    choice = chosen(judged("last value", 1.0), judged("season", 0.5, hit=0.84))

    assert choice.index == 1
    assert choice.fallback == "season covered 0.843 of the actuals where 0.9 was promised"
    assert chosen(judged("last value", 1.0), judged("season", 0.5, hit=0.86)).fallback is None


def test_a_winner_that_lost_over_the_whole_backtest_is_set_aside() -> None:
    loss = np.where(np.arange(ROWS) < 288, 1.3, 0.9)
    choice = chosen(judged("last value", 1.0), judged("season", loss))

    assert choice.index == 0
    assert choice.fallback == "season lost 1.10 times what last value did"


def test_the_next_best_steps_in_for_one_that_was_set_aside() -> None:
    """Falling back to the last value where another season holds would forget the nightly batch."""
    loss = np.where(np.arange(ROWS) < 288, 1.6, 0.5)
    choice = chosen(judged("last value", 1.0), judged("day", 0.6), judged("week", loss))

    assert choice.index == 1
    assert choice.fallback is None


def test_losing_nothing_is_no_reason_to_switch() -> None:
    assert chosen(judged("last value", 0.0), judged("season", 0.0)).index == 0


def test_an_empty_backtest_leaves_the_baseline_without_coverage() -> None:
    empty = judged("last value", np.nan)

    assert empty.coverage is None
    assert chosen(empty, judged("season", np.nan)).index == 0


def test_the_blend_answers_once_the_baseline_is_beaten() -> None:
    last, season = judged("last value", 1.0), judged("season", 0.6)

    assert chosen(last, season, judged("blend", 0.7), blend=2).index == 2
    assert chosen(last, judged("season", 0.99), judged("blend", 0.99), blend=2).index == 0
    assert chosen(last, season, judged("blend", 1.1), blend=2).index == 1


def test_a_blend_that_alone_covers_too_little_leaves_it_to_the_winner() -> None:
    last, season, blend = judged("last value", 1.0), judged("season", 0.6), judged("blend", 0.6, hit=0.84)
    choice = chosen(last, season, blend, blend=2)

    assert choice.index == 1
    assert choice.fallback is None


def test_where_all_cover_too_little_the_blend_answers_and_is_not_trusted() -> None:
    """The last value in its place would cover no better and lose two thirds more."""
    last, season = judged("last value", 1.0, hit=0.83), judged("season", 0.6, hit=0.84)
    choice = chosen(last, season, judged("blend", 0.6, hit=0.84), blend=2)

    assert choice.index == 2
    assert choice.fallback == "blend covered 0.843 of the actuals where 0.9 was promised"
