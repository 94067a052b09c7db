"""Wire a deployment together from its configuration: the one place in planner that reads the config tree."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.access import kubernetes_access
from config.arguments import engine_arguments
from config.cluster import KubernetesCluster
from config.clusterstate import read_cluster_state
from config.dynamo_profile import read_folder
from config.entra import EntraTokens, entra_credential
from config.loading import Loaded, load
from config.metrics import read_metrics
from config.money import Billed
from config.schema import DeploymentSettings
from config.textfile import read_text
from models import codec
from models.artifact import LayoutProfile, Profile, ProfileArtifact, parse
from models.dynamo_tables import DecodeTable, PrefillTable
from models.engine_arguments import EngineArguments
from models.equipping import EnginePolicy
from models.errors import ArtifactError, ConfigError
from models.gpu_pool import GpuPool, Membership, within_pool
from models.nodes import AgentPoolPolicy
from models.observation import Gap
from models.policy import Mode, PlanPolicy, PrometheusPolicy, TickPolicy
from models.target import PoolTarget
from models.topology import Topology
from models.values import Role
from models.version import VERSION
from planner.act.agent_pool import AksAgentPool
from planner.cluster.api import Cluster, Reader
from planner.cluster.counted import Count, CountedCluster
from planner.engines import equip_all, equipped
from planner.fitting import Fitter
from planner.forecasting import Forecasting
from planner.history import MINUTE_S
from planner.observe.backlogs import BacklogQuery, WithBacklogs
from planner.observe.kubernetes import KubernetesPools
from planner.observe.live import PoolSource, PrometheusObserver, Target
from planner.observe.past import PrometheusHistory
from planner.observe.preflight import missing_series
from planner.observe.prometheus import PrometheusServer
from planner.observe.statefile import AtFloors, StateFile
from planner.observe.watched import WatchedCluster
from planner.ports import Observer
from planner.record.setting import Setting
from planner.sharing import Seat, seats
from planner.source import Source
from planner.stocks import Terms, alternatives, choose_layouts, stocks
from planner.tick import Served

# What drivers hold and hand back, without a look inside.
Configuration = Loaded
# A tick that waits for a cluster is a tick that is lost; watches read for longer by themselves.
CLUSTER_CONNECT_S, CLUSTER_READ_S = 3.0, 10.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """Hold everything that a driver needs to run one deployment; `settings` is for wiring alone."""

    name: str
    model: str
    policy: TickPolicy
    served: Served
    profile: Profile
    settings: DeploymentSettings
    loaded: Loaded
    pool: GpuPool | None = None


def read_config(path: Path, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read a configuration with the process environment applied; raises ConfigError."""
    return load(path, overrides=overrides)


def read_dynamo_tables(folder: Path) -> tuple[PrefillTable, DecodeTable]:
    """Read a folder of Dynamo's profiler; raises InputError that names the file and what to do."""
    return read_folder(folder)


def read_profile(path: Path, model: str | None = None) -> Profile:
    """Read a profile artifact; raises ArtifactError that says how to get one."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: no such profile; make one with: headgate-profiler sweep --model {model or 'NAME'} "
            f"--hardware NAME --backend roofline --out {path}"
        ) from None
    except UnicodeDecodeError:
        raise ArtifactError(f"{path}: is not text, so it is no profile; profiles are JSON") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(text, str(path), model)


def deployment(
    loaded: Loaded,
    name: str | None = None,
    profile_path: Path | None = None,
    engines: Callable[[EnginePolicy], EnginePolicy] = lambda stated: stated,
    layouts: Mapping[Role, str] = MappingProxyType({}),
) -> Deployment:
    """Build one deployment; raises ConfigError or ArtifactError that names what is missing.

    `engines` changes what the configuration states of the engines. `layouts` are those that run in place of
    the stated ones; they count in the digest, as decisions rest on them.
    """
    settings = loaded.deployment(name)
    path = profile_path or (settings.profile.path if settings.profile else None)
    if path is None:
        raise ConfigError(
            f"{loaded.path}: deployment {settings.name} has no profile; set `profile` or pass --profile"
        )
    profile = read_profile(path, settings.model)
    roles, artifact = tuple(settings.pools.by_role()), profile.artifact
    engine, source = engines(settings.engine.to_policy()), f"{loaded.path}: deployment {settings.name}"
    hardware = settings.pools.hardware()
    stated = choose_layouts(artifact, settings.layouts(), roles, hardware)
    chosen = choose_layouts(artifact, {**settings.layouts(), **layouts}, roles, hardware)
    equal, named = chosen == stated, {role: each.parallelism.name for role, each in stated.items()}
    digest = loaded.digest if equal else codec.digest([loaded.digest, sorted(layouts.items())])
    running = equip_all(artifact, chosen, engine, source)
    policy = settings.to_tick_policy(loaded.settings.interval_s, digest)
    plan = replace(
        policy.plan,
        topology=_topology(artifact, running, policy.plan.budget_gpus),
        stocks=stocks(artifact, running, _terms(loaded.path, settings)),
    )
    policy = replace(policy, plan=plan)
    pool = _shared_pool(loaded, settings, artifact, running)
    if pool is not None:
        policy = replace(policy, plan=within_pool(policy.plan, pool))
    _check_budget(loaded.path, policy.plan, running)
    # What the file states may run again, whatever runs now.
    allowed = {role: (*few, named[role]) for role, few in settings.pools.alternatives().items()}
    others = {
        role: tuple(equipped(artifact, each, engine, source) for each in several)
        for role, several in alternatives(artifact, running, allowed).items()
    }
    served = Served(running, profile.digest, VERSION, others)
    return Deployment(settings.name, settings.model, policy, served, profile, settings, loaded, pool)


def arguments(chosen: Deployment) -> EngineArguments | None:
    """Return how the engine of a deployment's profile is told its widths; None where that is not known."""
    return engine_arguments(chosen.profile.artifact.engine)


