"""Say in the configuration which objects of a cluster hold the replicas of each pool."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import AfterValidator, Field, model_validator

from config.section import Problems, Section, refuse
from models.target import DYNAMO_GRAPH, ObjectRef, PoolTarget
from models.values import Role

API_VERSIONS: Mapping[str, str] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "DynamoGraphDeployment": "nvidia.com/v1beta1",
    "DynamoGraphDeploymentScalingAdapter": "nvidia.com/v1beta1",
}
"""Kinds that need no `api_version`."""

_LABEL_NAME = r"(?:[a-z0-9A-Z.-]+/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"!?\s*{_LABEL_NAME}|{_LABEL_NAME}\s*(?:=|==|!=)\s*{_VALUE}"
    rf"|{_LABEL_NAME}\s+(?:in|notin)\s+\(\s*{_VALUE}\s*(?:,\s*{_VALUE}\s*)*\)"
)


def _object_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?", text):
        raise ValueError("is no name of an object: lower-case letters, digits, '-' and '.'")
    return text


def _namespace(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?", text):
        raise ValueError("is no name of a namespace: lower-case letters, digits and '-'")
    return text


def _kind(text: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", text):
        near = difflib.get_close_matches(text.casefold(), {k.casefold(): k for k in API_VERSIONS}, n=1)
        known = next((k for k in API_VERSIONS if near and k.casefold() == near[0]), "Deployment")
        raise ValueError(f"is no kind as Kubernetes writes it; did you mean {known}?")
    return text


def _api_version(text: str) -> str:
    if not re.fullmatch(r"(?:[a-z0-9.-]+/)?v[0-9]+(?:(?:alpha|beta)[0-9]+)?", text):
        raise ValueError("is no API version; write for example apps/v1 or leaderworkerset.x-k8s.io/v1")
    return text


def _selector(text: str) -> str:
    # A comma inside parentheses parts values, not requirements.
    parts = re.split(r",(?![^(]*\))", text)
    if not all(_REQUIREMENT.fullmatch(part.strip()) for part in parts):
        raise ValueError("is no label selector; write for example app=chat,role=decode")
    return text


ObjectName = Annotated[str, Field(max_length=253), AfterValidator(_object_name)]
Namespace = Annotated[str, Field(max_length=63), AfterValidator(_namespace)]
KindName = Annotated[str, Field(max_length=63), AfterValidator(_kind)]
ApiVersion = Annotated[str, Field(max_length=253), AfterValidator(_api_version)]
Selector = Annotated[str, Field(max_length=1000), AfterValidator(_selector)]
ComponentName = Annotated[str, Field(min_length=1, max_length=63, pattern="^[A-Za-z0-9._-]+$")]


class PoolTargetSettings(Section):
    """The object whose replicas one pool is."""

    kind: KindName | None = Field(
        default=None,
        description="Kind of the object: Deployment, StatefulSet, LeaderWorkerSet, "
        "DynamoGraphDeploymentScalingAdapter, DynamoGraphDeployment, or another that has a Scale "
        "subresource. null: a component of the deployment's `target.dynamo`.",
    )
    api_version: ApiVersion | None = Field(
        default=None,
        description="API version of the kind, such as apps/v1. null: the usual one, for the kinds named "
        "above; where the cluster serves an older one of Dynamo's, that one.",
    )
    name: ObjectName | None = Field(
        default=None, description="Name of the object. null: only where `kind` is null."
    )
    namespace: Namespace | None = Field(
        default=None, description="Namespace of the object. null: that of the deployment's `target`."
    )
    component: ComponentName | None = Field(
        default=None,
        description="Component of the DynamoGraphDeployment. null: the one of the pool's type: prefill, "
        "decode, or worker for an aggregated pool.",
    )
    pods: Selector | None = Field(
        default=None,
        description="Label selector of the pool's pods, such as app=chat,role=decode. null: as the object's "
        "scale, or Dynamo's own labels, say.",
    )

    @model_validator(mode="after")
    def _names_an_object(self) -> "PoolTargetSettings":
        problems: Problems = []
        if self.kind is None:
            needless = {"name": self.name, "api_version": self.api_version}
            problems += [
                ((key,), "says nothing without a `kind`; state it too, such as Deployment")
                for key, value in needless.items()
                if value is not None
            ]
        else:
            if self.name is None:
                problems.append((("name",), f"is missing: which {self.kind}?"))
            if self.api_version is None and self.kind not in API_VERSIONS:
                near = difflib.get_close_matches(self.kind, API_VERSIONS, n=1)
                hint = f"; or did you mean {near[0]}?" if near else ""
                sentence = f"is missing: {self.kind} is of no kind that is known here, state its group{hint}"
                problems.append((("api_version",), sentence))
            if self.component is not None and self.kind != DYNAMO_GRAPH:
                problems.append((("component",), f"is of a {DYNAMO_GRAPH}; a {self.kind} has none"))
        refuse(problems)
        return self

    def to_target(self, namespace: str, dynamo: str | None) -> PoolTarget:
        """Return whose replicas the pool is; `dynamo` names the deployment's own DynamoGraphDeployment."""
        kind, name = (DYNAMO_GRAPH, dynamo) if self.kind is None else (self.kind, self.name)
        if name is None:
            raise ValueError("a target without a kind needs the deployment's `target.dynamo`")
        version = self.api_version or API_VERSIONS[kind]
        owner = ObjectRef(version, kind, name, self.namespace or namespace)
        return PoolTarget(owner, self.component, self.pods or "")


