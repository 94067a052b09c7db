"""Offer the flags of the job backend, and run a sweep in a cluster with them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from config.commandline import DURATION, FILE

if TYPE_CHECKING:
    from config.template import Template
    from models.architecture import Architecture
    from models.values import Parallelism, Role
    from profiler.cluster import Cluster
    from profiler.jobs.inputs import Inputs, Measuring
    from profiler.jobs.manifests import PodShape
    from profiler.measure.backend import Backend
    from profiler.measure.deployed.backend import Memory
    from profiler.measure.deployed.candidate import Candidate
    from profiler.measure.deployed.deployer import Deployer
    from profiler.measure.deployed.policy import DeployPolicy
    from profiler.order import Order
    from profiler.planning import RoleBench, SweepPlan
    from profiler.store import Store
    from profiler.sweep import Progress, Swept
    from profiler.wiring import Bench, MakeBackend

Command = TypeVar("Command", bound=Callable[..., Any])

_JOB = (
    click.option("--template", type=FILE, help="Kubernetes objects of a candidate, with ${name}, ${tp} ..."),
    click.option("--image", help="Image of headgate that the Job's pods run."),
    click.option("--name", help="The sweep's name in the cluster; default: made from the model's."),
    click.option(
        "-n", "--namespace", help="Namespace of the Job and its candidates; default: the context's."
    ),
    click.option("--context", help="Context of the kubeconfig; default: the current one."),
    click.option(
        "--kubeconfig", type=FILE, help="Default: KUBECONFIG, ~/.kube/config, the pod's own account."
    ),
    click.option(
        "--parallel",
        type=click.IntRange(1, 100),
        default=1,
        show_default=True,
        help="Candidates that are up at the same time.",
    ),
    click.option("--keep", is_flag=True, help="Leave the Job and its objects when this command ends."),
    click.option("--dry-run", is_flag=True, help="Check everything and print the objects; create nothing."),
    click.option(
        "--start-time", type=DURATION, default="5m", show_default=True, help="Expected start of a candidate."
    ),
    click.option(
        "--ready-timeout", type=DURATION, default="100m", show_default=True, help="Longest start of one."
    ),
    click.option(
        "--schedule-timeout",
        type=DURATION,
        default="15m",
        show_default=True,
        help="Longest wait for nodes: give the autoscaler time to add them.",
    ),
    click.option(
        "--node-selector", "node_selectors", multiple=True, help="Node label KEY=VALUE of the pods."
    ),
    click.option("--pull-secret", "pull_secrets", multiple=True, help="Secret to pull the image with."),
)


def job_options(function: Command) -> Command:
    """Add the flags of the job backend."""
    for option in reversed(_JOB):
        function = option(function)
    return function


def planning(order: Order, options: dict[str, Any]) -> MakeBackend:
    """Return what makes the backends that plan a sweep; a usage error where a flag is missing."""
    from config.template import read_template
    from models import codec
    from profiler.jobs.filememory import FileMemory

    for flag in ("template", "image"):
        if not options[flag]:
            raise click.UsageError(f"--backend job needs --{flag}")
    for flag in ("api_key_file", "endpoint_headers", "ca_file"):
        if options[flag]:
            named = flag.replace("_", "-").removesuffix("s")
            raise click.UsageError(f"--{named} is not for --backend job: candidates are asked without")
    template = read_template(options["template"], options["endpoint"])
    measuring = _measuring(options)
    # What its pods say of a replica is kept beside what they measure.
    beside = options["measurements"] or f"{options['out']}.measurements.jsonl"
    cards = [order.model, order.hardware, order.engine]
    told = codec.digest([template.text, template.endpoint, codec.to_plain(measuring), *cards])
    memory = options["memory"] = FileMemory(Path(f"{beside}.replicas"), told)
    where = _sweep(order, options)
    return partial(_backend, template, measuring, _policy(options), None, memory, where)


def run(order: Order, work: Bench, options: dict[str, Any], store: Store, progress: Progress | None) -> Swept:
    """Carry the order out in the cluster; with --dry-run print its objects and exit."""
    from config.access import kubernetes_access
    from config.cluster import KubernetesCluster
    from config.template import read_template
    from profiler.jobs.launching import check_candidates, prepare
    from profiler.jobs.running import Local, Voice, run_job, seeds
    from profiler.planning import plan
    from profiler.wiring import scope

    access = kubernetes_access(options["kubeconfig"], options["context"])
    cluster = KubernetesCluster(access)
    namespace = options["namespace"] or access.namespace
    template = read_template(options["template"], options["endpoint"])
    planned = plan(work.roles, scope(work, order.max_context_tokens))
    candidates = _candidates(template, order, work, options, namespace, planned)
    kinds = check_candidates(cluster, candidates.values())
    inputs = _inputs(order, work, options, namespace, template, planned)
    shape = _shape(options)
    local = Local(store, options["memory"])
    say = _say if progress is None else _say_beside

    def made() -> Any:
        return prepare(cluster, inputs, shape, kinds, seeds(inputs, store.read().values(), local), say)

    if options["dry_run"]:
        from config.yamltext import write_documents

        objects = [each for candidate in candidates.values() for each in candidate.objects]
        click.echo(write_documents([*made().all, *objects]), nl=False)
        raise click.exceptions.Exit(0)
    used = list(dict.fromkeys((each["apiVersion"], each["kind"]) for each in template.objects))
    _announce(planned, inputs, work)
    swept = run_job(cluster, inputs, made, used, local, Voice(say, progress), options["keep"])
    return replace(swept, left_out=(*planned.left_out, *swept.left_out))


def publish(order: Order, options: dict[str, Any], text: str) -> None:
    """Put the artifact into a ConfigMap, for the planner to mount."""
    from config.access import kubernetes_access
    from config.cluster import KubernetesCluster
    from profiler.jobs import published

    access = kubernetes_access(options["kubeconfig"], options["context"])
    namespace = options["namespace"] or access.namespace
    made = published.publish(KubernetesCluster(access), _sweep(order, options)[0], namespace, text)
    _say(f"Wrote ConfigMap {made} in namespace {namespace}")


def shard_backends(
    inputs: Inputs, cluster: Cluster, deployer: Deployer, memory: Memory, owners: Any
) -> MakeBackend:
    """Return what makes the backends of one of the sweep's pods: they deploy and measure."""
    from config.template import parse_template

    template = parse_template(inputs.template, "the sweep's template", inputs.endpoint)
    where = inputs.sweep, inputs.namespace, owners
    return partial(_backend, template, inputs.measuring, inputs.policy, deployer, memory, where)


