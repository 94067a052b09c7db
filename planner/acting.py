"""Wire a deployment to the cluster that holds its replicas: act on it, or let it check."""

import os
import socket
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from models.errors import ConfigError
from models.target import PoolTarget
from models.values import Role
from planner.act.checked import ServerDryRun
from planner.act.live import PATIENCE_S, ActPolicy, ClusterActuator
from planner.act.preflight import preflight
from planner.clock import SystemClock
from planner.cluster.api import Cluster

if TYPE_CHECKING:
    from models.observation import Gap
    from planner.ports import Actuator
    from planner.wiring import Deployment


def holder_name() -> str:
    """Return a name for this process that no other has, and by which a person finds it."""
    return f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"


def acting(
    chosen: "Deployment",
    cluster: Cluster,
    namespace: str,
    holder: str,
    leading: Callable[[], bool] = lambda: True,
) -> "Actuator":
    """Return what applies a deployment's decisions to a cluster; it is `acting` for `actuator_for`.

    `namespace` is where targets live that name none. `holder` names this process in intents: the identity
    that it leads under, or `holder_name()`. `leading` is asked before every patch; without the lease nothing
    is sent. Build it once and keep it. A request that is under way is cut off by the time-outs of
    `cluster` alone; those of `wiring.connect` are meant for ticks.

    Raises ConfigError for a deployment that names no targets.
    """
    plan, interval_s = chosen.policy.plan, chosen.policy.plan.interval_s
    policy = ActPolicy(
        targets(chosen, namespace),
        chosen.served.layouts,
        holder,
        tuple(plan.limits()),
        chosen.pool is not None,
        min(PATIENCE_S, max(interval_s / 2.0, 1.0)),
    )
    return ClusterActuator(cluster, policy, SystemClock(), leading)


def checking(chosen: "Deployment", cluster: Cluster, namespace: str) -> ServerDryRun:
    """Return what has a cluster check a deployment's decisions; it is `checking` for `actuator_for`.

    Its `check` gives the exact patches, each with the server's verdict, for a recommendation to show.
    """
    return ServerDryRun(cluster, targets(chosen, namespace), chosen.served.layouts, SystemClock())


def ready_to_act(
    chosen: "Deployment", cluster: Cluster, namespace: str, acts: bool = True
) -> "tuple[Gap, ...]":
    """Return what would keep a deployment from acting, to be said at the start."""
    return preflight(cluster, targets(chosen, namespace), chosen.served.layouts, acts)


def targets(chosen: "Deployment", namespace: str) -> dict[Role, PoolTarget]:
    """Return whose replicas each pool is; raises ConfigError where the configuration does not say."""
    found = {role: each.placed(namespace) for role, each in chosen.settings.targets().items()}
    if not found:
        raise ConfigError(
            f"{chosen.loaded.path}: deployment {chosen.name} says nowhere which objects hold its replicas; "
            "state `target.dynamo`, or a `target` with `kind` and `name` for each pool"
        )
    return found
