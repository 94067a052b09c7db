"""Say where the replicas of a role live in a cluster."""

from dataclasses import dataclass, replace

DYNAMO_GRAPH = "DynamoGraphDeployment"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Name one object of a cluster."""

    api_version: str
    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        """Say it as kubectl does, such as `Deployment chat/decode`."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Return API version, kind, name and namespace."""
        return self.api_version, self.kind, self.name, self.namespace


@dataclass(frozen=True, slots=True)
class PoolTarget:
    """Say whose replicas a role's pool is.

    A `component` is one of a DynamoGraphDeployment; it is scaled through its scaling adapter where there is
    one. Where that owner is stated without a component, the component of the role's type is meant. Any other
    owner is scaled through its Scale subresource. `pods` selects the pods of the role, by labels; empty: as
    the owner's scale says.
    """

    owner: ObjectRef
    component: str | None = None
    pods: str = ""

    def placed(self, namespace: str) -> "PoolTarget":
        """Return the target in `namespace` where it states none of its own."""
        if self.owner.namespace:
            return self
        return replace(self, owner=replace(self.owner, namespace=namespace))

    def __str__(self) -> str:
        """Say it as a person would, such as `DynamoGraphDeployment inference/chat, component Decode`."""
        return f"{self.owner}, component {self.component}" if self.component else str(self.owner)
