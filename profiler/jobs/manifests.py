"""Write the objects of a sweep: its inputs, the least rights that its pods can do with, the Job itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from profiler.cluster import Manifest
from profiler.jobs.inputs import Inputs
from profiler.jobs.naming import INPUTS, INPUTS_KEY, SHARD, labels, page_name, result_name
from profiler.jobs.pages import page_manifest, pages_needed, result_manifest

USAGE_EXIT = 2
"""How a pod ends whose inputs are wrong: another try would end the same way."""

# What a pod may fail before its shard does; evictions do not count where the API server can tell them.
RETRIES = 3
KEPT_S = 86_400
INDEX = "JOB_COMPLETION_INDEX"


@dataclass(frozen=True, slots=True)
class Kind:
    """Name a kind of the template's objects as RBAC does, and the names that the candidates' objects have."""

    group: str
    plural: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PodShape:
    """Say how the sweep's own pods run; they take no GPU."""

    image: str
    parallel: int = 1
    node_selector: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    tolerations: tuple[Mapping[str, str], ...] = ()


def root_manifest(inputs: Inputs) -> Manifest:
    """Return the ConfigMap of the sweep's inputs: the owner of all else."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inputs.sweep,
            "namespace": inputs.namespace,
            "labels": labels(inputs.sweep),
            "annotations": {INPUTS: inputs.digest},
        },
        "data": {INPUTS_KEY: inputs.dump()},
    }


def page_manifests(inputs: Inputs, seeds: Sequence[Sequence[Mapping[str, str]]]) -> list[Manifest]:
    """Return each shard's pages, filled with what earlier runs measured, and the place of its result."""
    made = []
    for number, shard in enumerate(inputs.shards):
        filled = list(seeds[number]) if number < len(seeds) else []
        count = max(len(filled), 1) + pages_needed(shard.points) - 1
        for page in range(count):
            name = page_name(inputs.sweep, number, page)
            data = filled[page] if page < len(filled) else {}
            made.append(page_manifest(name, inputs.namespace, number, inputs.identity, data))
        made.append(result_manifest(result_name(inputs.sweep, number), inputs.namespace, number))
    return [_labelled(each, inputs.sweep) for each in made]


def access_manifests(inputs: Inputs, kinds: Iterable[Kind], maps: Iterable[str]) -> list[Manifest]:
    """Return the account of the sweep's pods and the rights it needs; `maps` names the pages and results.

    Creating cannot be bound to names, everything else is. Pods are only listed: their status says why a
    candidate does not start.
    """
    rules: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": [inputs.sweep]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "verbs": ["get", "patch"],
            "resourceNames": sorted(maps),
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    for kind in kinds:
        where = {"apiGroups": [kind.group], "resources": [kind.plural]}
        rules.append({**where, "verbs": ["create"]})
        rules.append({**where, "verbs": ["get", "delete"], "resourceNames": sorted(kind.names)})
    metadata = {"name": inputs.sweep, "namespace": inputs.namespace}
    rbac = "rbac.authorization.k8s.io"
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(metadata)},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": dict(metadata), "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": inputs.sweep},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
    ]
    return [_labelled(each, inputs.sweep) for each in made]


def job_manifest(inputs: Inputs, shape: PodShape) -> Manifest:
    """Return the Indexed Job, one pod per shard; an evicted pod is replaced and not counted."""
    return _job(
        inputs,
        inputs.sweep,
        {
            "completionMode": "Indexed",
            "completions": len(inputs.shards),
            "parallelism": min(shape.parallel, len(inputs.shards)),
            "backoffLimitPerIndex": RETRIES,
            # The replacement starts when its predecessor has ended, so that no two write to one shard.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "sweep", "operator": "In", "values": [USAGE_EXIT]},
                    },
                ]
            },
        },
        _pod(inputs, shape, []),
    )


def shard_jobs(inputs: Inputs, shape: PodShape) -> list[Manifest]:
    """Return one Job per shard, for API servers that do not know Indexed Jobs (before 1.21)."""
    return [
        _job(
            inputs,
            f"{inputs.sweep}-{number}",
            {"completions": 1, "parallelism": 1, "backoffLimit": RETRIES},
            _pod(inputs, shape, [{"name": INDEX, "value": str(number)}]),
            {SHARD: str(number)},
        )
        for number in range(len(inputs.shards))
    ]


def owned(manifest: Manifest, root: Manifest) -> Manifest:
    """Return the manifest owned by the root object, which the API server has given its uid."""
    owner = {
        "apiVersion": root["apiVersion"],
        "kind": root["kind"],
        "name": root["metadata"]["name"],
        "uid": root["metadata"]["uid"],
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [owner]}}


def _job(
    inputs: Inputs,
    name: str,
    spec: dict[str, Any],
    pod: Manifest,
    more_labels: Mapping[str, str] | None = None,
) -> Manifest:
    extra = dict(more_labels or {})
    pod["metadata"]["labels"] |= extra
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": inputs.namespace, "labels": labels(inputs.sweep) | extra},
        "spec": {**spec, "ttlSecondsAfterFinished": KEPT_S, "template": pod},
    }


def _pod(inputs: Inputs, shape: PodShape, env: list[dict[str, Any]]) -> Manifest:
    def from_pod(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    container = {
        "name": "sweep",
        "image": shape.image,
        "command": ["headgate-profiler", "sweep-shard"],
        "args": ["--name", inputs.sweep, "--namespace", inputs.namespace],
        "env": [
            *env,
            from_pod("HEADGATE_POD", "metadata.name"),
            from_pod("HEADGATE_JOB", "metadata.labels['job-name']"),
            from_pod("HEADGATE_JOB_UID", "metadata.labels['controller-uid']"),
        ],
        "resources": {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        # Its last words are the reason that a person reads.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec: dict[str, Any] = {
        "serviceAccountName": inputs.sweep,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if shape.node_selector:
        spec["nodeSelector"] = dict(shape.node_selector)
    if shape.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in shape.pull_secrets]
    if shape.tolerations:
        spec["tolerations"] = [dict(each) for each in shape.tolerations]
    return {"metadata": {"labels": labels(inputs.sweep)}, "spec": spec}


def _labelled(manifest: Manifest, sweep: str) -> Manifest:
    metadata = manifest["metadata"]
    return {
        **manifest,
        "metadata": {**metadata, "labels": {**labels(sweep), **(metadata.get("labels") or {})}},
    }
