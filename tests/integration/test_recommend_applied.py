"""Recommend, apply the patches that were printed, recommend again: nothing is left to change."""

import csv
import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from config.document import read_text
from models.artifact import Machine, ProfileArtifact, Selection, dump
from models.values import Role
from planner.cli import headgate
from tests import builders
from tests.integration import dynamo_crds, openmetrics
from tests.integration.kube_cluster import Cluster
from tests.integration.kube_objects import Hand, Object
from tests.integration.openmetrics import MODEL, Export, Pod, Week
from tests.integration.prometheus_server import load, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(170)]

JSON_PATCH = "application/json-patch+json"
HISTORY_MINUTES = 6 * 60
# The last samples lie ahead, lest they be stale by the time that a slow machine asks.
AHEAD_MINUTES = 10
# Needs several prefill replicas of the builders' layout, and one decode replica.
RATE_RPS = 250.0

CONFIG = """\
prometheus: {{url: "{url}", preset: dynamo}}
deployments:
  - name: chat
    model: gpt-oss-120b
    profile: profile.json
    budget: {{gpus: 40}}
    classes: [{{name: chat, slo: {{ttft: 500ms, itl: 30ms}}}}]
"""
GRAPH = "    target: {dynamo: chat}\n    pools: {prefill: {min: 1}, decode: {min: 1}}\n"
WORKLOADS = """\
    pools:
      prefill: {min: 1, target: {kind: Deployment, name: prefill}}
      decode: {min: 1, target: {kind: Deployment, name: decode}}
"""
GPUS = {"prefill": 1, "decode": 4}
LETTER = {"prefill": "P", "decode": "D"}
OF_GRAPH = "nvidia.com/dynamo-graph-deployment-name"


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve six hours of steady traffic that go on for a while; yields the base URL."""
    folder = tmp_path_factory.mktemp("prometheus")
    start_s = (int(time.time()) // 60 - HISTORY_MINUTES) * 60
    week = Week(start_s, np.full(HISTORY_MINUTES + AHEAD_MINUTES, RATE_RPS * 60.0))
    load(openmetrics.write(folder, week, Export((Pod("a", 1.0),), queue=True)), folder / "data")
    with serving(folder / "data", folder) as url:
        yield url


@dataclass(frozen=True)
class Shop:
    """Hold one deployment in a namespace of its own, as a graph or as two workloads, and its files."""

    hand: Hand
    folder: Path
    graph: bool

    def recommend(self, output: str, *more: str) -> str:
        cluster, config = self.hand.cluster, str(self.folder / "headgate.yaml")
        where = ["--kubeconfig", str(cluster.kubeconfig), "-n", self.hand.namespace, "--history", "6h"]
        asked = ["recommend", "--config", config, *where, "-o", output, *more]
        result = CliRunner().invoke(headgate, asked, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.recommend("json"))
        return found

    def pods(self, role: str, numbers: Sequence[int]) -> None:
        """Start ready pods, as the controllers and a kubelet would."""
        labels = {OF_GRAPH: "chat", "nvidia.com/dynamo-component": LETTER[role]}
        for number in numbers:
            self.hand.pod(f"{role}-{number}", labels if self.graph else {"app": role})

    def follow(self, before: dict[str, int], after: dict[str, int]) -> None:
        """Start and end pods until each role has as many as are asked for."""
        for role, wanted in after.items():
            self.pods(role, range(before[role], wanted))
            for number in range(wanted, before[role]):
                self.hand.end(f"{role}-{number}")


def shop(cluster: Cluster, metrics: str, folder: Path, graph: bool, replicas: dict[str, int]) -> Shop:
    dynamo_crds.install(cluster)
    made = Shop(Hand(cluster, cluster.make_namespace("applied")), folder, graph)
    _write_files(folder, CONFIG.format(url=metrics) + (GRAPH if graph else WORKLOADS))
    if graph:
        parts = [dynamo_crds.component(LETTER[r], r, n, GPUS[r]) for r, n in replicas.items()]
        made.hand.create(dynamo_crds.graph("chat", parts))
    for role, count in replicas.items():
        if not graph:
            made.hand.create(dynamo_crds.workload("Deployment", role, count, GPUS[role]))
        made.pods(role, range(count))
    return made


def _write_files(folder: Path, config: str) -> None:
    layouts = builders.layouts()
    chosen = {role: layout.parallelism.name for role, layout in layouts.items()}
    profile = ProfileArtifact(
        model=MODEL,
        machines=(Machine("gb200", gpus_per_node=4, scaleup_gpus=72),),
        engine="analytic",
        backend="builder",
        created_at="2026-11-01T00:00:00Z",
        layouts=tuple(layouts.values()),
        selection=Selection(chosen, {Role.PREFILL: 1, Role.DECODE: 1}, 5, True, "for this test"),
    )
    (folder / "profile.json").write_text(dump(profile))
    (folder / "headgate.yaml").write_text(config)


def apply(cluster: Cluster, printed: str) -> Object:
    """Send what a printed kubectl command sends, and return the object as it is kept then."""
    words = shlex.split(printed)
    assert words[:2] == ["kubectl", "-n"]
    assert words[3] == "patch"
    namespace, kind, name = words[2], words[4], words[5]
    flags = dict(word.removeprefix("--").split("=", 1) for word in words[6:] if word.startswith("--"))
    assert flags["type"] == "json"
    where = {
        "deployment": ("apps/v1", "Deployment"),
        "dynamographdeployment.nvidia.com": (dynamo_crds.BETA, "DynamoGraphDeployment"),
    }[kind.removesuffix(".apps")]
    path = dynamo_crds.path(namespace, *where, name)
    if part := flags.get("subresource"):
        path += f"/{part}"
    body = json.loads(words[words.index("-p") + 1])
    changed: Object = cluster.request(
        "PATCH", f"{path}?fieldManager={flags['field-manager']}", body, JSON_PATCH
    )
    return changed


def commands(text: str) -> list[str]:
    """Return the lines of an output that are commands for kubectl."""
    return [line for line in text.splitlines() if line.startswith("kubectl ")]


@pytest.mark.parametrize("graph", [True, False], ids=["one graph", "two Deployments"])
def test_what_was_recommended_and_applied_is_recommended_no_further(
    graph: bool, cluster: Cluster, metrics: str, tmp_path: Path
) -> None:
    few = {"prefill": 1, "decode": 1}
    asked = shop(cluster, metrics, tmp_path, graph, few)

    first = asked.document()
    wanted = first["decision"]["final"]
    assert first["change"]
    assert wanted["prefill"] > 2
    assert {patch["verdict"] for patch in first["patches"]} == {"the server accepts it"}

    for printed in commands(asked.recommend("wide")):
        apply(cluster, printed)

    # Nothing has started yet, and what was asked for is not asked for twice.
    starting = asked.document()
    assert not starting["change"], starting["summary"]
    assert {role: pool["desired"] for role, pool in starting["pools"].items()} == wanted
    assert starting["pools"]["prefill"]["ready"] == 1

    asked.follow(few, wanted)
    settled = asked.document()
    assert not settled["change"], settled["summary"]
    assert settled["patches"] == []
    assert {role: pool["ready"] for role, pool in settled["pools"].items()} == wanted
    asked.recommend("table", "--exit-code")


def test_too_many_are_given_back_step_by_step_and_then_no_more(
    cluster: Cluster, metrics: str, tmp_path: Path
) -> None:
    runs = {"prefill": 8, "decode": 2}
    asked = shop(cluster, metrics, tmp_path, True, runs)

    seen, said = [runs["prefill"]], asked.document()
    # A recommendation lowers a role by one step at most, so that each can be watched.
    while said["change"] and len(seen) < 9:
        [printed] = commands(asked.recommend("markdown"))
        apply(cluster, printed)
        wanted = said["decision"]["final"]
        asked.follow(runs, wanted)
        runs = wanted
        seen.append(runs["prefill"])
        said = asked.document()

    assert not said["change"], said["summary"]
    assert seen == list(range(8, seen[-1] - 1, -1))
    assert 1 < seen[-1] < 7


class Embedded(HTMLParser):
    """Gather the JSON that a page carries, and the cells of its tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.json: list[str] = []
        self.cells: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = "json" if ("type", "application/json") in attrs else tag
        if self._inside == "json":
            self.json.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "json":
            self.json[-1] += data
        elif self._inside in ("td", "th"):
            self.cells.append(data.strip())