def setting(chosen: Deployment) -> Setting:
    """Return what a deployment's ticks are computed with, to keep beside their records."""
    criteria = chosen.settings.readiness.to_policy()
    return Setting(chosen.policy, chosen.served.layouts, chosen.profile.digest, criteria)


def pool_seats(deployments: Sequence[Deployment]) -> dict[str, Seat]:
    """Return the seat of each deployment that shares a pool; raises ConfigError for what does not fit."""
    members = [
        (each.pool, _membership(each), each.served, each.policy)
        for each in deployments
        if each.pool is not None
    ]
    return seats(members, str(deployments[0].loaded.path) if deployments else "")


def pool_mates(loaded: Loaded, name: str) -> list[str]:
    """Return the deployments that share a pool with one, itself included, in the order of the file."""
    share = loaded.deployment(name).share
    if share is None:
        return [name]
    others = ((each.name, each.share) for each in loaded.settings.deployments)
    return [other for other, its in others if its is not None and its.pool == share.pool]


def agent_pool(policy: AgentPoolPolicy) -> AksAgentPool:
    """Return an agent pool, reached with an identity of Azure; raises ConfigError without its packages."""
    return AksAgentPool(policy, entra_credential("nodes.agent_pools"))


@dataclass(frozen=True, slots=True)
class Live:
    """Hold what reads the world for one deployment, and the forecaster that remembers it."""

    observer: Observer
    history: PrometheusHistory
    forecaster: Forecasting
    check: Callable[[float], tuple[Gap, ...]]
    source: Source


def prometheus_server(
    access: PrometheusPolicy, asked: Callable[[bool], None] = lambda _: None
) -> PrometheusServer:
    """Return a server to query, with tokens of Entra ID where they are asked for; raises ConfigError."""
    if access.entra_scope is None:
        return PrometheusServer(access, asked=asked)
    tokens = EntraTokens(lambda: entra_credential("prometheus.entra"), access.entra_scope)
    return PrometheusServer(access, token=tokens, asked=asked, renew=tokens.renew)


@dataclass(frozen=True, slots=True)
class Connected:
    """Hold a cluster, what its objects are read from, and the namespace of targets that state none.

    `reader` is the cluster itself, for one look, or watches of it, for many.
    """

    cluster: Cluster
    reader: Reader
    namespace: str

    def targets(self, chosen: Deployment) -> dict[Role, PoolTarget]:
        """Return whose replicas each pool of a deployment is; empty where the configuration does not say."""
        return {role: target.placed(self.namespace) for role, target in chosen.settings.targets().items()}


def has_targets(chosen: Deployment) -> bool:
    """Say whether the configuration names the objects of a cluster that hold the deployment's pools."""
    return bool(chosen.settings.targets())


def connect(
    kubeconfig: Path | None = None,
    context: str | None = None,
    namespace: str | None = None,
    watching: bool = False,
    count: Count | None = None,
    patience_s: tuple[float, float] = (CLUSTER_CONNECT_S, CLUSTER_READ_S),
) -> Connected:
    """Reach the cluster that kubectl would; `watching` answers reads from watches that begin when needed.

    `count` hears of each request, `patience_s` is how long one may take to connect and between two pieces of
    its answer. Raises ConfigError where no cluster is named, ClusterError where it does not answer.
    """
    access = kubernetes_access(kubeconfig, context)
    cluster: Cluster = KubernetesCluster(access, *patience_s)
    if count is not None:
        cluster = CountedCluster(cluster, count)
    reader = WatchedCluster(cluster) if watching else cluster
    return Connected(cluster, reader, namespace or access.namespace)


