"""Read how an owner replaces its replicas: how many more it makes, and how many it does without."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planner.cluster.dynamo import GRAPH

_SURGE = "nvidia.com/deployment-rolling-update-max-surge"
_UNAVAILABLE = "nvidia.com/deployment-rolling-update-max-unavailable"
_STRATEGY = "nvidia.com/deployment-strategy"
_QUARTER = "25%"


@dataclass(frozen=True, slots=True)
class Replacing:
    """Say how many replicas are there beyond those asked for, and how many may lack, during a rollout.

    `named` says where the owner states it.
    """

    surge: int
    unavailable: int
    named: str


def replacing(
    manifest: Mapping[str, Any], status: Mapping[str, Any], component: Mapping[str, Any] | None, replicas: int
) -> Replacing | str:
    """Return how an owner replaces so many replicas, or why a rollout of it cannot be planned.

    `status` is what it says of the role's replicas, `component` that of a DynamoGraphDeployment. An owner
    that states nothing behaves as its kind's default.
    """
    kind, spec = manifest.get("kind"), manifest.get("spec") or {}
    if kind == GRAPH:
        return _of_component(manifest, status, component or {}, replicas)
    if kind == "Deployment":
        strategy = spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return "its strategy is Recreate: all its replicas go before one is new; make it RollingUpdate"
        rolling = strategy.get("rollingUpdate") or {}
        surge, lack = rolling.get("maxSurge", _QUARTER), rolling.get("maxUnavailable", _QUARTER)
        return _bounded(surge, lack, replicas, "spec.strategy.rollingUpdate")
    if kind == "StatefulSet":
        strategy = spec.get("updateStrategy") or {}
        rolling = strategy.get("rollingUpdate") or {}
        if strategy.get("type") == "OnDelete":
            return "its strategy is OnDelete: nobody replaces its pods; make it RollingUpdate"
        if rolling.get("partition"):
            return f"its partition keeps {rolling['partition']} replicas at the old template; set it to 0"
        return _bounded(0, rolling.get("maxUnavailable", 1), replicas, "spec.updateStrategy.rollingUpdate")
    if "leaderWorkerTemplate" in spec:
        rolling = (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        place = "spec.rolloutStrategy.rollingUpdateConfiguration"
        return _bounded(rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 1), replicas, place)
    return f"how a {kind} replaces its replicas is not known"


def _of_component(
    manifest: Mapping[str, Any], status: Mapping[str, Any], component: Mapping[str, Any], replicas: int
) -> Replacing | str:
    """Read a component: Deployments by annotations; Grove takes one away before it makes the next."""
    if status.get("componentKind") != "Deployment":
        return Replacing(0, 1, "its operator, which takes a replica away before it makes the next")
    pod = (component.get("podTemplate") or {}).get("metadata") or {}
    stated = {
        **((manifest.get("spec") or {}).get("annotations") or {}),
        **(component.get("annotations") or {}),
        **(pod.get("annotations") or {}),
    }
    if stated.get(_STRATEGY) == "Recreate":
        return f"{_STRATEGY} is Recreate: all its replicas go before one is new; make it RollingUpdate"
    surge, lack = stated.get(_SURGE, _QUARTER), stated.get(_UNAVAILABLE, _QUARTER)
    return _bounded(surge, lack, replicas, f"{_SURGE} and {_UNAVAILABLE}")


def _bounded(surge: object, unavailable: object, replicas: int, place: str) -> Replacing | str:
    """Resolve counts and shares as Kubernetes does: a surge is rounded up, what may lack down."""
    more, less = _count(surge, replicas, up=True), _count(unavailable, replicas, up=False)
    if more is None or less is None:
        return f"{place} is neither a count nor a share: {surge!r}, {unavailable!r}"
    # Both at zero would replace nothing: Kubernetes then lets one lack.
    return Replacing(more, max(less, 0 if more else 1), place)


def _count(stated: object, replicas: int, up: bool) -> int | None:
    text = str(stated).strip()
    if text.isascii() and text.isdigit():
        return int(text)
    share = text.removesuffix("%")
    if share == text or not (share.isascii() and share.isdigit()):
        return None
    exact = replicas * int(share) / 100
    return math.ceil(exact) if up else math.floor(exact)
