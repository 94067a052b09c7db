"""Set the stage for a candidate: a template, a cluster in memory, a clock that tests turn."""

from typing import Any

from config.template import Template, parse_template
from models.values import Parallelism, Role
from profiler.measure.backend import Replica
from profiler.measure.deployed.candidate import Candidate, Setting, candidate

TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  annotations:
    headgate.io/endpoint: http://${name}:8000
spec:
  replicas: 1
  selector: {matchLabels: {app: "${name}"}}
  template:
    metadata: {labels: {app: "${name}"}}
    spec:
      containers:
      - name: engine
        image: engine:1
        args: ["--tp", "${tp}"]
        resources: {limits: {nvidia.com/gpu: "${gpus}"}}
---
apiVersion: v1
kind: Service
metadata: {name: "${name}"}
spec: {selector: {app: "${name}"}}
"""

SETTING = Setting(
    "sweep",
    "lab",
    "gpt-oss-120b",
    4,
    ({"apiVersion": "batch/v1", "kind": "Job", "name": "sweep", "uid": "u1"},),
)
READY = {"observedGeneration": 1, "availableReplicas": 1, "readyReplicas": 1}


class ShortMemory:
    """Remember for as long as the process lives."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._kept: dict[tuple[Role, Parallelism], Replica] = {}

    def recall(self, role: Role, layout: Parallelism) -> Replica | None:
        """Return what was kept."""
        return self._kept.get((role, layout))

    def keep(self, role: Role, layout: Parallelism, replica: Replica) -> None:
        """Keep it."""
        self._kept[role, layout] = replica


def template(text: str = TEMPLATE) -> Template:
    """Read a template's text."""
    return parse_template(text, "template.yaml")


def rendered(tp: int = 4, role: Role = Role.DECODE, text: str = TEMPLATE) -> Candidate:
    """Return the candidate of TP4, or of another width."""
    return candidate(template(text), SETTING, role, Parallelism(tp=tp))


def pod(name: str, candidate_name: str, **status: Any) -> dict[str, Any]:
    """Return a pod of a candidate."""
    labels = {"headgate.io/candidate": candidate_name, "headgate.io/sweep": "sweep"}
    metadata = {"name": name, "namespace": "lab", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
