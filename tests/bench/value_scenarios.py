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
from models.simulation.story import REAL_DAY_S, Story
from models.values import RequestClass, Role, Slo
from planner.replay import Stage
from tests import builders
from tests.bench.recorded_load import (
    CLASS_NAME,
    CONVERSATION,
    ISL,
    MEAN_RPS,
    OSL,
    SERVEGEN,
    Minutes,
    conversation,
    measured,
    requests,
    servegen,
)
from tests.components import trace
from tests.demand import MINUTES_PER_DAY

STARTUPS_S = (60.0, 120.0, 300.0)
DOCUMENTS = RequestClass(CLASS_NAME, Slo(ttft_s=3.0, itl_s=0.05))
HOURS = 8
# Each minute of the shop's night is 5 s of traffic at its true rate.
COMPRESSION = 12.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Name a stage and make it for a start-up time and a seed, which draws history and arrivals anew."""

    name: str
    make: Callable[[float, int], Stage]


def scenarios() -> tuple[Scenario, ...]:
    """Return all of them; skips, as tests.components does, where recorded traffic is absent."""
    for recorded in (CONVERSATION, SERVEGEN):
        trace(recorded)
    return (
        Scenario("conversation, a weekday", lambda s, n: _documents(conversation(), 4, 4, s, n)),
        Scenario("servegen, a weekday", lambda s, n: _documents(servegen(), 8, 15, s, n)),
        Scenario("shop, nightly batch", _shop),
        Scenario("flash crowd", lambda s, n: _documents(_crowd(), 4, 9, s, n)),
    )


def _documents(minutes: Minutes, day: int, hour: int, startup_s: float, seed: int) -> Stage:
    """Replay `HOURS` of a day from an hour on; what came before is the history."""
    begin = day * MINUTES_PER_DAY + hour * 60
    span = slice(begin, begin + HOURS * 60)
    layouts = {
        Role.PREFILL: builders.prefill_layout(25_000.0),
        Role.DECODE: builders.decode_layout(0.012, 0.0006),
    }
    return Stage(
        trace="documents",
        workload=requests(minutes, span, seed),
        layouts=layouts,
        classes=(DOCUMENTS,),
        startup_s=dict.fromkeys(layouts, startup_s),
        history={DOCUMENTS.name: measured(minutes, begin, seed)},
        seed=seed,
    )


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
