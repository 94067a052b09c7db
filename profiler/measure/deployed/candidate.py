"""Render a layout as the Kubernetes objects that serve it."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

from models import codec
from models.errors import ConfigError
from models.values import Parallelism, Role
from profiler.cluster import Manifest

SWEEP, CANDIDATE, RENDERED = "headgate.io/sweep", "headgate.io/candidate", "headgate.io/rendered"
MOST_NAME_CHARACTERS = 63


class Template(Protocol):
    """Give the objects of a candidate for the values of its placeholders."""

    @property
    def text(self) -> str:
        """The template as it was written."""
        ...

    @property
    def used(self) -> frozenset[str]:
        """The placeholders that occur in it."""
        ...

    def render(self, values: Mapping[str, str | int]) -> tuple[tuple[Manifest, ...], str]:
        """Return the objects, and the URL at which the candidate answers."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold what all candidates of a sweep share.

    `owners` are references to the objects whose deletion takes the candidates with it.
    """

    sweep: str
    namespace: str
    model: str
    gpus_per_node: int
    owners: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Hold one layout's objects, where they answer, and the GPUs that they take."""

    name: str
    objects: tuple[Manifest, ...]
    endpoint: str
    gpus: int
    digest: str


def candidate(template: Template, setting: Setting, role: Role, layout: Parallelism) -> Candidate:
    """Return the objects of a layout, labelled as ours; roles that render alike give the same candidate.

    Raises ConfigError when a name is too long, or an object would land in another namespace.
    """
    parts = [setting.sweep, role.value, layout.name.lower()]
    if "role" not in template.used:
        parts.remove(role.value)
    name = "-".join(parts)
    if len(name) > MOST_NAME_CHARACTERS:
        raise ConfigError(
            f"the candidate's name {name!r} is longer than the {MOST_NAME_CHARACTERS} characters that "
            "Kubernetes takes; give the sweep a shorter --name"
        )
    objects, endpoint = template.render(
        {
            "name": name,
            "namespace": setting.namespace,
            "role": role.value,
            "layout": layout.name,
            "model": setting.model,
            "gpus": layout.gpus,
            "node_gpus": layout.gpus // layout.nodes(setting.gpus_per_node),
            "tp": layout.tp,
            "pp": layout.pp,
            "dp": layout.dp,
            "ep": layout.ep,
            "nodes": layout.nodes(setting.gpus_per_node),
        }
    )
    digest = codec.digest(objects)
    marked = tuple(_marked(each, name, digest, setting) for each in objects)
    return Candidate(name, marked, endpoint, layout.gpus, digest)


def gpus_asked(objects: tuple[Manifest, ...]) -> int | None:
    """Return the GPUs that the objects ask for in container limits, over replicas and nodes; `None`: none."""
    found = sum(_gpus(each) for each in objects)
    return found or None


def _gpus(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_gpus, value))
    if not isinstance(value, dict):
        return 0
    limits = value.get("limits")
    if isinstance(limits, dict):
        # nvidia.com/gpu of a container; v1alpha1 graphs write `gpu`.
        here = [number for key, number in limits.items() if key == "gpu" or key.endswith(".com/gpu")]
        if here:
            return sum(int(str(number)) for number in here if str(number).isdigit())
    inside = sum(_gpus(child) for key, child in value.items() if key not in ("requests", "metadata"))
    replicas, multinode = value.get("replicas"), value.get("multinode")
    nodes = multinode.get("nodeCount") if isinstance(multinode, dict) else None
    for times in (replicas, nodes):
        inside *= times if isinstance(times, int) and times > 0 else 1
    return inside


def _marked(rendered: Manifest, name: str, digest: str, setting: Setting) -> Manifest:
    """Label an object, and the pods that it makes, so that they can be found and taken down."""
    marked = deepcopy(rendered)
    metadata = marked["metadata"]
    if metadata.setdefault("namespace", setting.namespace) != setting.namespace:
        raise ConfigError(
            f"the template puts {marked['kind']} {metadata['name']} into namespace {metadata['namespace']}, "
            f"and the sweep runs in {setting.namespace}; leave metadata.namespace away"
        )
    ours = {SWEEP: setting.sweep, CANDIDATE: name}
    metadata["labels"] = {
        "app.kubernetes.io/managed-by": "headgate-profiler",
        **(metadata.get("labels") or {}),
        **ours,
    }
    metadata["annotations"] = {**(metadata.get("annotations") or {}), RENDERED: digest}
    if setting.owners:
        metadata["ownerReferences"] = [dict(owner) for owner in setting.owners]
    _label_pods(marked.get("spec"), ours)
    return marked


def _label_pods(value: Any, labels: Mapping[str, str]) -> None:
    """Add labels to every pod template: whatever holds a `spec` with containers."""
    if isinstance(value, list):
        for child in value:
            _label_pods(child, labels)
    elif isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            metadata = value.setdefault("metadata", {})
            metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        for child in value.values():
            _label_pods(child, labels)
