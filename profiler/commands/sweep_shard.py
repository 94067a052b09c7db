"""Do one shard of a sweep; the pods of its Kubernetes Job run this."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from profiler.cluster import Cluster
    from profiler.jobs.inputs import Inputs, Shard
    from profiler.jobs.pages import Pages
    from profiler.planning import SweepPlan
    from profiler.sweep import Swept

STOPPED_EXIT = 143


@click.command("sweep-shard")
@click.option("--name", required=True, help="The sweep's name.")
@click.option("-n", "--namespace", required=True, help="The sweep's namespace.")
def command(name: str, namespace: str) -> None:
    """Measure the shard that JOB_COMPLETION_INDEX names, and leave the result in a ConfigMap."""
    from config.access import kubernetes_access
    from config.cluster import KubernetesCluster
    from models.errors import InputError
    from profiler.jobs.manifests import USAGE_EXIT
    from profiler.jobs.shard import run_shard

    signal.signal(signal.SIGTERM, _stop)
    try:
        cluster = KubernetesCluster(kubernetes_access())

        def work(inputs: Inputs, shard: Shard, pages: Pages, owners: tuple[Mapping[str, str], ...]) -> Swept:
            with tempfile.TemporaryDirectory() as folder:
                return _swept(cluster, inputs, shard, pages, owners, Path(folder))

        found = run_shard(cluster, namespace, name, os.environ, work)
    except InputError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(USAGE_EXIT)
    click.echo("done before" if found is None else f"done: {found.points} points", err=True)


def _swept(
    cluster: Cluster,
    inputs: Inputs,
    shard: Shard,
    pages: Pages,
    owners: tuple[Mapping[str, str], ...],
    folder: Path,
) -> Swept:
    from profiler import wiring
    from profiler.commands.clustered import shard_backends
    from profiler.jobs.cards import unpacked
    from profiler.layouts import Candidates
    from profiler.measure.deployed.deployer import Deployer
    from profiler.measure.deployed.probe import serves
    from profiler.planning import plan
    from profiler.sweep import Terms, sweep

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)
        pages.note(sentence)

    order = unpacked(inputs.order, inputs.files, folder)
    with Deployer(cluster, inputs.policy, serves, say) as deployer:
        bench = wiring.bench(order, shard_backends(inputs, cluster, deployer, pages, owners))
        mine = set(shard.work)
        roles = {
            role: replace(
                each,
                candidates=Candidates(tuple(x for x in each.candidates.legal if (role, x) in mine), ()),
            )
            for role, each in bench.roles.items()
        }
        planned = _by_layout(plan(roles, wiring.scope(bench, order.max_context_tokens)))
        terms = Terms(
            sampler=wiring.sampler(order, bench),
            store=pages,
            rivals=wiring.rivals(order, bench),
            budget_gpu_minutes=shard.gpu_minutes,
        )
        return sweep(planned, roles, terms, pages.progress)


def _by_layout(planned: SweepPlan) -> SweepPlan:
    """Put the roles of a layout one after the other: where they share a candidate it is deployed once."""
    return replace(
        planned, tasks=tuple(sorted(planned.tasks, key=lambda task: (task.layout.gpus, task.layout.name)))
    )


def _stop(number: int, frame: FrameType | None) -> None:
    """End when the kubelet asks for it; the successor takes over what stands in the cluster."""
    click.echo("told to stop: the next pod of this shard goes on from here", err=True)
    sys.exit(STOPPED_EXIT)
