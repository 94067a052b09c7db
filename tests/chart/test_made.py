"""What is made from elsewhere is what its source says today."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from planner.record.metrics import Metrics
from planner.record.operations import Operations
from tests.chart import dashboards, readme, schema
from tests.chart.alerts import rules
from tests.chart.samples import SAMPLES
from tests.chart.values import values

RENEW = "renew it: python -m tests.chart"


def test_the_schema_is_the_one_of_the_values_and_of_the_configuration() -> None:
    assert schema.SCHEMA.read_text(encoding="utf-8") == schema.text(), RENEW


def test_the_dashboards_are_the_ones_of_their_panels() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in dashboards.FOLDER.iterdir()}

    assert found == dashboards.texts(), RENEW


def test_the_readme_lists_every_value() -> None:
    text = readme.README.read_text(encoding="utf-8")

    assert text == readme.renewed(text), RENEW


def test_every_value_says_what_it_is() -> None:
    silent = [each.name for each in values() if not each.section and len(each.said) < 5]

    assert silent == []


def test_what_a_default_does_not_tell_is_said_of_values_that_exist() -> None:
    assert set(schema.NARROWER) <= {each.name for each in values()}


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_schema_takes_what_people_write(sample: str) -> None:
    Draft7Validator.check_schema(schema.schema())
    Draft7Validator(schema.schema()).validate(SAMPLES[sample])


_ENDINGS = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "summary": ["_sum", "_count"]}


def _exported() -> set[str]:
    """Return the names of all samples that Headgate can show."""
    metrics = Metrics()
    Operations(metrics)
    return {
        family.name + ending
        for family in metrics.registry.collect()
        for ending in _ENDINGS.get(family.type, [""])
    }


def _asked() -> list[tuple[str, str]]:
    alerts = [(name, rule["expr"]) for name, rule in rules().items()]
    return [*alerts, *dashboards.expressions(), ("variable", "headgate_last_tick_timestamp_seconds")]


def test_every_metric_of_alerts_and_dashboards_is_exported() -> None:
    exported = _exported()
    absent = {
        f"{where}: {name}"
        for where, query in _asked()
        for name in re.findall(r"\bheadgate_\w+", query)
        if name not in exported
    }

    assert absent == set()


def test_every_label_of_a_query_is_one_of_its_metric() -> None:
    labels = _labels()
    wrong = {
        f"{where}: {name} has no label {label}"
        for where, query in _asked()
        for name, matchers in re.findall(r"(headgate_\w+)\{([^}]*)\}", query)
        for label in re.findall(r"(\w+)\s*[=!]", matchers)
        if label not in labels[name]
    }

    assert wrong == set()


def _labels() -> dict[str, set[str]]:
    """Return the labels of each metric, as they were declared."""
    declared: dict[str, set[str]] = {}
    metrics = Metrics()
    for attribute in (*vars(metrics).values(), *vars(Operations(metrics)).values()):
        family: Any = attribute
        names = getattr(family, "_labelnames", None)
        if names is not None:
            for ending in _ENDINGS.get(type(family).__name__.lower(), [""]):
                declared[family._name + ending] = set(names)
    return declared


@pytest.mark.parametrize("path", sorted(dashboards.FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_panels_have_a_place_of_their_own_and_say_what_they_show(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
        if panel["type"] != "row":
            assert len(panel["description"]) > 10
            assert panel["targets"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
