"""Write down the exact change of an object, so that it can be shown, checked by the server, or sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.target import ObjectRef
from models.values import Role
from planner.cluster.scalable import Scalable


@dataclass(frozen=True, slots=True)
class Patch:
    """Hold the operations (RFC 6902) on one object, applied all or none, and what they do to which role.

    They are guarded: the object must be the one that was read (`uid`), at the version that was read
    (`resourceVersion`, status 409 otherwise), with what they speak of still in its place (`test`, 422).
    """

    of: ObjectRef
    subresource: str
    operations: tuple[Mapping[str, Any], ...]
    before: Mapping[Role, int] = field(default_factory=dict)
    after: Mapping[Role, int] = field(default_factory=dict)

    def command(self) -> str:
        """Write the kubectl command that does the same."""
        part = f" --subresource={self.subresource}" if self.subresource else ""
        group = self.of.api_version.partition("/")[0] if "/" in self.of.api_version else ""
        kind = f"{self.of.kind.lower()}.{group}" if "." in group else self.of.kind.lower()
        body = json.dumps([dict(each) for each in self.operations]).replace("'", "'\\''")
        return (
            f"kubectl -n {self.of.namespace} patch {kind} {self.of.name}{part} --type=json "
            f"--field-manager=headgate -p '{body}'"
        )

    def __str__(self) -> str:
        """Say what is changed, such as `decode 2 -> 3 in Deployment chat/decode`."""
        changes = ", ".join(f"{role} {self.before[role]} -> {n}" for role, n in self.after.items())
        return f"{changes} in {self.of}"


def scaling(pools: Sequence[Scalable], to: Mapping[Role, int]) -> Patch:
    """Return the patch that gives pools of one and the same object their replicas.

    The components of one DynamoGraphDeployment are changed together, which nothing can leave half done.
    """
    first = pools[0]
    if any((each.scaled, each.subresource) != (first.scaled, first.subresource) for each in pools):
        raise ValueError("one patch changes one object")
    guards = {place: value for each in pools for place, value in each.guards.items()}
    operations = [
        {"op": "test", "path": "/metadata/uid", "value": first.uid},
        *({"op": "test", "path": place, "value": value} for place, value in guards.items()),
        {"op": "replace", "path": "/metadata/resourceVersion", "value": first.resource_version},
        # `add` replaces what is there, and a count of zero is left out of a Scale.
        *({"op": "add", "path": each.pointer, "value": to[each.role]} for each in pools),
    ]
    before = {each.role: each.desired for each in pools}
    return Patch(
        first.scaled,
        first.subresource,
        tuple(operations),
        before,
        {each.role: to[each.role] for each in pools},
    )
