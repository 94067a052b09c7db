"""Set the stages on which forecasting may be worth something: recorded shapes, the shop's night, a crowd.

A service of long documents stands for a fleet of several replicas that few requests a second fill: 16,000
tokens in and 300 out at 6 requests/s on prefill replicas of 25,000 tokens/s. A minute then holds as many
requests as it would in production, and half a day can be replayed at its true rate in seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.artifact import LayoutProfile
from models.policy import PoolPolicy
from models.series import Floats, Series
from models.simulation.story import REAL_DAY_S, Story
from models.simulation.workload import Workload
from models.values import RequestClass, Role, Signal, Slo
from planner.replay import Stage
from tests import builders
from tests.components import trace
from tests.demand import MINUTES_PER_DAY, SUNDAY_S, recorded_minutes

CONVERSATION, SERVEGEN = "azure_llm_2024_conv_week_1min.csv.gz", "servegen_m-small_1min_synth.csv.gz"
STARTUPS_S = (60.0, 120.0, 300.0)
DOCUMENTS = RequestClass("documents", Slo(ttft_s=3.0, itl_s=0.05))
MEAN_RPS, ISL, OSL, CV = 6.0, 16_000.0, 300.0, 0.4
HOURS = 8
# Each minute of the shop's night is 5 s of traffic at its true rate.
COMPRESSION = 12.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Name a stage and make it for a start-up time and a seed, which draws history and arrivals anew."""

    name: str
    make: Callable[[float, int], Stage]


@dataclass(frozen=True, slots=True)
class Minutes:
    """Hold per minute the expected rate and mean lengths, shape (minutes,); NaN where nobody measured."""

    rps: Floats
    isl_tokens: Floats
    osl_tokens: Floats


def scenarios() -> tuple[Scenario, ...]:
    """Return all of them; skips, as tests.components does, where recorded traffic is absent."""
    for recorded in (CONVERSATION, SERVEGEN):
        trace(recorded)
    return (
        Scenario("conversation, a weekday", lambda s, n: _documents(_conversation(), 4, 4, s, n)),
        Scenario("servegen, a weekday", lambda s, n: _documents(_servegen(), 8, 15, s, n)),
        Scenario("shop, nightly batch", _shop),
        Scenario("flash crowd", lambda s, n: _documents(_crowd(), 4, 9, s, n)),
    )


def _documents(minutes: Minutes, day: int, hour: int, startup_s: float, seed: int) -> Stage:
    """Replay `HOURS` of a day from an hour on; what came before is the history."""
    begin = day * MINUTES_PER_DAY + hour * 60
    span = slice(begin, begin + HOURS * 60)
    start_s = SUNDAY_S + 60.0 * begin
    layouts = {
        Role.PREFILL: builders.prefill_layout(25_000.0),
        Role.DECODE: builders.decode_layout(0.012, 0.0006),
    }
    return Stage(
        trace="documents",
        workload=_requests(minutes, span, start_s, seed),
        layouts=layouts,
        classes=(DOCUMENTS,),
        startup_s=dict.fromkeys(layouts, startup_s),
        history={DOCUMENTS.name: _measured(minutes, begin, seed)},
        seed=seed,
    )


def _requests(minutes: Minutes, span: slice, start_s: float, seed: int) -> Workload:
    rng = np.random.default_rng([seed, 1])
    counts = rng.poisson(60.0 * np.nan_to_num(minutes.rps[span]))
    begins = start_s + 60.0 * np.arange(counts.size)
    times = np.repeat(begins, counts) + 60.0 * rng.random(int(counts.sum()))
    isl, osl = (
        np.repeat(np.nan_to_num(means[span], nan=1.0), counts) * _spread(times.size, rng)
        for means in (minutes.isl_tokens, minutes.osl_tokens)
    )
    # One at the very start, so that the trace begins there.
    times[:1] = start_s
    return Workload.of(
        times, np.maximum(np.rint(isl), 1), np.maximum(np.rint(osl), 1), class_names=(DOCUMENTS.name,)
    )


