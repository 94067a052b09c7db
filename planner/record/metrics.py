"""Show what the last records say as Prometheus metrics: alone in importing prometheus_client."""

from __future__ import annotations

from collections import Counter as Counted
from typing import TYPE_CHECKING

from models.decision import Record
from models.nodes import NodeState
from models.notice import Event, Notice
from models.observation import Obstacle, PoolState
from models.prediction import SignalForecast
from models.values import Binding, Role
from planner.record.serving import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SIGNAL = ("deployment", "class", "signal")
_ROLE = ("deployment", "role")
_POOL = ("deployment", "pool")

# Constraints that more GPUs, or a wider bound, would lift: what somebody may have to act on.
_LIMITS = (Binding.BUDGET, Binding.TOPOLOGY, Binding.CEILING)
_REFUSALS = (NodeState.QUOTA, NodeState.CAPACITY, NodeState.REFUSED)


class Metrics:
    """Implement the Recorder port with gauges of the latest record, and counters of all of them.

    Demotions are counted by `count`, which listens to what changes.
    """

    def __init__(self) -> None:
        """Begin with a registry of our own."""
        from prometheus_client import CollectorRegistry

        self.registry: CollectorRegistry = CollectorRegistry()
        self._of_deployments: list[Gauge] = []
        self._ticks = self._counter("headgate_ticks", "Ticks, by what came of them.", "deployment", "status")
        self._leader = self._gauge("headgate_leader", "1: this process leads, 0: it stands by.")
        # Who stands in no election leads.
        self._leader.set(1)
        self._ticked = self._gauge(
            "headgate_last_tick_timestamp_seconds", "When the last tick was made.", "deployment"
        )
        self._current = self._gauge(
            "headgate_replicas_current", "Replicas asked for before the tick.", *_ROLE
        )
        self._final = self._gauge("headgate_replicas_decided", "Replicas after all guards.", *_ROLE)
        self._recommended = self._gauge(
            "headgate_replicas_recommended",
            "Replicas for others to take up: of deployments whose mode is recommend or act.",
            *_ROLE,
        )
        self._uncapped = self._gauge(
            "headgate_replicas_uncapped", "Replicas that the role needs: no budget, no ceiling.", *_ROLE
        )
        self._pool, self._stuck = self._pool_gauges()
        self._nodes = self._gauge(
            "headgate_nodes_refused",
            "1: nodes ahead of need were refused, for want of quota, of capacity, or otherwise.",
            "deployment",
            "place",
            "state",
        )
        self._limited = self._gauge(
            "headgate_sizing_limited", "1: this limit keeps the role's count below its need.", *_ROLE, "limit"
        )
        self._adjusted = self._counter(
            "headgate_adjustments", "Ticks in which a guard changed a role's count.", *_ROLE, "reason"
        )
        self._ready = self._gauge(
            "headgate_time_to_ready_seconds",
            "Time from order to ready that is planned with, its P90.",
            *_ROLE,
        )
        self._share = self._gauge(
            "headgate_pool_share_gpus", "GPUs of a shared pool that the deployment may take.", *_POOL
        )
        self._needed = self._gauge(
            "headgate_pool_needed_gpus", "GPUs that the deployment needs of a shared pool.", *_POOL
        )
        self._attainment = self._gauge(
            "headgate_attainment_predicted_ratio", "Expected share of kept promises.", "deployment", "class"
        )
        self._target = self._gauge(
            "headgate_attainment_target_ratio", "Share of kept promises that is aimed at.", "deployment"
        )
        self._of_forecasts()

    def _of_forecasts(self) -> None:
        """Make what shows demand and how good its forecasts are."""
        self._demand = self._gauge("headgate_demand", "Demand as last measured, per second.", *_SIGNAL)
        self._peak = self._gauge(
            "headgate_forecast_peak",
            "Highest demand on the path of a quantile, per second.",
            *_SIGNAL,
            "quantile",
        )
        self._trusted = self._gauge(
            "headgate_forecast_trusted", "1: the forecast counts; 0: recent demand counts instead.", *_SIGNAL
        )
        self._demoted = self._counter(
            "headgate_forecast_demotions", "Times that a forecast was demoted.", *_SIGNAL
        )
        self._coverage = self._gauge(
            "headgate_forecast_coverage_ratio",
            "Share of actuals at or under the operating quantile.",
            *_SIGNAL,
        )
        self._fitted = self._gauge(
            "headgate_forecast_fitted_timestamp_seconds",
            "Until when the model that answers learned.",
            *_SIGNAL,
        )
        self._held_up = self._gauge(
            "headgate_forecast_fit_held_up", "1: a newer fit failed or is late.", *_SIGNAL
        )

    def record(self, record: Record) -> None:
        """Take over what a record says."""
        name = record.deployment
        self._ticks.labels(name, record.outcome.status.value).inc()
        self._ticked.labels(name).set(record.observation.at_s)
        for role, pool in record.observation.pools.items():
            self._seen(name, role, pool)
        for each in record.decision.adjustments:
            self._adjusted.labels(name, each.role.value, each.reason.value).inc()
        for role, count in record.decision.current.items():
            self._current.labels(name, role.value).set(count)
            self._final.labels(name, role.value).set(record.decision.final[role])
        for role, seen in record.readiness.items():
            self._ready.labels(name, role.value).set(seen.startup_s)
        if record.share is not None:
            self._share.labels(name, record.share.pool).set(record.share.gpus)
            self._needed.labels(name, record.share.pool).set(record.share.needed_gpus)
        if record.sizing is not None:
            for role, sized in record.sizing.roles.items():
                self._uncapped.labels(name, role.value).set(sized.uncapped)
                for limit in _LIMITS:
                    self._limited.labels(name, role.value, limit.value).set(sized.binding is limit)
            self._target.labels(name).set(record.sizing.target_attainment)
            for request_class, ratio in record.sizing.attainment.items():
                self._attainment.labels(name, request_class).set(ratio)
        self._demands(record)
        for order in () if record.nodes is None else record.nodes.orders:
            for state in _REFUSALS:
                self._nodes.labels(name, order.place, state.value).set(order.state is state)

    def recommend(self, record: Record) -> None:
        """Publish the counts of a deployment that others may take up."""
        for role, count in record.decision.final.items():
            self._recommended.labels(record.deployment, role.value).set(count)

    def count(self, record: Record, notice: Notice) -> None:
        """Count a demotion; a listener of what changes from record to record."""
        if notice.event is Event.FORECAST_DEMOTED and notice.signal is not None:
            self._demoted.labels(record.deployment, notice.request_class, notice.signal.value).inc()

    def lead(self, leading: bool) -> None:
        """Show whether this process leads; a listener of the election."""
        self._leader.set(leading)

    def retire(self, deployment: str) -> None:
        """Take back what was said of a deployment, as somebody else decides for it now, or nobody.

        Two replicas would otherwise go on to recommend different counts. What was counted stays.
        """
        for gauge in self._of_deployments:
            gauge.remove_by_labels({"deployment": deployment})

    def page(self, accept: str) -> Page:
        """Return what a scrape sees, in the format that it accepts."""
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(accept)
        return Page(200, content_type, encoder(self.registry))

    def gauge(self, name: str, said: str, *labels: str) -> Gauge:
        """Return a new gauge of this registry."""
        from prometheus_client import Gauge

        return Gauge(name, said, labels, registry=self.registry)

    def counter(self, name: str, said: str, *labels: str) -> Counter:
        """Return a new counter of this registry; its name is shown with `_total`."""
        from prometheus_client import Counter

        return Counter(name, said, labels, registry=self.registry)

    def histogram(self, name: str, said: str, buckets: Sequence[float], *labels: str) -> Histogram:
        """Return a new histogram of this registry; `buckets` are upper bounds."""
        from prometheus_client import Histogram

        return Histogram(name, said, labels, buckets=tuple(buckets), registry=self.registry)

    def _demands(self, record: Record) -> None:
        for name, signals in record.forecast.signals.items():
            demand = record.observation.demand.get(name)
            for signal, said in signals.items():
                self._forecast((record.deployment, name, signal.value), said)
                value = None if demand is None else demand.value(signal)
                if value is not None:
                    self._demand.labels(record.deployment, name, signal.value).set(value)

    def _pool_gauges(self) -> tuple[Gauge, Gauge]:
        pool = self._gauge(
            "headgate_pool_replicas",
            "Replicas as last seen: desired, ready, starting, stuck (of those starting) and draining.",
            *_ROLE,
            "state",
        )
        stuck = self._gauge(
            "headgate_replicas_stuck", "Replicas that cannot start, by what keeps them.", *_ROLE, "obstacle"
        )
        return pool, stuck

    def _seen(self, deployment: str, role: Role, pool: PoolState) -> None:
        states = {
            "desired": pool.desired,
            "ready": pool.ready,
            "starting": len(pool.starting),
            "stuck": sum(1 for replica in pool.starting if replica.stuck is not None),
            "draining": pool.draining,
        }
        for state, count in states.items():
            self._pool.labels(deployment, role.value, state).set(count)
        kept = Counted(each.obstacle for each in pool.starting if each.stuck is not None)
        for obstacle in (*Obstacle, None):
            self._stuck.labels(deployment, role.value, obstacle or "other").set(kept[obstacle])

    def _forecast(self, labels: tuple[str, str, str], said: SignalForecast) -> None:
        self._trusted.labels(*labels).set(said.fallback is None)
        # The series is there from the first forecast on, so that a rate sees the first demotion.
        self._demoted.labels(*labels)
        self._held_up.labels(*labels).set(said.trouble is not None)
        if said.coverage is not None:
            self._coverage.labels(*labels).set(said.coverage)
        if said.fitted_at_s is not None:
            self._fitted.labels(*labels).set(said.fitted_at_s)
        for level, path in zip(said.levels, said.paths, strict=True):
            self._peak.labels(*labels, f"{level:g}").set(max(path))

    def _gauge(self, name: str, said: str, *labels: str) -> Gauge:
        made = self.gauge(name, said, *labels)
        if "deployment" in labels:
            self._of_deployments.append(made)
        return made

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return self.counter(name, said, *labels)
