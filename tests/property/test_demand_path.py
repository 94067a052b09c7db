"""From samples as Prometheus tells them to a forecast: what goes wrong on the way does not move its end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from config.metrics import read_metrics
from models.policy import ForecastPolicy
from models.prediction import SignalForecast
from models.series import Floats, Series
from models.values import Signal
from planner.forecasting import Forecasting
from planner.history import History
from planner.observe.demand import choose_arrivals, history
from planner.observe.histograms import named
from planner.observe.samples import joined, parse
from tests.demand import MINUTES_PER_DAY, SUNDAY_S, diurnal

NAMES = read_metrics("dynamo")
DAYS = 3
STEPS = DAYS * MINUTES_PER_DAY
END_S = SUNDAY_S + 60.0 * STEPS
EDGES_S = SUNDAY_S + 60.0 * np.arange(STEPS + 1, dtype=np.float64)
ISL, OSL = 900.0, 120.0
ARRIVED = np.rint(60.0 * diurnal(DAYS).values)
# In the last forty minutes nothing goes wrong: how an outage that goes on is met has tests of its own.
LAST = STEPS - 40


@dataclass(frozen=True)
class Mess:
    """Say in which minutes a counter restarts, or a scrape is no number, comes twice or out of order.

    `lost` are stretches without samples, `deaf` such in which the counter stood still: (minute, minutes).
    `spikes` are minutes with ten times the requests.
    """

    restarts: tuple[int, ...] = ()
    nan: tuple[int, ...] = ()
    twice: tuple[int, ...] = ()
    swapped: tuple[int, ...] = ()
    lost: tuple[tuple[int, int], ...] = ()
    deaf: tuple[tuple[int, int], ...] = ()
    spikes: tuple[int, ...] = ()


def arrived(mess: Mess) -> Floats:
    """Return the requests of each minute that are counted."""
    counted = ARRIVED.copy()
    counted[list(mess.spikes)] *= 10.0
    for begin, minutes in mess.deaf:
        counted[begin : min(begin + minutes, LAST)] = 0.0
    return counted


def answer(mess: Mess) -> list[object]:
    """Write what Prometheus tells of the three counters, one sample a minute."""
    count = np.concatenate(([0.0], np.cumsum(arrived(mess))))
    for at in sorted(mess.restarts):
        # The sample at minute `at` is the last before the restart; what follows counts from zero.
        count[at + 1 :] -= count[at]
    return [
        _told("dynamo_frontend_requests_started_total", count, mess),
        _told("dynamo_frontend_input_sequence_tokens_sum", ISL * count, mess),
        _told("dynamo_frontend_input_sequence_tokens_count", count, mess),
        _told("dynamo_frontend_output_sequence_tokens_sum", OSL * count, mess),
        _told("dynamo_frontend_output_sequence_tokens_count", count, mess),
    ]


def _told(name: str, values: Floats, mess: Mess) -> object:
    gone = {m for begin, n in mess.lost for m in range(begin, min(begin + n, LAST))}
    pairs: list[tuple[float, str]] = []
    for minute, value in enumerate(values.tolist()):
        if minute not in gone:
            pair = (SUNDAY_S + 60.0 * minute, "NaN" if minute in mess.nan else repr(value))
            pairs += [pair] * (2 if minute in mess.twice else 1)
    for i in mess.swapped:
        if i + 1 < len(pairs):
            pairs[i], pairs[i + 1] = pairs[i + 1], pairs[i]
    return {"metric": {"__name__": name, "job": "frontend", "instance": "a"}, "values": pairs}


def past(mess: Mess) -> dict[Signal, Series]:
    samples, _ = parse(answer(mess))
    find = named(joined(samples))
    arrivals = choose_arrivals(NAMES, find)
    assert arrivals is not None
    return dict(history(NAMES, arrivals, [], find, EDGES_S))


def forecast(mess: Mess) -> dict[Signal, SignalForecast]:
    made = Forecasting(ForecastPolicy(), ["chat"], 600.0)
    made.seed({"chat": past(mess)})
    return dict(made.forecast(END_S).signals["chat"])


@cache
def undisturbed() -> dict[Signal, SignalForecast]:
    return forecast(Mess())


def medians(said: SignalForecast) -> Sequence[float]:
    return said.paths[said.levels.index(0.5)]


def test_without_a_mess_the_path_tells_what_was_drawn() -> None:
    told = past(Mess())

    assert told[Signal.ARRIVALS].known.all()
    assert told[Signal.ARRIVALS].values == pytest.approx(ARRIVED / 60.0)
    assert told[Signal.DECODE_TOKENS].known_values[-1] == pytest.approx(OSL * ARRIVED[-1] / 60.0)
    for signal, tokens in ((Signal.PREFILL_TOKENS, ISL), (Signal.DECODE_TOKENS, OSL)):
        arrivals = medians(undisturbed()[Signal.ARRIVALS])
        assert medians(undisturbed()[signal]) == pytest.approx(np.array(arrivals) * tokens, rel=0.01)


MESSES = {
    "a counter restarts three times": Mess(restarts=(700, 2000, 4200)),
    "scrapes that are no numbers": Mess(nan=tuple(range(100, LAST, 37))),
    "samples that come twice": Mess(twice=tuple(range(50, LAST, 11))),
    "samples out of order": Mess(swapped=tuple(range(20, LAST, 13))),
    "ten minutes without samples": Mess(lost=((3 * MINUTES_PER_DAY - 700, 10),)),
    "14 hours without samples": Mess(lost=((2 * MINUTES_PER_DAY - 300, 14 * 60),)),
    "ten minutes of zeros": Mess(deaf=((2 * MINUTES_PER_DAY + 12, 10),)),
    "14 hours of zeros": Mess(deaf=((2 * MINUTES_PER_DAY - 300, 14 * 60),)),
    "a restart within zeros": Mess(deaf=((2000, 90),), restarts=(2050,)),
    "zeros that begin and end in a gap": Mess(deaf=((1990, 120),), lost=((1980, 20), (2100, 30))),
    "spikes of ten times": Mess(spikes=(500, 1900, 2880, 4000)),
}


@pytest.mark.parametrize("mess", MESSES.values(), ids=MESSES.keys())
def test_a_forecast_is_what_it_would_have_been(mess: Mess) -> None:
    """Half a day less of three is a sixth of what a season is made of: its level moves by its noise."""
    for signal, said in forecast(mess).items():
        assert said.fallback is None
        assert medians(said) == pytest.approx(medians(undisturbed()[signal]), rel=0.06)


@pytest.mark.parametrize("name", ["14 hours of zeros", "ten minutes of zeros"])
def test_zeros_are_kept_as_measured_and_taught_to_nobody(name: str) -> None:
    """The history says what Prometheus said; who learns from it leaves them out."""
    mess = MESSES[name]
    kept = History()
    kept.seed({"chat": past(mess)})
    series = kept.series("chat", Signal.ARRIVALS)
    begin, minutes = mess.deaf[0]

    assert series.known.all()
    assert (series.values == 0).sum() == minutes
    assert (series.values[begin : begin + minutes] == 0).all()


MINUTE = st.integers(1, LAST - 1)
SOME = st.lists(MINUTE, max_size=20).map(tuple)
STRETCH = st.tuples(MINUTE, st.integers(1, 14 * 60))


def messes(stretches: int) -> st.SearchStrategy[Mess]:
    """Make messes with up to so many stretches of silence of each kind."""
    silences = st.lists(STRETCH, max_size=stretches).map(tuple)
    return st.builds(
        Mess,
        restarts=st.lists(MINUTE, max_size=4, unique=True).map(tuple),
        nan=SOME,
        twice=SOME,
        swapped=SOME,
        lost=silences,
        deaf=silences,
        spikes=st.lists(MINUTE, max_size=3).map(tuple),
    )


# A failing mess is shown as it was found: to shrink one takes minutes.
@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(messes(0), STRETCH, st.sampled_from(["lost", "deaf", "none"]))
def test_whatever_comes_together_the_forecast_keeps_its_level(
    mess: Mess, stretch: tuple[int, int], kind: str
) -> None:
    """One silence of up to 14 hours among three days; of two at the same hours the days would say nothing."""
    if kind != "none":
        mess = replace(mess, lost=(stretch,)) if kind == "lost" else replace(mess, deaf=(stretch,))
    highest = {Signal.ARRIVALS: 1.0, Signal.PREFILL_TOKENS: ISL, Signal.DECODE_TOKENS: OSL}
    for signal, said in forecast(mess).items():
        assert np.isfinite(said.paths).all()
        # Of 150 such messes the worst moved it by 18 %: half of two seasons missing, lost or deaf alike.
        assert medians(said) == pytest.approx(medians(undisturbed()[signal]), rel=0.25)
        # No band ends above twice the highest demand seen.
        assert max(said.paths[-1]) <= 2.01 * arrived(mess).max() / 60.0 * highest[signal]


@settings(max_examples=30, deadline=None)
@given(messes(2))
def test_requests_are_counted_once_or_not_known(mess: Mess) -> None:
    told = past(mess)[Signal.ARRIVALS]
    counted = arrived(mess) / 60.0
    # What came between two scrapes is spread evenly, and a restart hides how much of it came before.
    settled = np.ones(STEPS, dtype=np.bool_)
    for at in (*mess.nan, *mess.restarts, *(m for begin, n in mess.lost for m in (begin, begin + n))):
        settled[max(at - 3, 0) : at + 3] = False
    where = settled & told.known

    assert told.values[where] == pytest.approx(counted[where], rel=1e-6, abs=1e-6)
    assert told.known_values.sum() <= counted.sum() * (1 + 1e-9)
