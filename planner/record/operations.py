"""Show how the scaler itself does: its ticks, its requests, its leader, its configuration, its journal."""

from models.decision import Outcome, Status
from models.version import VERSION
from planner.record.metrics import Metrics

# Ticks take milliseconds where nothing is asked, and half a minute where a server does not answer.
_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Operations:
    """Count and time what the process does, beside what its records say."""

    def __init__(self, metrics: Metrics) -> None:
        """Register every series; those without labels begin at zero."""
        metrics.gauge("headgate_build_info", "1; its labels say what runs.", "version").labels(VERSION).set(1)
        self._duration = metrics.histogram(
            "headgate_tick_duration_seconds", "Time that a tick took.", _BUCKETS_S, "deployment"
        )
        self._success = metrics.gauge(
            "headgate_last_success_timestamp_seconds",
            "When a tick last ended without failing, one that only looked included.",
            "deployment",
        )
        self._skipped = metrics.counter(
            "headgate_ticks_skipped", "Ticks left out because the one before took too long.", "deployment"
        )
        self._failed = metrics.counter(
            "headgate_ticks_failed", "Ticks that ended in an error before anything was decided.", "deployment"
        )
        self._api = metrics.counter(
            "headgate_api_requests",
            "Requests to the Kubernetes API; status 0: no answer.",
            "verb",
            "status",
        )
        self._prometheus = metrics.counter(
            "headgate_prometheus_requests", "Queries sent to Prometheus, by what came of them.", "result"
        )
        self._reloads = metrics.counter(
            "headgate_config_reloads", "Changed configurations, taken or refused.", "result"
        )
        self._refused = metrics.gauge(
            "headgate_config_refused", "1: the configuration on disk is not the one in force."
        )
        self._lost = metrics.counter("headgate_journal_records_lost", "Records that could not be written.")
        self._events = metrics.counter(
            "headgate_events", "Events for objects in the cluster: written, failed or dropped.", "result"
        )
        for result in ("taken", "refused"):
            self._reloads.labels(result)
        for result in ("written", "failed", "dropped"):
            self._events.labels(result)
        for result in ("ok", "failed"):
            self._prometheus.labels(result)

    def expect(self, deployment: str) -> None:
        """Begin the counters of a deployment at zero."""
        self._skipped.labels(deployment)
        self._failed.labels(deployment)

    def ended(self, deployment: str, outcome: Outcome | None, at_s: float, took_s: float) -> None:
        """Take note of a tick that began at `at_s` (Unix seconds); `None`: it only looked."""
        self._duration.labels(deployment).observe(took_s)
        if outcome is None or outcome.status is not Status.FAILED:
            self._success.labels(deployment).set(at_s + took_s)

    def failed(self, deployment: str) -> None:
        """Count a tick that ended in an error."""
        self._failed.labels(deployment).inc()

    def skipped(self, deployment: str) -> None:
        """Count a tick that was left out."""
        self._skipped.labels(deployment).inc()

    def asked_api(self, verb: str, status: int) -> None:
        """Count a request to the Kubernetes API."""
        self._api.labels(verb, str(status)).inc()

    def asked_prometheus(self, fine: bool) -> None:
        """Count a query to Prometheus."""
        self._prometheus.labels("ok" if fine else "failed").inc()

    def reloaded(self, taken: bool) -> None:
        """Count a changed configuration."""
        self._reloads.labels("taken" if taken else "refused").inc()
        self._refused.set(not taken)

    def lost_record(self) -> None:
        """Count a record that could not be written."""
        self._lost.inc()

    def event(self, result: str) -> None:
        """Count an Event by what became of it."""
        self._events.labels(result).inc()