Counts = dict[str, tuple[int, int]]


def rows_of_text(text: str) -> Counts:
    """Read role, current and recommended from the first table of an output for a terminal."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    head = next(i for i, cells in enumerate(lines) if cells[:3] == ["ROLE", "CURRENT", "RECOMMENDED"])
    return {cells[0]: (int(cells[1]), int(cells[2])) for cells in lines[head + 1 : head + 3]}


def rows_of_markdown(text: str) -> Counts:
    table = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert table[0][:3] == ["role", "current", "recommended"]
    return {cells[0]: (int(cells[1]), int(cells[2])) for cells in table[2:]}


def rows_of_document(said: Mapping[str, Any]) -> Counts:
    decision = said["decision"]
    return {role: (decision["current"][role], n) for role, n in decision["final"].items()}


def test_every_output_parsed_back_says_the_same_counts_and_the_same_patch(
    cluster: Cluster, metrics: str, tmp_path: Path
) -> None:
    asked = shop(cluster, metrics, tmp_path, True, {"prefill": 1, "decode": 1})
    outputs = ("table", "wide", "json", "yaml", "csv", "markdown", "html")
    told = {output: asked.recommend(output) for output in outputs}

    plain = json.loads(told["json"])
    said = rows_of_document(plain)
    assert said["prefill"][1] > said["prefill"][0] == 1
    found = list(csv.DictReader(told["csv"].splitlines()))
    page = Embedded(told["html"])
    [export] = [each for each in map(json.loads, page.json) if "schema" in each]
    assert {
        "table": rows_of_text(told["table"]),
        "wide": rows_of_text(told["wide"]),
        "yaml": rows_of_document(read_text(told["yaml"], "output").values),
        "csv": {row["role"]: (int(row["current"]), int(row["recommended"])) for row in found},
        "markdown": rows_of_markdown(told["markdown"]),
        "html": rows_of_document(export["records"][0]),
    } == dict.fromkeys(("table", "wide", "yaml", "csv", "markdown", "html"), said)
    assert {"prefill", "decode", "1", str(said["prefill"][1])} <= set(page.cells)

    [patch] = plain["patches"]
    as_yaml = read_text(told["yaml"], "output").values
    assert [each["operations"] for each in as_yaml["patches"]] == [patch["operations"]]
    assert commands(told["wide"]) == commands(told["markdown"]) == [patch["command"]]
    assert json.loads(shlex.split(patch["command"])[-1]) == patch["operations"]
