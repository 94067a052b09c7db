"""Convert between the time that a fleet is simulated in and the time that its planner lives in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Let one simulated second stand for `compression` seconds of the story, from `origin_s` (Unix) on.

    At a compression of 1, as for every recorded trace, the two differ only by their origin.
    """

    origin_s: float
    compression: float = 1.0

    def __post_init__(self) -> None:
        """Refuse time that stands still or is stretched."""
        if self.compression < 1.0:
            raise ValueError(f"compression is at least 1, got {self.compression}")

    def story_s(self, simulated_s: float) -> float:
        """Return the Unix seconds of the story at a simulated time."""
        return self.origin_s + simulated_s * self.compression

    def simulated_s(self, story_s: float) -> float:
        """Return the simulated time at Unix seconds of the story."""
        return (story_s - self.origin_s) / self.compression

    def simulated_span_s(self, span_s: float) -> float:
        """Return how long a span of the story lasts in the simulation."""
        return span_s / self.compression
