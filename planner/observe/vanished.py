"""Tell a class that is idle from one whose targets nobody hears."""

from collections.abc import Collection, Sequence

import numpy as np

from models.metric_names import MetricNames
from models.series import Floats
from planner.observe import queries
from planner.observe.counters import MISSED_SCRAPES, answering_since, scrape_interval_s, target_of
from planner.observe.prometheus import PrometheusServer
from planner.observe.queries import Chunk, Matcher
from planner.observe.samples import Samples

# A class without series may be idle when it had some in the last week.
SEEN_S = 604_800.0

# How finely that time is searched for the targets that carried its series last.
STEP_S = 300

# Scrapes read from before the window, to tell whether its first seconds were heard.
BEFORE_S = 300.0

_Target = tuple[str, ...]


def doubt(
    server: PrometheusServer,
    names: MetricNames,
    matchers: Sequence[Matcher],
    window: tuple[float, float],
    now_s: float,
) -> str | None:
    """Say why a class without series may still have had arrivals in a window; `None` when it had none.

    A process exports a labelled series from its first request on, so after a restart an idle class has none,
    while the targets that carried it last answer every scrape. Where one of them does not, or none is left,
    the series went with the scrapes and the arrivals are unknown. `window` is its beginning and end in Unix
    seconds.

    Raises ObserveError when the server does not answer.
    """
    former = _former(server, names, matchers, now_s)
    if not former:
        return "none in the last week either, so a label may be wrong"
    if any(not any(target) for target in former):
        return f"the series carried no {' or '.join(names.target_labels)}: nothing tells who was scraped"
    scrapes = _scrapes(server, names, former, now_s - window[0] + BEFORE_S, now_s)
    there = {target: heard for target in former if (heard := _there(scrapes[target], window[0]))}
    silent = [target for target, heard in there.items() if not _answered(heard, window)]
    if silent:
        return f"not every scrape was answered by {_shown(names, silent)}, which carried its series last"
    if not there:
        return f"no longer scraped: {_shown(names, former)}, which carried its series last"
    return None


def _former(
    server: PrometheusServer, names: MetricNames, matchers: Sequence[Matcher], now_s: float
) -> set[_Target]:
    """Return the targets that carried the series of a class when it was last there."""
    query = queries.carriers((*names.started, *names.completed), matchers, names.target_labels, STEP_S)
    begin, end = (int(at_s // STEP_S) * STEP_S for at_s in (now_s - SEEN_S, now_s))
    last_s: dict[_Target, float] = {}
    for one in server.range(query, Chunk(begin, end, STEP_S)):
        last_s[target_of(one, names.target_labels)] = float(one.at_s[-1])
    # Targets that go down together show their last sample one step apart at most.
    until_s = max(last_s.values(), default=0.0) - STEP_S
    return {target for target, at_s in last_s.items() if at_s >= until_s}


def _scrapes(
    server: PrometheusServer, names: MetricNames, former: Collection[_Target], span_s: float, now_s: float
) -> dict[_Target, list[Samples]]:
    """Return what each target tells of its scrapes: its `up`, or else any other series of its own."""
    columns = zip(names.target_labels, zip(*former, strict=True), strict=True)
    matchers = [queries.one_of(label, values) for label, values in columns]
    others = (*names.started, *names.completed, *names.in_flight, *names.waiting)
    found = server.instant(queries.latest(list(dict.fromkeys(("up", *others))), matchers, span_s), now_s)
    scrapes: dict[_Target, list[Samples]] = {}
    for target in former:
        mine = [s for s in found if target_of(s, names.target_labels) == target]
        scrapes[target] = [s for s in mine if s.name == "up"] or mine
    return scrapes


def _there(scrapes: Sequence[Samples], begin_s: float) -> Sequence[Samples]:
    """Leave out what ended well before the window: a pod that is gone serves nobody."""
    return [s for s in scrapes if not (s.at_s[-1] < begin_s and _well(s)[-1])]


def _answered(scrapes: Sequence[Samples], window: tuple[float, float]) -> bool:
    """Whether a target answered right across the window; one of its series is enough to tell."""
    allowed_s = MISSED_SCRAPES * scrape_interval_s(scrapes)
    return any(
        answering_since(Samples(s.labels, s.at_s, _well(s), s.step_s), window[1], allowed_s) <= window[0]
        for s in scrapes
    )


def _well(series: Samples) -> Floats:
    """Return 1 where a scrape was answered; only `up` has samples of those that were not."""
    return series.values if series.name == "up" else np.ones(len(series.values))


def _shown(names: MetricNames, targets: Collection[_Target]) -> str:
    first = min(targets)
    more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return ", ".join(f"{n}={v!r}" for n, v in zip(names.target_labels, first, strict=True)) + more
