"""Hold what the profiler learned: the contract between the two applications.

The file is JSON with `schema`, a `digest` over everything else, and surfaces per layout with their grid
bounds and provenance. `parse` refuses what is damaged or newer, with a message that says what to do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from models import codec
from models.errors import ArtifactError
from models.surface import Surface
from models.values import Parallelism, Role

SCHEMA = "headgate/profile/v1"


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bound one engine's iteration: sequences in a batch, and prompt tokens per prefill iteration."""

    max_num_seqs: int
    max_num_batched_tokens: int

    def __post_init__(self) -> None:
        """Refuse an engine that could run nothing."""
        if min(self.max_num_seqs, self.max_num_batched_tokens) < 1:
            raise ValueError(f"an engine's limits must be at least 1, got {self}")


@dataclass(frozen=True, slots=True)
class LayoutProfile:
    """Hold what one replica of one layout does in one role.

    `prefill` reads seconds of engine time for `y` prompts of `x` tokens each run as one iteration (roles
    prefill and aggregated). `decode` reads seconds per step for a batch of `y` sequences with `x` tokens
    of context each (decode and aggregated). Both count all sequences of the replica, over its DP ranks.
    `overhead_s` is added to every TTFT and occupies nothing: router, launch, first streamed token.
    `handover_s_per_token` is the time to move one prompt token's KV cache to the decode replica.
    `kv_capacity_tokens` is what the replica's KV cache holds; `kv_fixed_tokens` is taken by each sequence
    whatever its length (sliding-window layers).
    """

    role: Role
    parallelism: Parallelism
    limits: EngineLimits
    kv_capacity_tokens: float
    prefill: Surface | None = None
    decode: Surface | None = None
    overhead_s: float = 0.0
    handover_s_per_token: float = 0.0
    kv_fixed_tokens: float = 0.0
    provenance: str = ""

    def __post_init__(self) -> None:
        """Refuse what nothing could be read off: a missing surface, figures below zero or not finite."""
        needed = {"prefill": self.role is not Role.DECODE, "decode": self.role is not Role.PREFILL}
        for phase, is_needed in needed.items():
            if is_needed and getattr(self, phase) is None:
                raise ValueError(f"layout {self.key} has no {phase} surface")
        if not 0 < self.kv_capacity_tokens < float("inf"):
            raise ValueError(f"layout {self.key}: kv_capacity_tokens must be finite and above zero")
        for name in ("overhead_s", "handover_s_per_token", "kv_fixed_tokens"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"layout {self.key}: {name} must be finite and not below zero")

    @property
    def gpus(self) -> int:
        """GPUs that one replica takes."""
        return self.parallelism.gpus

    @property
    def key(self) -> str:
        """Name the layout in its role, such as `decode=TEP4`."""
        return f"{self.role}={self.parallelism.name}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Say why a layout was not measured."""

    role: Role
    layout: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """One undominated trade between a user's speed and a GPU's output, both in output tokens per second."""

    layout: str
    tokens_per_s_per_user: float
    tokens_per_s_per_gpu: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Name the layout chosen per role, what it needs for the stated load, and who lost and why.

    `alternatives` holds the best layouts of the other way to serve (aggregated, or prefill and decode apart),
    for a deployment whose pools are of that kind.
    """

    layouts: Mapping[Role, str]
    replicas: Mapping[Role, int]
    gpus: int
    feasible: bool
    why: str
    runner_up: str = ""
    runner_up_lost: str = ""
    alternatives: Mapping[Role, str] = field(default_factory=dict)

    def layout(self, role: Role) -> str | None:
        """Return the layout to take for a role: the chosen one, or the other way's best."""
        return self.layouts.get(role) or self.alternatives.get(role)


@dataclass(frozen=True, slots=True)
class Question:
    """State the load and promise that the selection answers; times in seconds, lengths in tokens."""

    rate_rps: float
    isl_tokens: float
    osl_tokens: float
    quantile: float
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    budget_gpus: int | None = None


@dataclass(frozen=True, slots=True)
class ProfileArtifact:
    """Hold everything that one profiling run found out about one model on one kind of hardware."""

    model: str
    hardware: str
    engine: str
    backend: str
    created_at: str
    gpus_per_node: int
    scaleup_gpus: int
    layouts: tuple[LayoutProfile, ...]
    left_out: tuple[LeftOut, ...] = ()
    pareto: tuple[ParetoPoint, ...] = ()
    question: Question | None = None
    selection: Selection | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse hardware that has no GPUs to count."""
        if min(self.gpus_per_node, self.scaleup_gpus) < 1:
            raise ValueError("gpus_per_node and scaleup_gpus must be at least 1")

    def layout(self, role: Role, name: str) -> LayoutProfile:
        """Return the profile of a layout by role and name such as `TP1`.

        Raises KeyError with the names at hand when there is none.
        """
        for candidate in self.layouts:
            if candidate.role is role and candidate.parallelism.name == name:
                return candidate
        known = ", ".join(c.parallelism.name for c in self.layouts if c.role is role) or "none"
        raise KeyError(f"no {role} layout {name!r} in the profile of {self.model}; it holds {known}")


@dataclass(frozen=True, slots=True)
class Profile:
    """Pair an artifact with the digest that its file carries."""

    artifact: ProfileArtifact
    digest: str


def dump(artifact: ProfileArtifact) -> str:
    """Write an artifact as JSON text with its schema and digest."""
    body = {"schema": SCHEMA, **codec.to_plain(artifact)}
    return json.dumps({**body, "digest": codec.digest(body)}, indent=1) + "\n"


def parse(text: str, source: str, model: str | None = None) -> Profile:
    """Read an artifact; `source` names it in messages, `model` is the model that the caller serves.

    Raises ArtifactError when the text is not a profile, is of a newer schema, was changed since it was
    written, or belongs to another model.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactError(
            f"{source}: not a profile: invalid JSON at line {error.lineno}: {error.msg}"
        ) from None
    except (ValueError, RecursionError):
        raise ArtifactError(
            f"{source}: not a profile: a number is too long or lists nest too deeply; profile again"
        ) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, str) or not schema.startswith("headgate/profile/"):
        raise ArtifactError(
            f"{source}: not a profile: its schema is {schema!r}; make one with headgate-profiler sweep"
        )
    if schema != SCHEMA:
        raise ArtifactError(f"{source}: schema {schema} is not {SCHEMA}: upgrade headgate or profile again")
    body = {key: value for key, value in data.items() if key != "digest"}
    if codec.digest(body) != data.get("digest"):
        raise ArtifactError(
            f"{source}: the digest does not match: the file was changed or cut; restore it or profile again"
        )
    body.pop("schema")
    try:
        artifact = codec.from_plain(ProfileArtifact, body)
    except ValueError as error:
        raise ArtifactError(f"{source}: {error}; profile again") from None
    if model is not None and artifact.model != model:
        raise ArtifactError(
            f"{source}: profiles {artifact.model}, but the configuration serves {model}; "
            "name the profile of that model, or profile it"
        )
    return Profile(artifact, data["digest"])
