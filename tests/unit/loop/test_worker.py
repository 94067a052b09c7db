"""A fit is made elsewhere, and what goes wrong there leaves the last good one in place and is told."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from models.forecast.base import NotYet
from models.forecast.signal import SignalFit, fit_signal, path
from models.policy import ForecastPolicy
from models.series import Series
from models.values import Signal
from planner.fitting import Due, Fitter, Fitting, InlineFitter, Subject
from planner.forecasting import OLD_FIT_S, Forecasting
from planner.worker import LATE_S, FittingWorker
from tests.demand import DAY_S, SUNDAY_S, diurnal, everywhere, seen
from tests.unit.loop import fitters

PAST = diurnal(4, seed=3)
NOW_S = PAST.end_s
PLAIN = ForecastPolicy()
SLOW = ForecastPolicy(forecasters=("fourier",))
SUBJECT = Subject("shop", "chat", Signal.ARRIVALS)


@pytest.fixture
def started() -> Iterator[Callable[..., FittingWorker]]:
    """Give workers and end their processes."""
    made = []

    def start(**options: object) -> FittingWorker:
        made.append(FittingWorker(**options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for each in made:
        each.stop()


def ask(fitter: Fitter, seeded: int = 1, policy: ForecastPolicy = PLAIN) -> Fitting:
    return fitter.fit(SUBJECT, Due(NOW_S, seeded), lambda: PAST, policy)


def until(wanted: Callable[[], bool], limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while not wanted():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.02)


def test_an_inline_fit_is_there_at_once_and_made_once_for_each_due() -> None:
    fitter, read = InlineFitter(), []

    def series() -> Series:
        read.append(1)
        return PAST

    first = fitter.fit(SUBJECT, Due(NOW_S), series, PLAIN)
    again = fitter.fit(SUBJECT, Due(NOW_S), series, PLAIN)
    fitter.fit(SUBJECT, Due(NOW_S, seeded=1), series, PLAIN)

    assert isinstance(first.fit, SignalFit)
    assert again is first
    assert len(read) == 2


def test_a_worker_answers_at_once_and_later_with_the_fit_that_inline_makes(
    started: Callable[..., FittingWorker],
) -> None:
    fitter = started()

    assert ask(fitter).fit is None
    until(lambda: ask(fitter).fit is not None)

    made, own = ask(fitter).fit, fit_signal(PAST, NOW_S, PLAIN)
    assert isinstance(made, SignalFit)
    assert isinstance(own, SignalFit)
    ahead_s = 60.0 * np.arange(1.0, 31.0)
    recent = PAST.window(NOW_S - 7200.0, NOW_S)
    theirs, ours = path(made, recent, NOW_S, ahead_s), path(own, recent, NOW_S, ahead_s)
    assert theirs is not None
    assert ours is not None
    assert theirs.model == ours.model
    np.testing.assert_array_equal(theirs.quantiles, ours.quantiles)
    assert made.why == own.why
    assert made.coverage == own.coverage


def test_the_first_fit_is_made_without_the_slow_models_and_then_with_them(
    started: Callable[..., FittingWorker],
) -> None:
    fitter = started()
    names: list[str] = []

    def answered() -> bool:
        fit = ask(fitter, policy=SLOW).fit
        if isinstance(fit, SignalFit) and (not names or names[-1] != fit.why):
            names.append(fit.why)
        return len(names) == 2

    until(answered)
    own = fit_signal(PAST, NOW_S, SLOW)
    assert isinstance(own, SignalFit)
    assert names[-1] == own.why


def test_a_history_that_is_too_short_is_an_answer(started: Callable[..., FittingWorker]) -> None:
    fitter = started()
    empty = Series.empty()

    until(lambda: fitter.fit(SUBJECT, Due(NOW_S), lambda: empty, PLAIN).fit is not None)

    assert isinstance(fitter.fit(SUBJECT, Due(NOW_S), lambda: empty, PLAIN).fit, NotYet)


@pytest.mark.parametrize(
    ("serve", "limit_s", "told"),
    [(fitters.hanging, 3.0, "longer than 3s"), (fitters.dying, 600.0, "process ended")],
)
def test_a_fit_that_hangs_or_dies_leaves_the_last_good_one_and_the_next_due_is_tried(
    started: Callable[..., FittingWorker], serve: object, limit_s: float, told: str
) -> None:
    fitter = started(serve=serve, limit_s=60.0)
    until(lambda: ask(fitter).fit is not None)
    good = ask(fitter).fit
    fitter._limit_s = limit_s

    until(lambda: ask(fitter, seeded=2).trouble is not None)

    bad = ask(fitter, seeded=2)
    assert bad.fit is good
    assert bad.due == Due(NOW_S, 1)
    assert bad.trouble is not None
    assert told in bad.trouble
    # A subject of its own shows that the process was begun anew.
    other = replace(SUBJECT, deployment="bank")
    fitter._limit_s = 60.0
    until(lambda: fitter.fit(other, Due(NOW_S, 1), lambda: PAST, PLAIN).fit is not None)


def test_a_defect_in_a_model_is_told_and_costs_no_other_fit(started: Callable[..., FittingWorker]) -> None:
    fitter = started()
    broken = replace(PLAIN, calibration_s=float("nan"))

    until(lambda: ask(fitter, seeded=2, policy=broken).trouble is not None)
    assert "ValueError" in (ask(fitter, seeded=2, policy=broken).trouble or "")

    until(lambda: ask(fitter, seeded=3).fit is not None)
    assert ask(fitter, seeded=3).trouble is None


def test_a_fit_that_waits_is_told_of_after_a_while(started: Callable[..., FittingWorker]) -> None:
    now_s = [0.0]
    fitter = started(serve=fitters.hanging, elapsed_s=lambda: now_s[0])

    assert ask(fitter, seeded=2).trouble is None
    now_s[0] = LATE_S + 61.0
    assert ask(fitter, seeded=2).trouble == "a fit has been due for 6m1s"


def test_a_stopped_worker_leaves_no_process_and_keeps_answering(
    started: Callable[..., FittingWorker],
) -> None:
    fitter = started(serve=fitters.hanging)
    until(lambda: ask(fitter).fit is not None)
    ask(fitter, seeded=2)
    until(lambda: fitter._process is not None)
    process = fitter._process
    assert process is not None

    fitter.stop()

    assert not process.is_alive()
    assert ask(fitter, seeded=2).fit is not None


def test_a_forecast_does_not_wait_for_a_fit_that_never_comes(started: Callable[..., FittingWorker]) -> None:
    """The worker hangs at the second reading of the history: what it fitted to the first answers on."""
    fitter = started(serve=fitters.hanging, elapsed_s=lambda: 0.0)
    made = Forecasting(SLOW, ["chat"], 600.0, fitter=fitter, deployment="shop")
    made.seed(everywhere(PAST))

    first = made.forecast(NOW_S).signals["chat"][Signal.ARRIVALS]
    assert first.model == "last value"
    assert first.fallback == "the first fit is being made"
    assert first.fitted_at_s is None

    until(lambda: made.forecast(NOW_S).trusted)
    fitted_s = SUNDAY_S + 4 * DAY_S
    made.seed(everywhere(PAST))
    for minute in range(1, 91):
        made.absorb(seen(NOW_S + 60.0 * minute, 20.0))
        said = made.forecast(NOW_S + 60.0 * minute).signals["chat"][Signal.ARRIVALS]
        assert said.fitted_at_s == fitted_s
        assert said.model != "last value"
        assert said.fallback is None


def test_a_fit_that_is_too_old_is_no_longer_trusted(started: Callable[..., FittingWorker]) -> None:
    now_s = [0.0]
    fitter = started(serve=fitters.hanging, elapsed_s=lambda: now_s[0])
    made = Forecasting(PLAIN, ["chat"], 600.0, fitter=fitter, deployment="shop")
    made.seed(everywhere(PAST))
    until(lambda: made.forecast(NOW_S).trusted)
    made.seed(everywhere(PAST))
    made.forecast(NOW_S)

    now_s[0] = OLD_FIT_S + 7200.0
    later_s = NOW_S + now_s[0]
    made.absorb(seen(later_s, 20.0))
    said = made.forecast(later_s).signals["chat"][Signal.ARRIVALS]

    assert said.fallback is not None
    assert said.fallback.startswith("the latest fit is 8h older than it should be; a fit has been due for")
    assert said.trouble is not None
