"""Say what is really scaled for a role, and what the cluster says of it at this moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from models.target import ObjectRef, PoolTarget
from models.values import Role

SCALE = "scale"
"""Name of the subresource through which replicas are changed wherever there is one."""


@dataclass(frozen=True, slots=True)
class GpuCount:
    """Count the GPUs that one replica takes; `None` where nothing says so, with `why`."""

    gpus: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """Say who last set the replicas, as far as the server keeps it: field manager and time (RFC 3339)."""

    manager: str
    at: str


@dataclass(frozen=True, slots=True)
class Scalable:
    """Hold what is patched for a role and what it said when it was read.

    `scaled` is patched: the owner itself, or the scaling adapter of a Dynamo component; `subresource` is
    `scale`, or empty where the component inside a DynamoGraphDeployment is changed. `pointer` is where the
    replicas stand in it (RFC 6901), and `guards` are places that must still hold a value when it is patched.
    `resource_version` and `uid` are those of what is patched, `owner_uid` and `owner_version` of the owner.

    `annotations` are the owner's, and over them those of `scaled`: a person may write on either. `pods`
    selects the pods of the role by labels, empty where nothing tells. `status` is the part of a status that
    speaks of this role's replicas. `generation` and `observed_generation` (`None`: not told) are the owner's.
    `rolling` says why a rollout is in progress, empty where none is.
    """

    role: Role
    target: PoolTarget
    owner: ObjectRef
    scaled: ObjectRef
    subresource: str
    pointer: str
    desired: int
    uid: str
    resource_version: str
    owner_uid: str
    owner_version: str
    generation: int
    observed_generation: int | None
    gpus: GpuCount
    guards: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    pods: str = ""
    component: str | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    rolling: str = ""
    changed: Change | None = None

    def __str__(self) -> str:
        """Name it as a person would, such as `component Decode of DynamoGraphDeployment chat/graph`."""
        return str(self.owner) if self.component is None else f"component {self.component} of {self.owner}"


class Lacking(StrEnum):
    """Token that names why nothing can be scaled."""

    ABSENT = "absent"
    OWNED = "owned"
    NO_SCALE = "no_scale"
    NO_COMPONENT = "no_component"
    AMBIGUOUS = "ambiguous"
    NO_ADAPTER = "no_adapter"
    SHAPE = "shape"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Say why a target cannot be scaled, and what to do about it."""

    reason: Lacking
    sentence: str

    def __str__(self) -> str:
        """Say the sentence."""
        return self.sentence


Found = Scalable | Unresolved
