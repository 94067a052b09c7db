"""Say what an agent pool is like, and why Azure refuses to change it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from models.nodes import AgentPoolPolicy, NodeState

_SETTLED = frozenset({"Succeeded"})
_BROKEN = frozenset({"Failed", "Canceled"})
# Words in the codes by which Azure refuses machines; codes differ between its layers and over time.
_QUOTA = ("quota", "insufficientsubnetsize", "insufficientvcpu")
_CAPACITY = ("allocationfailed", "skunotavailable", "overconstrained", "zonalallocation", "capacity")
_UNDER_WAY = ("another operation", "in progress", "inprogress", "in-progress")


@dataclass(frozen=True, slots=True)
class AgentPool:
    """Hold an agent pool as it was read.

    `state` is its provisioningState; `code` and `message` say how its last change failed, empty where none
    did. `raw` is all that was read, to be written back.
    """

    count: int
    autoscaled: bool
    min_count: int | None
    max_count: int | None
    state: str
    code: str = ""
    message: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def settled(self) -> bool:
        """Whether no change of it is under way."""
        return self.state in _SETTLED or self.broken

    @property
    def broken(self) -> bool:
        """Whether the last change of it failed."""
        return self.state in _BROKEN

    @property
    def asked(self) -> int:
        """The nodes that it is asked to have, at least where its own autoscaler is on."""
        return (self.min_count or 0) if self.autoscaled else self.count


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say why a pool was not changed or could not be seen; `wait_s` is how long Azure asks to wait."""

    state: NodeState
    sentence: str
    wait_s: float | None = None


class ResizablePool(Protocol):
    """Be an agent pool that can be looked at and resized."""

    @property
    def policy(self) -> AgentPoolPolicy:
        """Which pool it is, and its bounds."""
        ...

    def look(self) -> AgentPool | Refusal:
        """Return the pool as it is now."""
        ...

    def resize(self, pool: AgentPool, count: int) -> Refusal | None:
        """Begin to give it so many nodes."""
        ...

    def delete(self, machines: Sequence[str]) -> Refusal | None:
        """Begin to delete machines by their names."""
        ...


def refusal_of(status: int, code: str, message: str, retry_after: str | None = None) -> Refusal:
    """Classify a refusal by its status and code; the message decides where a code is used for several things.

    AKS answers `OperationNotAllowed` both while another operation runs and where quota lacks.
    """
    plain, text = code.replace("_", "").lower(), message.lower()
    said = f"{code}: {message}" if code and code not in message else message
    if status == 429:
        wait_s = _seconds(retry_after)
        return Refusal(NodeState.THROTTLED, f"Azure asks for fewer requests (429): {said}", wait_s)
    if any(word in plain for word in _QUOTA) or "quota" in text:
        return Refusal(NodeState.QUOTA, f"the quota does not hold it: {said}")
    if any(word in plain for word in _CAPACITY):
        return Refusal(NodeState.CAPACITY, f"Azure has no such machines left there: {said}")
    if status in (409, 412) or any(word in text for word in _UNDER_WAY):
        return Refusal(NodeState.BUSY, f"it cannot be changed at this moment: {said}", _seconds(retry_after))
    if status in (401, 403):
        return Refusal(
            NodeState.REFUSED,
            f"Azure does not allow it ({status}): {said}; the identity needs Microsoft.ContainerService/"
            "managedClusters/agentPools/read and /write, and /deleteMachines/action to give nodes back",
        )
    if status >= 500:
        return Refusal(NodeState.UNREACHABLE, f"Azure failed ({status}): {said}", _seconds(retry_after))
    return Refusal(NodeState.REFUSED, f"Azure refuses it ({status}): {said}")


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After of seconds; of a date, or of nothing, the caller has its own pace."""
    text = (retry_after or "").strip()
    return float(text) if text.isascii() and text.isdigit() else None
