"""Find what else scales a pool: two that set one count undo each other without end."""

from collections.abc import Iterator

from models.errors import ClusterError
from planner.cluster.api import Reader
from planner.cluster.scalable import Scalable

# Served by every release of the last ten years; KEDA's ScaledObjects make one of these, too.
_HPA = ("autoscaling/v1", "HorizontalPodAutoscaler")
_FORBIDDEN, _ABSENT = 403, 404


def rivals(cluster: Reader, pool: Scalable) -> tuple[str, ...]:
    """Return the autoscalers that are set on what is scaled, or on the owner behind it.

    An account that may not list them finds none; raises ClusterError where the server does not answer.
    """
    try:
        return tuple(_set_on(cluster, pool))
    except ClusterError as error:
        if error.status in (_FORBIDDEN, _ABSENT):
            return ()
        raise


def _set_on(cluster: Reader, pool: Scalable) -> Iterator[str]:
    mine = {(each.kind, each.name) for each in (pool.scaled, pool.owner)}
    for found in cluster.find(*_HPA, pool.owner.namespace):
        target = found["spec"]["scaleTargetRef"]
        if (target.get("kind"), target.get("name")) in mine:
            yield f"HorizontalPodAutoscaler {pool.owner.namespace}/{found['metadata']['name']}"
