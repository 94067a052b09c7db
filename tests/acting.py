"""Build what an actuator needs in a test: decisions, a clock that stands still, clusters that break off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.decision import Decision
from models.errors import ClusterError
from models.stock import GpuLimit
from models.target import ObjectRef, PoolTarget
from models.values import Role
from planner.act.live import ActPolicy, ClusterActuator
from planner.cluster.api import Cluster
from planner.cluster.around import Answer, ClusterAround
from tests import builders

PREFILL, DECODE = Role.PREFILL, Role.DECODE


def decision(current: Mapping[Role, int], final: Mapping[Role, int]) -> Decision:
    """Make a decision that takes a fleet from one state to another."""
    return Decision(dict(current), dict(final), dict(final))


@dataclass
class StillClock:
    """Stand still until told otherwise; sleeping is what moves it."""

    at_s: float = builders.AT_S
    slept: list[float] = field(default_factory=list)

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at_s += seconds


class Killed(BaseException):
    """End a process, as far as everything in it can tell."""


@dataclass
class Breaking(ClusterAround):
    """Be another cluster that raises at its `at`-th change, before it is sent or after; 0: never.

    `changes` counts them. `meanwhile` is called before each change with its number.
    """

    cluster: Cluster
    at: int = 0
    sent: bool = False
    error: BaseException = field(default_factory=Killed)
    changes: int = 0
    reads: int = 0
    meanwhile: Callable[[int], None] = lambda number: None

    def around(self, verb: str, ask: Callable[[], Answer], dry_run: bool = False) -> Answer:
        self.reads += verb == "get"
        if verb not in ("create", "patch"):
            return ask()
        self.changes += 1
        self.meanwhile(self.changes)
        if self.changes == self.at and not self.sent:
            raise self.error
        answer = ask()
        if self.changes == self.at:
            raise self.error
        return answer


def no_answer() -> ClusterError:
    """Make the error of a request whose answer never came."""
    return ClusterError("https://cluster does not answer: changing it: timed out")


def target(manifest: Mapping[str, Any], namespace: str, component: str | None = None) -> PoolTarget:
    """Return the target that an object of a namespace is."""
    owner = ObjectRef(manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], namespace)
    return PoolTarget(owner, component)


def actuator(
    cluster: Cluster,
    targets: Mapping[Role, PoolTarget],
    holder: str = "pod-a",
    clock: StillClock | None = None,
    limits: Sequence[GpuLimit] = (),
    leading: Callable[[], bool] = lambda: True,
) -> ClusterActuator:
    """Make an actuator for pools in the layouts of `builders.layouts()`: TP1 prefill, TP4 decode."""
    at = clock or StillClock()
    policy = ActPolicy(targets, builders.layouts(), holder, tuple(limits))
    return ClusterActuator(cluster, policy, at, leading, at.sleep)
