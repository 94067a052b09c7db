"""Write the Deployment of headroom pods, placed like the workload, and read why its pods wait."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from models import codec
from models.nodes import HeadroomPolicy
from planner.cluster.api import Manifest
from planner.cluster.podforms import GPU, PodForm

HEADROOM = "headgate.io/headroom"
"""Label of the Deployment and its pods; its value is the Deployment's name."""

PLACEMENT = "headgate.io/placement"
"""Annotation: the digest of the pods' template, by which a change of the workload's placement is seen."""

# What decides on which nodes a pod may run. Claims of resources are not copied: a claim would join the
# workload's ComputeDomain, which is sized by those that claim it.
_PLACING = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "schedulerName",
    "runtimeClassName",
    "imagePullSecrets",
)
# Labels that a scheduler reads, such as the queue of KAI.
_SCHEDULING = ("kai.scheduler/", "scheduling.", "volcano.sh/", "kueue.x-k8s.io/")


def headroom_deployment(name: str, owner: Manifest, form: PodForm, policy: HeadroomPolicy) -> Manifest:
    """Return the Deployment, of no replica yet; it goes with the workload's owner.

    Its pods ask for the GPUs of one pod of the workload, on the same nodes by the same scheduler. They carry
    no label of the workload, whose services would otherwise send them requests.
    """
    metadata = owner["metadata"]
    labels = {"app.kubernetes.io/managed-by": "headgate", HEADROOM: name}
    taken = {key: value for key, value in form.labels.items() if key.startswith(_SCHEDULING)}
    template = {
        "metadata": {"labels": {**taken, **labels}},
        "spec": {
            **{key: form.spec[key] for key in _PLACING if form.spec.get(key)},
            "priorityClassName": policy.priority_class,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65535,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "headroom",
                    "image": policy.image,
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {GPU: str(form.gpus), "memory": "16Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                }
            ],
        },
    }
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {PLACEMENT: codec.digest(template)},
            "ownerReferences": [{**reference, "name": metadata["name"], "uid": metadata["uid"]}],
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {HEADROOM: name}},
            "strategy": {"type": "Recreate"},
            "template": template,
        },
    }


def waiting(pods: Sequence[Mapping[str, Any]]) -> tuple[float | None, str]:
    """Return since when the longest waiting pod has no node (Unix seconds), and what the scheduler says."""
    oldest: tuple[float, str] | None = None
    for pod in pods:
        if (pod.get("spec") or {}).get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            continue
        since_s = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
        said = next(
            (
                str(each.get("message", ""))
                for each in (pod.get("status") or {}).get("conditions") or ()
                if each.get("type") == "PodScheduled" and each.get("status") == "False"
            ),
            "",
        )
        if oldest is None or since_s < oldest[0]:
            oldest = (since_s, said or "the scheduler has not said why")
    return (None, "") if oldest is None else oldest
