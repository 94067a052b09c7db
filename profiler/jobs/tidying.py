"""Delete what a sweep made, and wait until its pods are gone."""

import time
from collections.abc import Callable, Iterable

from models.errors import ClusterError, MeasureError
from profiler.cluster import Cluster, Manifest, names
from profiler.measure.deployed.candidate import SWEEP

GONE_WITHIN_S = 180.0
_OURS = (
    ("v1", "ConfigMap"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("v1", "ServiceAccount"),
)


def tidy(
    cluster: Cluster,
    sweep: str,
    namespace: str,
    kinds: Iterable[tuple[str, str]],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Delete Jobs, then candidates (`kinds` of the template), then the rest, the root last.

    The Jobs' pods go first and are waited for, so that none deploys a candidate behind our back. Raises
    MeasureError that names what did not go in time.
    """
    label = f"{SWEEP}={sweep}"
    for job in cluster.find("batch/v1", "Job", namespace, label):
        cluster.delete(*names(job))
    deadline_s = clock() + GONE_WITHIN_S
    _wait_until_none(
        cluster, namespace, f"{label},app.kubernetes.io/component=sweep", deadline_s, clock, sleep
    )
    for api_version, kind in dict.fromkeys(kinds):
        for each in _found(cluster, api_version, kind, namespace, label):
            cluster.delete(*names(each))
    for api_version, kind in _OURS:
        for each in cluster.find(api_version, kind, namespace, label):
            if names(each)[1:3] != ("ConfigMap", sweep):
                cluster.delete(*names(each))
    _wait_until_none(cluster, namespace, label, deadline_s, clock, sleep)
    cluster.delete("v1", "ConfigMap", sweep, namespace)


def _found(cluster: Cluster, api_version: str, kind: str, namespace: str, label: str) -> list[Manifest]:
    try:
        return cluster.find(api_version, kind, namespace, label)
    except ClusterError as error:
        if error.status == 404:
            return []  # the operator went, and its kinds with it
        raise


def _wait_until_none(
    cluster: Cluster,
    namespace: str,
    label: str,
    deadline_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    while left := [names(pod)[2] for pod in cluster.find("v1", "Pod", namespace, label)]:
        if clock() > deadline_s:
            raise MeasureError(
                f"the sweep was deleted, but after {GONE_WITHIN_S:g} s its pods are still there: "
                f"{', '.join(left[:5])}"
            )
        sleep(0.5)
