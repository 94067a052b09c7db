"""What a record says is what a scrape shows, and what changed is told once."""

import logging
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.decision import Adjustment, Decision, Outcome, Reason, Record, RoleSizing, Sizing, Status
from models.gpu_pool import PoolShare
from models.nodes import NodeOrder, NodesReport, NodeState
from models.notice import Event, notices
from models.observation import Obstacle, PoolState, StartingReplica
from models.prediction import Forecast, SignalForecast
from models.readiness import Readiness
from models.values import Binding, Role, Signal
from planner.record.memory import Memory
from planner.record.metrics import Metrics
from planner.record.noticing import Noticing, log
from planner.record.several import Several, To
from tests import builders

GOOD = SignalForecast(
    levels=(0.5, 0.9),
    offsets_s=(60.0, 120.0),
    paths=((10.0, 12.0), (14.0, 15.0)),
    model="seasonal naive (day)",
    why="seasonal naive (day): pinball loss against last value -20% at 15m",
    recent_peak=11.0,
    coverage=0.91,
    fitted_at_s=1_700_000_000.0,
)
DEMOTED = replace(GOOD, model="last value", fallback="it covered 0.800 of the actuals where 0.9 was promised")
HELD_UP = replace(GOOD, trouble="the last fit failed: it took longer than 10m")


def forecast(said: SignalForecast) -> Forecast:
    return Forecast(0.0, {"pages": {Signal.ARRIVALS: said}})


def record(said: SignalForecast) -> Record:
    counts = {Role.PREFILL: 2, Role.DECODE: 3}
    return Record(
        tick_id="shop@0",
        deployment="shop",
        observation=builders.observation({"pages": 9.0}),
        forecast=forecast(said),
        sizing=None,
        decision=Decision(counts, counts, {**counts, Role.DECODE: 4}),
        outcome=Outcome(Status.UNCHANGED),
        config_digest="",
        profile_digest="",
        version="0",
        readiness={Role.DECODE: Readiness(startup_s=150.0, startup_p99_s=600.0)},
    )


def scraped(metrics: Metrics) -> dict[str, float]:
    """Return the value of each series, by its name and what tells it apart besides shop and pages."""
    text = metrics.page("text/plain").body.decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.get("deployment", "shop") == "shop"
            rest = [v for k, v in sample.labels.items() if k not in ("deployment", "class", "signal")]
            found[" ".join([sample.name, *rest])] = sample.value
    return found


def test_a_scrape_shows_the_last_record() -> None:
    metrics = Metrics()
    metrics.record(record(GOOD))

    seen = scraped(metrics)

    assert seen["headgate_ticks_total unchanged"] == 1
    assert seen["headgate_replicas_current decode"] == 3
    assert seen["headgate_replicas_decided decode"] == 4
    assert seen["headgate_time_to_ready_seconds decode"] == 150.0
    assert seen["headgate_demand"] == 9.0
    assert seen["headgate_forecast_peak 0.9"] == 15.0
    assert seen["headgate_forecast_trusted"] == 1
    assert seen["headgate_forecast_coverage_ratio"] == 0.91
    assert seen["headgate_forecast_fitted_timestamp_seconds"] == 1_700_000_000.0
    assert seen["headgate_forecast_fit_held_up"] == 0
    assert seen["headgate_forecast_demotions_total"] == 0


def test_who_stands_in_no_election_leads_and_an_election_is_heard() -> None:
    metrics = Metrics()
    seen = [scraped(metrics)["headgate_leader"]]
    for leading in (False, True):
        metrics.lead(leading)
        seen.append(scraped(metrics)["headgate_leader"])

    assert seen == [1, 0, 1]


def test_a_share_of_a_pool_is_shown_beside_the_need() -> None:
    metrics = Metrics()
    metrics.record(replace(record(GOOD), share=PoolShare("gb200", 64, 40, 52, 40, "the pool binds")))
    seen = scraped(metrics)

    assert seen["headgate_pool_share_gpus gb200"] == 40
    assert seen["headgate_pool_needed_gpus gb200"] == 52


def test_pools_and_what_guards_did_are_shown_by_their_reason() -> None:
    stuck = StartingReplica(since_s=0.0, stuck="no node takes it: quota", obstacle=Obstacle.QUOTA)
    pools = {
        Role.PREFILL: builders.pool(ready=2),
        Role.DECODE: PoolState(6, 3, (stuck, StartingReplica(since_s=50.0)), draining=1),
    }
    held = Adjustment("freshness", Role.DECODE, 2, 3, Reason.STALE, "demand is 9 min old")
    said = record(GOOD)
    metrics = Metrics()
    for adjustments in ((held,), (held,), ()):
        metrics.record(
            replace(
                said,
                observation=replace(said.observation, pools=pools, at_s=600.0),
                decision=replace(said.decision, adjustments=adjustments),
            )
        )
    seen = scraped(metrics)

    assert seen["headgate_last_tick_timestamp_seconds"] == 600.0
    states = ("desired", "ready", "starting", "stuck", "draining")
    assert [seen[f"headgate_pool_replicas decode {state}"] for state in states] == [6, 3, 2, 1, 1]
    assert seen["headgate_pool_replicas prefill stuck"] == 0
    assert seen["headgate_replicas_stuck quota decode"] == 1
    assert seen["headgate_replicas_stuck capacity decode"] == 0
    assert seen["headgate_replicas_stuck other decode"] == 0
    assert seen["headgate_adjustments_total stale decode"] == 2


