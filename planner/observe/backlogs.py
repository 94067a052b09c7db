"""Ask Prometheus what waits outside the engines, of classes whose requests may."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.deferral import Backlog
from models.errors import ObserveError
from models.observation import ClassDemand, Gap, Observation
from planner.observe.prometheus import PrometheusServer
from planner.observe.samples import Samples
from planner.ports import Observer


@dataclass(frozen=True, slots=True)
class BacklogQuery:
    """Hold what tells the backlog of a class: PromQL for its requests, and for the age of the oldest."""

    requests: str
    oldest: str | None = None


class WithBacklogs:
    """Implement the Observer port: what another sees, and the backlogs beside it."""

    def __init__(
        self, inner: Observer, server: PrometheusServer, queries: Mapping[str, BacklogQuery]
    ) -> None:
        """Bind an observer to the queries of each class whose requests may wait."""
        self._inner, self._server, self._queries = inner, server, queries

    def observe(self, now_s: float) -> Observation:
        """Return what the other observer saw with each backlog; one that is not known is a Gap.

        Raises ObserveError when the pools cannot be seen.
        """
        seen = self._inner.observe(now_s)
        demand, gaps = dict(seen.demand), list(seen.gaps)
        for name, query in self._queries.items():
            try:
                backlog = self._backlog(query, now_s)
            except ObserveError as error:
                gaps.append(Gap(f"backlog of {name}", str(error)))
                continue
            if isinstance(backlog, Gap):
                gaps.append(replace(backlog, what=f"backlog of {name}"))
                continue
            demand[name] = replace(demand.get(name, ClassDemand(None, None, None)), backlog=backlog)
        return replace(seen, demand=demand, gaps=tuple(gaps))

    def _backlog(self, query: BacklogQuery, now_s: float) -> Backlog | Gap:
        waits = _values(self._server.instant(query.requests, now_s))
        if not waits:
            return Gap("", f"{query.requests} gives no value")
        requests = sum(waits)
        if min(waits) < 0:
            return Gap("", f"{query.requests} gives {min(waits):g}; a backlog is not below 0")
        if query.oldest is None or requests == 0:
            return Backlog(requests)
        ages = _values(self._server.instant(query.oldest, now_s))
        if not ages:
            return Gap("", f"{query.oldest} gives no value")
        return Backlog(requests, max(*ages, 0.0))


def _values(found: list[Samples]) -> list[float]:
    """Return the last value of each series."""
    return [float(samples.values[-1]) for samples in found if len(samples.values)]
