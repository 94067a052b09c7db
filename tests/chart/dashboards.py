"""Make the Grafana dashboards of the chart from a list of panels: what is shown, in words and PromQL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chart.values import CHART

FOLDER = CHART / "dashboards"

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OF = 'deployment=~"$deployment"'
_COLUMNS, _HEIGHT = 24, 8


@dataclass(frozen=True)
class Panel:
    """A picture: its title, what a reader should know, and queries by their legend."""

    title: str
    said: str
    series: Mapping[str, str]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 12
    height: int = _HEIGHT
    stacked: bool = False
    mappings: Sequence[Mapping[str, Any]] = ()
    most: float | None = None


@dataclass(frozen=True)
class Row:
    """A heading over panels."""

    title: str
    panels: tuple[Panel, ...]


def gauge(name: str, labels: str = "", by: str = "deployment", ago: str = "") -> str:
    """Return what who leads shows of a gauge, or who led so long ago."""
    matchers = ", ".join(filter(None, (_OF, labels)))
    back = f" offset {ago}" if ago else ""
    return f"max by ({by}) ({name}{{{matchers}}}{back} and on (job, instance) headgate_leader{back} == 1)"


def counted(name: str, by: str, labels: str = "") -> str:
    """Return how much a counter rose in each step; only who leads counts."""
    matchers = ", ".join(filter(None, (_OF, labels)))
    return f"sum by ({by}) (increase({name}{{{matchers}}}[$__rate_interval]))"


_ON_OFF = [
    {
        "type": "value",
        "options": {"0": {"text": "no", "color": "green"}, "1": {"text": "yes", "color": "orange"}},
    }
]
_TRUSTED = [
    {
        "type": "value",
        "options": {
            "0": {"text": "recent demand", "color": "orange"},
            "1": {"text": "forecast", "color": "green"},
        },
    }
]
_LEADING = [
    {
        "type": "value",
        "options": {"0": {"text": "stands by", "color": "blue"}, "1": {"text": "leads", "color": "green"}},
    }
]

_ROLE = "{{deployment}} {{role}}"
_CLASS = "{{deployment}} {{class}}"
_SIGNAL = "{{class}} {{signal}}"

WHAT_AND_WHY = (
    Row(
        "What it did",
        (
            Panel(
                "Replicas",
                "Asked for before the tick, decided by it, and needed by the role alone without any limit.",
                {
                    f"{_ROLE} asked for": gauge("headgate_replicas_current", by="deployment, role"),
                    f"{_ROLE} decided": gauge("headgate_replicas_decided", by="deployment, role"),
                    f"{_ROLE} needed": gauge("headgate_replicas_uncapped", by="deployment, role"),
                },
                width=16,
                height=10,
            ),
            Panel(
                "Replicas by state",
                "What the cluster shows. Stuck replicas are among those that start; they are not counted on.",
                {
                    "{{deployment}} {{role}} {{state}}": gauge(
                        "headgate_pool_replicas", 'state!="desired"', by="deployment, role, state"
                    )
                },
                width=8,
                height=10,
            ),
            Panel(
                "Outcomes of ticks",
                "Applied: a count was changed. Held: kept for want of data. Superseded: the world moved on.",
                {"{{deployment}} {{status}}": counted("headgate_ticks_total", "deployment, status")},
                kind="barchart-over-time",
                stacked=True,
            ),
            Panel(
                "Published for others to take up",
                "Counts of deployments whose mode is recommend or act.",
                {_ROLE: gauge("headgate_replicas_recommended", by="deployment, role")},
            ),
        ),
    ),
    Row(
        "Why",
        (
            Panel(
                "Demand, and the peak that was foreseen",
                "Per second. The 0.9 path is the highest that the forecast holds over its reach.",
                {
                    f"{_SIGNAL} measured": gauge("headgate_demand", by="deployment, class, signal"),
                    f"{_SIGNAL} foreseen, 0.9": gauge(
                        "headgate_forecast_peak", 'quantile="0.9"', by="deployment, class, signal"
                    ),
                },
                width=16,
            ),
            Panel(
                "Limits that bind",
                "The role gets less than it needs. ceiling is the pool's max, topology a lack of nodes.",
                {
                    "{{deployment}} {{role}} {{limit}}": gauge(
                        "headgate_sizing_limited", by="deployment, role, limit"
                    )
                },
                kind="state-timeline",
                width=8,
                mappings=_ON_OFF,
            ),
            Panel(
                "What guards changed",
                "Ticks in which a guard moved a count away from the sizing's, by its reason.",
                {"{{role}} {{reason}}": counted("headgate_adjustments_total", "deployment, role, reason")},
                kind="barchart-over-time",
                stacked=True,
            ),
            Panel(
                "Time to ready that is planned with",
                "The P90 of what was measured: capacity is ordered so far ahead.",
                {_ROLE: gauge("headgate_time_to_ready_seconds", by="deployment, role")},
                unit="s",
            ),
            Panel(
                "Shared pools of GPUs",
                "What a deployment may take, and what it needs.",
                {
                    "{{deployment}} of {{pool}} may take": gauge(
                        "headgate_pool_share_gpus", by="deployment, pool"
                    ),
                    "{{deployment}} of {{pool}} needs": gauge(
                        "headgate_pool_needed_gpus", by="deployment, pool"
                    ),
                },
                width=24,
            ),
        ),
    ),
)

WAS_IT_RIGHT = (
    Row(
        "The promise",
        (
            Panel(
                "Predicted attainment",
                "Share of arrivals expected to keep their promise with the fleet as ordered, and the target.",
                {
                    _CLASS: gauge("headgate_attainment_predicted_ratio", by="deployment, class"),
                    "{{deployment}} target": gauge("headgate_attainment_target_ratio"),
                },
                unit="percentunit",
                width=24,
                most=1.0,
            ),
        ),
    ),
    Row(
        "The forecast",
        (
            Panel(
                "Demand against the forecast of an hour ago",
                "Nine times in ten, what is measured should lie under the 0.9 peak of an hour before.",
                {
                    f"{_SIGNAL} measured": gauge("headgate_demand", by="deployment, class, signal"),
                    f"{_SIGNAL} foreseen an hour ago, 0.9": gauge(
                        "headgate_forecast_peak", 'quantile="0.9"', by="deployment, class, signal", ago="1h"
                    ),
                    f"{_SIGNAL} foreseen an hour ago, 0.5": gauge(
                        "headgate_forecast_peak", 'quantile="0.5"', by="deployment, class, signal", ago="1h"
                    ),
                },
                width=24,
                height=10,
            ),
            Panel(
                "Coverage",
                "Share of what came that lay at or under the operating quantile: it should be that quantile.",
                {
                    f"{{{{deployment}}}} {_SIGNAL}": gauge(
                        "headgate_forecast_coverage_ratio", by="deployment, class, signal"
                    )
                },
                unit="percentunit",
                most=1.0,
            ),
            Panel(
                "What counts",
                "The forecast, or recent demand where the forecast was demoted.",
                {
                    f"{{{{deployment}}}} {_SIGNAL}": gauge(
                        "headgate_forecast_trusted", by="deployment, class, signal"
                    )
                },
                kind="state-timeline",
                mappings=_TRUSTED,
            ),
            Panel(
                "Demotions",
                "Times that a forecast was found wanting.",
                {
                    f"{{{{deployment}}}} {_SIGNAL}": counted(
                        "headgate_forecast_demotions_total", "deployment, class, signal"
                    )
                },
                kind="barchart-over-time",
                stacked=True,
            ),
            Panel(
                "Time to ready that is planned with",
                "A step up says that capacity came later than was planned.",
                {_ROLE: gauge("headgate_time_to_ready_seconds", by="deployment, role")},
                unit="s",
            ),
        ),
    ),
)

IS_IT_HEALTHY = (
    Row(
        "Who works",
        (
            Panel(
                "Leader",
                "One process leads; the others stand by and take over.",
                {"{{instance}}": "max by (instance) (headgate_leader)"},
                kind="state-timeline",
                mappings=_LEADING,
            ),
            Panel(
                "Age of the last tick",
                "It should stay near the interval.",
                {"{{deployment}}": f"time() - {gauge('headgate_last_tick_timestamp_seconds')}"},
                unit="s",
            ),
            Panel(
                "Ticks that failed or were held",
                "Failed: something was refused or broke. Held: data was missing or stale.",
                {
                    "{{deployment}} {{status}}": counted(
                        "headgate_ticks_total", "deployment, status", 'status=~"failed|held|superseded"'
                    ),
                    "{{deployment}} before a decision": counted("headgate_ticks_failed_total", "deployment"),
                    "{{deployment}} left out": counted("headgate_ticks_skipped_total", "deployment"),
                },
                kind="barchart-over-time",
                stacked=True,
            ),
            Panel(
                "Time that a tick takes",
                "Nine of ten take no longer. Fits are made elsewhere and do not count.",
                {
                    "{{deployment}}": "histogram_quantile(0.9, sum by (deployment, le) "
                    f"(rate(headgate_tick_duration_seconds_bucket{{{_OF}}}[$__rate_interval])))"
                },
                unit="s",
            ),
        ),
    ),
    Row(
        "What it asks of others",
        (
            Panel(
                "Requests to the API server",
                "By verb and status; 0: no answer, 409: somebody was faster, 403: a Role lacks a verb.",
                {
                    "{{verb}} {{status}}": "sum by (verb, status) "
                    "(rate(headgate_api_requests_total[$__rate_interval]))"
                },
                unit="reqps",
            ),
            Panel(
                "Queries to Prometheus",
                "By what came of them.",
                {
                    "{{result}}": "sum by (result) "
                    "(rate(headgate_prometheus_requests_total[$__rate_interval]))"
                },
                unit="reqps",
            ),
            Panel(
                "What keeps replicas from starting",
                "Replicas by obstacle; quota and capacity are the cloud's.",
                {
                    "{{deployment}} {{role}} {{obstacle}}": gauge(
                        "headgate_replicas_stuck", by="deployment, role, obstacle"
                    )
                    + " > 0",
                    "{{deployment}} {{place}} {{state}}": gauge(
                        "headgate_nodes_refused", by="deployment, place, state"
                    )
                    + " > 0",
                },
            ),
            Panel(
                "Configuration, journal, Events",
                "Refused: the configuration on disk is not in force. Lost: records that were not written.",
                {
                    "{{instance}} configuration refused": "max by (instance) (headgate_config_refused)",
                    "{{instance}} records lost": "sum by (instance) "
                    "(increase(headgate_journal_records_lost_total[$__rate_interval]))",
                    "Events not written": "sum(increase("
                    'headgate_events_total{result=~"failed|dropped"}[$__rate_interval]))',
                },
            ),
        ),
    ),
    Row(
        "Fits",
        (
            Panel(
                "Age of the fit that answers",
                "Models are fitted four times a day; past six hours a fit is not trusted.",
                {
                    f"{{{{deployment}}}} {_SIGNAL}": "time() - "
                    + gauge("headgate_forecast_fitted_timestamp_seconds", by="deployment, class, signal")
                },
                unit="s",
            ),
            Panel(
                "Fits that failed or are late",
                "The last good one answers meanwhile.",
                {
                    f"{{{{deployment}}}} {_SIGNAL}": gauge(
                        "headgate_forecast_fit_held_up", by="deployment, class, signal"
                    )
                },
                kind="state-timeline",
                mappings=_ON_OFF,
            ),
        ),
    ),
)

DASHBOARDS: Mapping[str, tuple[str, str, tuple[Row, ...]]] = {
    "decisions": ("Headgate: what it did and why", "Replicas, outcomes, limits and guards.", WHAT_AND_WHY),
    "track-record": ("Headgate: was it right", "Promises and forecasts against what came.", WAS_IT_RIGHT),
    "health": ("Headgate: is it healthy", "Leader, ticks, fits and what it asks of others.", IS_IT_HEALTHY),
}


def texts() -> dict[str, str]:
    """Return the files' texts by name."""
    return {
        f"{name}.json": json.dumps(_dashboard(name, *said), indent=1, ensure_ascii=False) + "\n"
        for name, said in DASHBOARDS.items()
    }


