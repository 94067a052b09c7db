"""Say how long a candidate may take to come and to go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeployPolicy:
    """Bound waiting, in seconds.

    A candidate is given up when it is not ready after `ready_within_s` (large models load for up to 100
    minutes), when no node takes a pod of it for `schedule_within_s` (an autoscaler adds nodes within
    minutes), or when an image is not there after `pull_within_s`. Its GPUs are waited for `gone_within_s`
    after its deletion. `start_s` is what a start is expected to take, for the plan. An API server that does
    not answer is asked again for `patience_s`.
    """

    ready_within_s: float = 6000.0
    schedule_within_s: float = 900.0
    pull_within_s: float = 300.0
    gone_within_s: float = 600.0
    start_s: float = 300.0
    patience_s: float = 300.0
    poll_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse waits that never begin."""
        for name in ("ready_within_s", "schedule_within_s", "pull_within_s", "gone_within_s", "poll_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and above zero, got {getattr(self, name)}")
        if self.start_s < 0 or self.patience_s < 0:
            raise ValueError("start_s and patience_s must not be below zero")