def _measured(minutes: Minutes, until: int, seed: int) -> Mapping[Signal, Series]:
    rng = np.random.default_rng([seed, 2])
    known = np.isfinite(minutes.rps[:until])
    counts = rng.poisson(60.0 * np.nan_to_num(minutes.rps[:until])).astype(np.float64)

    def total(means: Floats) -> Floats:
        """Draw the sum of a minute's lengths, by the central limit."""
        mean = np.nan_to_num(means[:until])
        return np.maximum(counts * mean + np.sqrt(counts) * mean * CV * rng.normal(size=counts.size), 0.0)

    amounts = {
        Signal.ARRIVALS: counts,
        Signal.PREFILL_TOKENS: total(minutes.isl_tokens),
        Signal.DECODE_TOKENS: total(minutes.osl_tokens),
    }
    return {s: Series(SUNDAY_S, 60.0, values / 60.0, known) for s, values in amounts.items()}


def _spread(count: int, rng: np.random.Generator) -> Floats:
    """Draw log-normal factors of mean 1."""
    sigma = np.sqrt(np.log1p(CV**2))
    return np.asarray(np.exp(rng.normal(-(sigma**2) / 2, sigma, count)))


def _conversation() -> Minutes:
    counts = recorded_minutes(CONVERSATION, "req_per_min")
    return _scaled(counts, np.full(counts.size, ISL), np.full(counts.size, OSL))


def _servegen() -> Minutes:
    """Return the fortnight of ServeGen m-small; its lengths drift as recorded, its empty windows are gaps.

    Lengths were recorded as means of ten minutes: they lie on lines between the middles of those. As steps
    every tenth minute they would jump by up to 60 % at moments that only the recording knows.
    """
    counts = recorded_minutes(SERVEGEN, "req")
    counts[counts <= 0] = np.nan
    isl, osl = (_lines(recorded_minutes(SERVEGEN, column) / counts) for column in ("pre", "dec"))
    return _scaled(counts, ISL * isl / np.mean(isl), OSL * osl / np.mean(osl))


def _lines(per_minute: Floats, window: int = 10) -> Floats:
    """Lay straight lines through the middles of windows, across those that are empty."""
    means = per_minute[window // 2 :: window]
    middles = window * np.arange(means.size) + window / 2
    known = np.isfinite(means)
    return np.asarray(np.interp(np.arange(per_minute.size) + 0.5, middles[known], means[known]))


def _scaled(counts: Floats, isl: Floats, osl: Floats) -> Minutes:
    return Minutes(counts / np.nanmean(counts) * MEAN_RPS, isl, osl)


def _crowd() -> Minutes:
    """Return quiet days, and on the last of them three times the demand for 40 minutes from 14:20 on."""
    minute = np.arange(5 * MINUTES_PER_DAY)
    rps = MEAN_RPS * (1.0 + 0.3 * np.sin(2 * np.pi * (minute / 60.0 - 9.0) / 24.0))
    since = minute - 4 * MINUTES_PER_DAY - (14 * 60 + 20)
    # A link goes round: it takes two minutes to be there, and as long to be forgotten.
    rps *= 1.0 + 2.0 * np.clip(np.minimum(since, 40 - since) / 2.0, 0.0, 1.0)
    return Minutes(rps, np.full(rps.size, ISL), np.full(rps.size, OSL))


def _shop(startup_s: float, seed: int) -> Stage:
    """Tell the embedded day from 19:00 to 03:00: the evening, then e-mail, here from 22:00 to 01:00 only."""
    story = Story(day_s=REAL_DAY_S / COMPRESSION)
    story = replace(story, start_s=story.start_s + 13 * 3600.0, hours=float(HOURS), email_until_h=1.0)
    layouts: Mapping[Role, LayoutProfile] = builders.layouts()
    return Stage(
        trace="shop",
        workload=story.workload(seed),
        layouts=layouts,
        classes=(builders.PAGES, builders.EMAIL),
        startup_s=dict.fromkeys(layouts, startup_s),
        compression=story.compression,
        history=story.history(seed=seed),
        seed=seed,
    )


def pools(stage: Stage) -> dict[Role, PoolPolicy]:
    """Tell the planner the start-up times of the stage."""
    return {role: PoolPolicy(startup_s=s, startup_p99_s=max(600.0, s)) for role, s in stage.startup_s.items()}
