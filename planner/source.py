"""Say what a deployment's world is read by, so that a changed configuration keeps what it does not change."""

from dataclasses import dataclass

from models.policy import ClassMatch


@dataclass(frozen=True, slots=True)
class Source:
    """Compare readers: where this is equal, those of one configuration serve the other.

    `demand` says whose demand is read, `matches` which of it is each class's, `readers` all the rest.
    """

    demand: tuple[object, ...]
    matches: tuple[ClassMatch, ...]
    readers: tuple[object, ...]

    def same_classes(self, before: "Source") -> list[str]:
        """Return the classes whose demand is the same as before."""
        if self.demand != before.demand:
            return []
        return [each.request_class for each in self.matches if each in before.matches]
