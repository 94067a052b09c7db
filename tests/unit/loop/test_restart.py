"""A process that begins now says what one that ran for four weeks says."""

from collections.abc import Mapping

from models.observation import Gap, Observation
from models.policy import DecidePolicy, ForecastPolicy, TickPolicy
from models.prediction import SignalForecast
from models.series import Series
from models.values import Signal
from planner.act.dryrun import DryRun
from planner.forecasting import Forecasting
from planner.history import SPAN_S
from planner.loop import Ticking
from planner.ports import Ports
from planner.recommend import Asked, recommend
from planner.record.memory import Memory
from planner.tick import Served
from tests import builders, demand

# Every night looks alike, so that a day and a week foretell it about as well: more history tips the scale.
WEEKS = demand.nightly_batch(28, night_rps=200.0, seed=1)
NOW_S = demand.SUNDAY_S + 24.5 * demand.DAY_S


class Stored:
    """Keep four weeks, and give of them what is asked for."""

    gaps: tuple[Gap, ...] = ()
    failed = False

    def history(self, until_s: float, span_s: float) -> Mapping[str, Mapping[Signal, Series]]:
        return demand.everywhere(WEEKS.window(until_s - span_s, until_s), "pages")


class Blind:
    """See pools and no demand, so that only what was read back counts."""

    def observe(self, now_s: float) -> Observation:
        return builders.observation({"pages": None}, at_s=now_s, demand_at_s=None)


def forecasting() -> Forecasting:
    return Forecasting(ForecastPolicy(), ["pages"], hold_s=1800.0)


def said(forecaster: Forecasting) -> SignalForecast:
    return forecaster.forecast(NOW_S).signals["pages"][Signal.ARRIVALS]


def ran_for_weeks() -> SignalForecast:
    one = forecasting()
    one.seed(demand.everywhere(WEEKS.window(NOW_S - SPAN_S, NOW_S), "pages"))
    return said(one)


def policy() -> TickPolicy:
    return TickPolicy("shop", ForecastPolicy(), builders.plan_policy(), DecidePolicy())


def served() -> Served:
    return Served(builders.layouts(), "sha256:0", "0")


def test_eight_days_would_have_said_otherwise() -> None:
    """The ground that the tests below stand on."""
    short = forecasting()
    short.seed(Stored().history(NOW_S, 8 * demand.DAY_S))

    assert said(short).paths != ran_for_weeks().paths


def test_the_loop_forgets_nothing_over_a_restart() -> None:
    restarted = forecasting()
    ports = Ports(Blind(), restarted, DryRun(), Memory())

    Ticking(ports, restarted, Stored(), lambda _: (), policy(), served())(NOW_S)

    assert said(restarted) == ran_for_weeks()


def test_one_recommendation_says_what_the_loop_would() -> None:
    fresh = forecasting()

    made = recommend(NOW_S, Asked(Blind(), Stored(), fresh, policy(), served()))

    assert made.record.forecast.signals["pages"][Signal.ARRIVALS] == ran_for_weeks()