def expressions() -> Iterator[tuple[str, str]]:
    """Yield every query with where it stands."""
    for name, (_, _, rows) in DASHBOARDS.items():
        for row in rows:
            for panel in row.panels:
                yield from ((f"{name}: {panel.title}", query) for query in panel.series.values())


def _dashboard(name: str, title: str, said: str, rows: tuple[Row, ...]) -> dict[str, Any]:
    return {
        "uid": f"headgate-{name}",
        "title": title,
        "description": said,
        "tags": ["headgate"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "tags": ["headgate"],
                "title": "Headgate",
                "keepTime": True,
                "includeVars": True,
            }
        ],
        "templating": {"list": _variables()},
        "panels": list(_panels(rows)),
    }


def _variables() -> list[dict[str, Any]]:
    query = "label_values(headgate_last_tick_timestamp_seconds, deployment)"
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "deployment",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": "deployment"},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield _panel(number, panel, place)
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "mappings": list(panel.mappings)}
    if panel.most is not None:
        defaults["max"] = panel.most
    kind, options = (
        panel.kind,
        {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    )
    if kind == "state-timeline":
        defaults["custom"] = {"fillOpacity": 70}
    else:
        bars = kind == "barchart-over-time"
        kind = "timeseries"
        defaults["custom"] = {
            "drawStyle": "bars" if bars else "line",
            "lineInterpolation": "stepAfter",
            "fillOpacity": 60 if bars else 0,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    return {
        "id": number,
        "type": kind,
        "title": panel.title,
        "description": panel.said,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for i, (legend, query) in enumerate(panel.series.items())
        ],
    }