def test_refused_nodes_show_by_the_reason_as_long_as_they_are_refused() -> None:
    metrics = Metrics()
    shown = []
    for state in (NodeState.QUOTA, NodeState.SETTLED):
        order = NodeOrder("agent pool gb200 of aks", "nodes", 2, 3, state, "")
        metrics.record(replace(record(GOOD), nodes=NodesReport(None, (order,))))
        seen = scraped(metrics)
        shown.append(
            [seen[f"headgate_nodes_refused agent pool gb200 of aks {why}"] for why in ("quota", "capacity")]
        )

    assert shown == [[1, 0], [0, 0]]


def test_a_limit_shows_while_it_binds() -> None:
    sized = RoleSizing(4, 3, 6, 6, Binding.BUDGET, "the 16-GPU budget caps 6 to 4")
    free = replace(sized, binding=Binding.TTFT)
    metrics = Metrics()
    for decode in (free, sized):
        sizing = Sizing({Role.PREFILL: free, Role.DECODE: decode}, {"pages": 0.97}, 0.97, 0.99)
        metrics.record(replace(record(GOOD), sizing=sizing))
    seen = scraped(metrics)

    assert seen["headgate_sizing_limited budget decode"] == 1
    assert seen["headgate_sizing_limited ceiling decode"] == 0
    assert seen["headgate_sizing_limited budget prefill"] == 0
    assert seen["headgate_attainment_target_ratio"] == 0.99


def test_a_demotion_is_counted_once_and_shown_as_long_as_it_lasts() -> None:
    metrics = Metrics()
    recorder = Several(metrics, Noticing(metrics.count))
    for said in (GOOD, DEMOTED, DEMOTED, GOOD, DEMOTED):
        recorder.record(record(said))

    seen = scraped(metrics)

    assert seen["headgate_forecast_demotions_total"] == 2
    assert seen["headgate_forecast_trusted"] == 0
    assert seen["headgate_ticks_total unchanged"] == 5


def test_what_is_retired_is_said_no_more_and_what_was_counted_stays() -> None:
    metrics = Metrics()
    metrics.record(record(GOOD))
    metrics.recommend(record(GOOD))

    metrics.retire("shop")

    kept = scraped(metrics)
    assert kept["headgate_ticks_total unchanged"] == 1
    assert not [name for name in kept if name.startswith(("headgate_replicas", "headgate_demand"))]


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (None, DEMOTED, []),
        (GOOD, GOOD, []),
        (GOOD, DEMOTED, [Event.FORECAST_DEMOTED]),
        (DEMOTED, DEMOTED, []),
        (DEMOTED, GOOD, [Event.FORECAST_TRUSTED]),
        (GOOD, HELD_UP, [Event.FIT_HELD_UP]),
        (HELD_UP, GOOD, [Event.FIT_RECOVERED]),
        (HELD_UP, DEMOTED, [Event.FORECAST_DEMOTED, Event.FIT_RECOVERED]),
    ],
)
def test_what_changes_is_told_and_what_stays_is_not(
    was: SignalForecast | None, now: SignalForecast, told: list[Event]
) -> None:
    found = notices(None if was is None else forecast(was), forecast(now))

    assert [n.event for n in found] == told


def test_a_demotion_is_one_warning_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    kept = Memory()
    recorder = Several(kept, Noticing(log))
    for said in (GOOD, DEMOTED, DEMOTED, GOOD):
        recorder.record(record(said))

    assert len(kept.records) == 4
    assert [line.levelname for line in caplog.records] == ["WARNING", "INFO"]
    assert caplog.records[0].getMessage() == (
        "ForecastDemoted: pages arrivals: recent demand counts instead of the forecast: "
        "it covered 0.800 of the actuals where 0.9 was promised"
    )
    assert caplog.records[0].fields["event"] == "ForecastDemoted"  # type: ignore[attr-defined]


def test_recommended_counts_are_those_of_deployments_that_publish() -> None:
    metrics = Metrics()
    watched, published = Several(metrics), Several(metrics, To(metrics.recommend))
    watched.record(record(GOOD))
    name = "headgate_replicas_recommended"
    assert not [key for key in scraped(metrics) if key.startswith(name)]
    published.record(record(GOOD))
    assert [value for key, value in sorted(scraped(metrics).items()) if key.startswith(name)] == [4.0, 2.0]