def _backend(
    template: Template,
    measuring: Measuring,
    policy: DeployPolicy,
    deployer: Deployer | None,
    memory: Memory,
    where: tuple[str, str, Any],
    arch: Architecture,
    role: Role,
    bench: RoleBench,
) -> Backend:
    from models import codec
    from profiler.measure.deployed.backend import Deployed
    from profiler.measure.deployed.candidate import Setting

    sweep, namespace, owners = where
    setting = Setting(sweep, namespace, arch.name, bench.hardware.gpus_per_node, tuple(owners))
    told = codec.digest([template.text, template.endpoint, codec.to_plain(measuring)])
    # Neither the sweep's name nor its namespace changes a time.
    identity = f"job {arch.name} {bench.hardware.name} {told[:19]}"
    connect = partial(_endpoint, measuring, "role" not in template.used, arch, bench)
    return Deployed(template, setting, policy, deployer, connect, bench.backend, memory, identity)


def _endpoint(
    measuring: Measuring,
    serves_both: bool,
    arch: Architecture,
    bench: RoleBench,
    role: Role,
    layout: Parallelism,
    url: str,
) -> Backend:
    from models.values import Role as Roles
    from profiler.measure.endpoint.backend import Endpoint
    from profiler.measure.endpoint.policy import EndpointPolicy, Stated

    # A candidate that is the same for every role reads prompts and decodes on one replica.
    deployed = {role: layout, Roles.AGGREGATED: layout} if serves_both else {role: layout}
    policy = EndpointPolicy(
        url=url,
        model=arch.name,
        deployed=deployed,
        vocabulary=arch.vocabulary,
        max_context_tokens=arch.max_context_tokens,
        served_model=measuring.served_model,
        stated=Stated(measuring.max_num_seqs, measuring.max_num_batched_tokens, measuring.kv_capacity_tokens),
        error_ratio=measuring.error_ratio,
        max_repeats=measuring.max_repeats,
        min_repeats=min(3, measuring.max_repeats),
        max_point_s=measuring.max_point_s,
        silence_s=measuring.silence_s,
    )
    return Endpoint(policy, bench.backend)