def live(
    chosen: Deployment,
    cluster_state: Path | None,
    fitter: Fitter | None = None,
    connected: Connected | None = None,
    asked: Callable[[bool], None] = lambda _: None,
) -> Live:
    """Wire a deployment to its Prometheus and its pools to what knows them.

    That is `cluster_state`, a file that states them; without one the objects of a `connected` cluster that
    the configuration names as targets; without both pools stand at their floors. Connect once with
    `connect(..., watching=True)` for all deployments of a process that ticks, and without for one look.

    Without a `fitter` a tick makes the fits that are due itself. `asked` hears of each query to Prometheus.

    Raises ConfigError without a `prometheus` section, ObserveError for classes that cannot be told apart.
    """
    settings, plan = chosen.loaded.settings.prometheus, chosen.policy.plan
    if settings is None:
        raise ConfigError(f"{chosen.loaded.path}: has no `prometheus` section; demand is read from there")
    access = settings.to_policy()
    names = read_metrics(access.preset, chosen.loaded.path.parent)
    target = Target(chosen.model, chosen.settings.matches(), access.labels)
    pools: PoolSource = AtFloors({role: pool.min_replicas for role, pool in plan.pools.items()})
    targets = {} if connected is None else connected.targets(chosen)
    if connected is not None and targets:
        pools = KubernetesPools(connected.reader, targets)
    if cluster_state is not None:
        read = partial(read_cluster_state, cluster_state, chosen.name)
        pools = StateFile(read, frozenset(plan.pools))
    server = prometheus_server(access, asked)
    observer: Observer = PrometheusObserver(server, names, target, pools, max(plan.interval_s, MINUTE_S))
    waiting = {
        each.name: BacklogQuery(each.deferrable.backlog, each.deferrable.oldest)
        for each in chosen.settings.classes
        if each.deferrable is not None
    }
    return Live(
        WithBacklogs(observer, server, waiting) if waiting else observer,
        PrometheusHistory(server, names, target),
        Forecasting(
            chosen.policy.forecast,
            [c.name for c in plan.classes],
            plan.hold_horizon_s(),
            fitter=fitter,
            deployment=chosen.name,
        ),
        partial(missing_series, server, names, target),
        Source(
            (access.url, dict(access.labels), names, chosen.model),
            chosen.settings.matches(),
            (access, waiting, sorted(plan.pools), targets, plan.interval_s),
        ),
    )


def _check_budget(path: Path, plan: PlanPolicy, layouts: Mapping[Role, LayoutProfile]) -> None:
    """Raise ConfigError when not even the smallest fleet is inside a budget."""
    for limit in plan.limits():
        least_gpus = sum(plan.pools[role].min_replicas * layouts[role].gpus for role in limit.roles)
        if least_gpus > limit.gpus:
            raise ConfigError(
                f"{path}: the smallest fleet takes {least_gpus} GPUs in the profile's layouts, the "
                f"{limit.name} does not hold them; raise budget.gpus, or state narrower layouts"
            )


def _terms(path: Path, settings: DeploymentSettings) -> Terms:
    """Return what the configuration states per hardware."""
    price = settings.price
    return Terms(
        str(path),
        settings.budget.gpus,
        None if price is None else price.gpu_h,
        price is None or price.billed is Billed.NODE,
    )


def _shared_pool(
    loaded: Loaded,
    settings: DeploymentSettings,
    artifact: ProfileArtifact,
    layouts: Mapping[Role, LayoutProfile],
) -> GpuPool | None:
    """Return the pool that a deployment shares, laid out in nodes of the profiled hardware."""
    share = settings.share
    if share is None:
        return None
    machines = {artifact.machine(layout) for layout in layouts.values()}
    if len(machines) > 1:
        raise ConfigError(
            f"{loaded.path}: deployment {settings.name} runs its roles on "
            f"{' and '.join(sorted(m.name for m in machines))}; pool {share.pool} holds GPUs of one kind: "
            "state layouts of one, or a budget per hardware and no share"
        )
    machine = machines.pop()
    pool = next(each for each in loaded.settings.gpu_pools if each.name == share.pool)
    return pool.to_pool(machine.name, machine.gpus_per_node, machine.scaleup_gpus)


def _membership(chosen: Deployment) -> Membership:
    share, plan, layouts = chosen.settings.share, chosen.policy.plan, chosen.served.layouts
    return Membership(
        deployment=chosen.name,
        guaranteed_gpus=share.guaranteed_gpus if share else 0,
        priority=share.priority if share else 0,
        acts=chosen.settings.mode is Mode.ACT,
        floor_gpus=sum(pool.min_replicas * layouts[role].gpus for role, pool in plan.pools.items()),
    )


def _topology(
    artifact: ProfileArtifact, layouts: Mapping[Role, LayoutProfile], budget_gpus: int | None
) -> Topology | None:
    """Lay the budget out in the nodes of the profiled hardware.

    Without a budget any count can be placed, and where roles have hardware of their own, one budget says
    nothing about either's nodes; budgets per hardware do (`planner.stocks`).
    """
    machines = {artifact.machine(layout) for layout in layouts.values()}
    if budget_gpus is None or len(machines) > 1:
        return None
    machine = machines.pop()
    return Topology.lay_out(machine.gpus_per_node, machine.scaleup_gpus, budget_gpus)