class TargetSettings(Section):
    """Where the deployment's replicas live in a cluster."""

    namespace: Namespace | None = Field(
        default=None,
        description="Namespace of the objects. null: that of the command line, the kubeconfig's context or "
        "the pod's own.",
    )
    dynamo: ObjectName | None = Field(
        default=None,
        description="Name of the DynamoGraphDeployment that holds the pools, one component each. null: every "
        "pool has a `target` of its own.",
    )


_ANYWHERE, _BY_TYPE = TargetSettings(), PoolTargetSettings()


def pool_targets(
    whole: TargetSettings | None, pools: Mapping[Role, PoolTargetSettings | None]
) -> dict[Role, PoolTarget]:
    """Return whose replicas each pool is; empty where nothing is said.

    An empty namespace stands for the one that goes with the cluster's credentials.
    """
    if whole is None and not any(pools.values()):
        return {}
    place = whole or _ANYWHERE
    return {
        role: (each or _BY_TYPE).to_target(place.namespace or "", place.dynamo)
        for role, each in pools.items()
    }


def target_problems(
    whole: TargetSettings | None, pools: Mapping[Role, PoolTargetSettings | None]
) -> Problems:
    """Return what is wrong between a deployment's target and those of its pools."""
    if whole is None and not any(pools.values()):
        return []
    place = whole or _ANYWHERE
    problems: Problems = []
    for role, each in pools.items():
        if place.dynamo is not None or (each is not None and each.kind is not None):
            continue
        if each is None:
            sentence = "has no `target`, and others have: state its `kind` and `name`, or `target.dynamo`"
            problems.append((("pools", role.value), sentence))
        else:
            sentence = "names no object: state `kind` and `name`, or `target.dynamo` of the deployment"
            problems.append((("pools", role.value, "target"), sentence))
    return problems


class Targeted(Protocol):
    """Be a deployment with targets."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def targets(self) -> Mapping[Role, PoolTarget]:
        """Return whose replicas each pool is."""
        ...


def taken_twice(deployments: Sequence[Targeted]) -> Problems:
    """Return the pools whose object is another pool's too: one count cannot serve two."""
    seen: dict[tuple[str, ...], str] = {}
    problems: Problems = []
    for i, deployment in enumerate(deployments):
        for role, target in deployment.targets().items():
            by_type = target.owner.kind == DYNAMO_GRAPH and target.component is None
            part = f"type {role.value}" if by_type else target.component or ""
            mine = f"{deployment.name}.{role.value}"
            first = seen.setdefault((*target.owner.identity, part), mine)
            if first != mine:
                sentence = f"{target} is the object of {first} too, and one count cannot serve two pools"
                problems.append(((i, "pools", role.value), sentence))
    return problems