def _candidates(
    template: Template, order: Order, work: Bench, options: dict[str, Any], namespace: str, planned: SweepPlan
) -> dict[str, Candidate]:
    from profiler.measure.deployed.candidate import Setting, candidate

    sweep = _sweep(order, options)[0]
    found = {}
    for task in planned.tasks:
        gpus_per_node = work.roles[task.role].hardware.gpus_per_node
        made = candidate(
            template, Setting(sweep, namespace, work.arch.name, gpus_per_node), task.role, task.layout
        )
        found[made.name] = made
    return found


def _inputs(
    order: Order, work: Bench, options: dict[str, Any], namespace: str, template: Template, planned: SweepPlan
) -> Inputs:
    from profiler.jobs.cards import packed
    from profiler.jobs.inputs import Cost, Inputs, deal
    from profiler.planning import gpu_minutes

    costs = [
        Cost(task.role, task.layout, task.size, gpu_minutes(task, work.roles[task.role].backend))
        for task in planned.tasks
    ]
    packed_order, files = packed(order)
    return Inputs(
        sweep=_sweep(order, options)[0],
        namespace=namespace,
        order=packed_order,
        template=template.text,
        shards=deal(costs, options["parallel"], "role" not in template.used, order.gpu_minutes),
        identity=work.identity,
        endpoint=options["endpoint"],
        measuring=_measuring(options),
        policy=_policy(options),
        files=files,
    )


def _sweep(order: Order, options: dict[str, Any]) -> tuple[str, str, Any]:
    from profiler.jobs.naming import sweep_name

    return sweep_name(options["name"], Path(order.model).stem), options["namespace"] or "default", ()


def _measuring(options: dict[str, Any]) -> Measuring:
    from profiler.jobs.inputs import Measuring

    return Measuring(
        served_model=options["served_model"],
        max_num_seqs=options["max_num_seqs"],
        max_num_batched_tokens=options["max_num_batched_tokens"],
        kv_capacity_tokens=options["kv_capacity"],
        error_ratio=options["confidence"],
        max_repeats=options["max_repeats"],
        max_point_s=options["max_point"],
        silence_s=options["endpoint_timeout"],
    )


def _policy(options: dict[str, Any]) -> DeployPolicy:
    from profiler.measure.deployed.policy import DeployPolicy

    return DeployPolicy(
        ready_within_s=options["ready_timeout"],
        schedule_within_s=options["schedule_timeout"],
        start_s=options["start_time"],
    )


def _shape(options: dict[str, Any]) -> PodShape:
    from profiler.jobs.manifests import PodShape

    selectors = {}
    for text in options["node_selectors"]:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{text[:40]!r} is not KEY=VALUE", param_hint="--node-selector")
        selectors[key] = value
    return PodShape(options["image"], options["parallel"], selectors, tuple(options["pull_secrets"]))


def _announce(planned: SweepPlan, inputs: Inputs, work: Bench) -> None:
    from profiler.planning import gpu_minutes

    minutes = sum(gpu_minutes(task, work.roles[task.role].backend) for task in planned.tasks)
    _say(
        f"{len(planned.tasks)} layouts by role, up to {planned.points} points, about {minutes:.0f} "
        f"GPU-minutes for whole grids, starts included; in {len(inputs.shards)} pods of {inputs.namespace}"
    )


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _say_beside(sentence: str) -> None:
    """Write a line above the progress bar."""
    click.echo(f"\r\033[K{sentence}" if sys.stderr.isatty() else sentence, err=True)
