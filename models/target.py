"""Say where the replicas of a role live in a cluster."""

from dataclasses import dataclass


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

    Without a `component` the owner is scaled through its Scale subresource. With one the owner is a
    DynamoGraphDeployment, and the component of that name is scaled: through its scaling adapter where there
    is one. `pods` selects the pods of the role, by labels; empty: as the owner's scale says.
    """

    owner: ObjectRef
    component: str | None = None
    pods: str = ""
