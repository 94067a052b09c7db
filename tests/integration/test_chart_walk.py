"""The chart's README does what it says: helm's commands run, the others parse, and what is named exists."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from planner.cli import headgate
from profiler.cli import profiler
from tests import components
from tests.chart.readme import README
from tests.integration.kube_cluster import Cluster

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

# What a bare API server does not have: pods that start, Azure, the CRDs of monitors.
_CRD = "--set monitor.enabled=true"


def commands() -> list[str]:
    """Return the commands in order: a backslash goes on, and a here-document belongs to its command."""
    found: list[str] = []
    ends, gathered = "", ""
    for line in "".join(BLOCKS).splitlines(keepends=True):
        gathered += line
        here = re.search(r"<<'(\w+)'", line)
        ends = here[1] if here else ends
        if (ends and line.strip() != ends) or (not ends and line.rstrip().endswith("\\")):
            continue
        found.append(gathered)
        ends, gathered = "", ""
    assert not gathered
    return found


def test_commands_are_well_formed_and_those_for_azure_are_marked() -> None:
    checked = subprocess.run(
        ["bash", "-n"], input="".join(BLOCKS), capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""
    known = {"az", "helm", "kubectl", "cat", "headgate-profiler"}
    for command in commands():
        marked = command.rstrip().endswith("# Azure")
        words = shlex.split(command.partition("<<")[0], comments=True)
        while words and re.match(r"[A-Z]+=", words[0]):
            words.pop(0)
        first = words[0] if words else ""
        assert marked == ("az " in command), command
        assert first in known or not first or command.startswith("IMAGE="), command


def test_options_of_our_own_programs_exist() -> None:
    for program, group in (("headgate", headgate), ("headgate-profiler", profiler)):
        for command in commands():
            called = re.search(rf"(?:^|-- ){program} ([a-z]+)(.*)", command, re.DOTALL)
            if called is None:
                continue
            part = group.get_command(click.Context(group), called[1])
            assert part is not None, command
            options = {option for param in part.params for option in param.opts}
            assert set(re.findall(r"(?<!\S)--[a-z][\w-]*", called[2])) <= options, command


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"\bcharts/headgate[\w/.-]*", "".join(BLOCKS)))

    assert len(named) >= 2
    assert {path for path in named if not (components.REPOSITORY / path).exists()} == set()


@pytest.mark.integration
def test_the_walk_from_observe_to_act_and_back(cluster: Cluster, tmp_path: Path) -> None:
    """In a namespace of the test's own instead of `headgate`; each step's configuration is looked at."""
    namespace, targets = cluster.make_namespace("walk"), cluster.make_namespace("walk-chat")
    environ = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "HELM": str(components.helm()),
        **{name: str(tmp_path) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME")},
    }
    (tmp_path / "charts").symlink_to(components.REPOSITORY / "charts")
    modes = []
    for command in commands():
        if not command.startswith(("helm ", "cat ")) or _CRD in command:
            continue
        here = command.replace("--namespace headgate", f"--namespace {namespace}")
        here = here.replace("namespace: chat", f"namespace: {targets}").replace("helm ", '"$HELM" ', 1)
        ran = subprocess.run(
            ["bash", "-c", here],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, f"{command}{ran.stdout}{ran.stderr}"
        if "upgrade" in command:
            path = f"/api/v1/namespaces/{namespace}/configmaps/headgate"
            text = cluster.request("GET", path)["data"]["headgate.yaml"]
            modes += re.findall(r"mode: (\w+)", text)
            # A value set for one deployment keeps the rest of it.
            assert "dynamo: chat" in text

    assert modes == ["observe", "recommend", "act", "observe"]
    left = cluster.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
    assert left == []
