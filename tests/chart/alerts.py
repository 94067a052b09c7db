"""Read the chart's alerts, and say for each what series make it fire and what series leave it silent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.chart.values import CHART

ALERTS = CHART / "files" / "alerts.yaml"

LEADS = 'job="headgate", instance="a"'
STANDS_BY = 'job="headgate", instance="b"'


@dataclass(frozen=True)
class Case:
    """Series of one kind of day: what stands, per minute; the labels that the alert carries when it fires."""

    series: Mapping[str, str]
    at: str = "90m"
    fires: Sequence[Mapping[str, str]] = field(default_factory=tuple)


def group() -> dict[str, Any]:
    """Return the group of rules, as Prometheus reads it."""
    read: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return read


def rules() -> dict[str, dict[str, Any]]:
    """Return the alerts by name."""
    return {rule["alert"]: rule for rule in group()["rules"]}


def led(series: Mapping[str, str], leader: str = "1+0x200") -> dict[str, str]:
    """Return the series of a process that leads, and of one beside it that led once and stands by."""
    mine = {_named(name, LEADS): values for name, values in series.items()}
    return {f"headgate_leader{{{LEADS}}}": leader, f"headgate_leader{{{STANDS_BY}}}": "0+0x200", **mine}


def once(series: Mapping[str, str]) -> dict[str, str]:
    """Return series that only a process shows which leads no longer."""
    left = {_named(name, STANDS_BY): values for name, values in series.items()}
    return {**led({}), **left}


def _named(name: str, more: str) -> str:
    metric, _, labels = name.partition("{")
    rest = f", {labels.removesuffix('}')}" if labels else ""
    return f"{metric}{{{more}{rest}}}"
