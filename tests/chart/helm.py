"""Run helm on the chart, away from what helm keeps of the person who runs the tests."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import components
from tests.chart.values import CHART

Object = dict[str, Any]
Values = Mapping[str, Any]

# The least that says something.
MINIMAL: Values = {
    "config": {
        "deployments": [
            {"name": "chat", "model": "gpt-oss-120b", "pools": {"aggregated": {"layout": "TP4", "min": 1}}}
        ]
    }
}


@dataclass(frozen=True)
class Helm:
    """Run helm with a home of its own; `kubeconfig` names the cluster of commands that need one."""

    folder: Path
    kubeconfig: Path | None = None
    namespace: str = "headgate"

    def run(self, *words: str, values: Values | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command; `values` come from a file, as a person's do."""
        more = []
        if values is not None:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=self.folder, delete=False) as file:
                # Without sharing: an anchor of the writer's own would hide one of the values'.
                yaml.dump(json.loads(json.dumps(values)), file, Dumper=yaml.SafeDumper)
            more = ["--values", file.name]
        homes = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME")
        # Without a kubeconfig a command must not find the developer's cluster.
        environ = {
            **os.environ,
            **{name: str(self.folder) for name in homes},
            "HELM_NAMESPACE": self.namespace,
        }
        environ["KUBECONFIG"] = str(self.kubeconfig or os.devnull)
        return subprocess.run(
            [components.helm(), *words, *more],
            capture_output=True,
            text=True,
            env=environ,
            timeout=100,
            check=False,
        )

    def template(self, values: Values, *words: str, name: str = "headgate") -> list[Object]:
        """Return what the chart makes of the values; a refusal fails the test."""
        ran = self.run("template", name, str(CHART), *words, values=values)
        assert ran.returncode == 0, ran.stderr
        return list(documents(ran.stdout))

    def refusal(self, values: Values) -> str:
        """Return why the chart refuses the values."""
        ran = self.run("template", "headgate", str(CHART), values=values)
        assert ran.returncode != 0, "the chart took them"
        return ran.stderr


def documents(text: str) -> Iterator[Object]:
    """Yield the objects of a stream; a key that comes twice is an error, as it is for the API server."""
    for each in yaml.load_all(text, Loader=_NoKeyTwice):
        if each is not None:
            yield each


def one(objects: list[Object], kind: str, ending: str = "") -> Object:
    """Return the only object of a kind whose name ends so."""
    (found,) = [
        each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(ending)
    ]
    return found


class _NoKeyTwice(yaml.SafeLoader):
    pass


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), f"a key comes twice: {keys}"
    return loader.construct_mapping(node, deep=True)


_NoKeyTwice.add_constructor("tag:yaml.org,2002:map", _mapping)
