"""Hold what the profiler learned: the contract between the two applications.

The file is JSON with `schema`, a `digest` over everything else, and surfaces per layout with their grid
bounds and provenance. `parse` refuses what is damaged or newer, with a message that says what to do.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from models import codec
from models.engine import Serving
from models.errors import ArtifactError
from models.features import PLAIN, Features
from models.mix import RequestMix
from models.surface import Surface
from models.values import Parallelism, Role

SCHEMA = "headgate/profile/v2"


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
class Machine:
    """Name one kind of hardware and how its GPUs are grouped into nodes and NVLink domains."""

    name: str
    gpus_per_node: int
    scaleup_gpus: int

    def __post_init__(self) -> None:
        """Refuse hardware that has no GPUs to count."""
        if min(self.gpus_per_node, self.scaleup_gpus) < 1:
            raise ValueError("gpus_per_node and scaleup_gpus must be at least 1")


class Phase(StrEnum):
    """Which surface a point belongs to."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """Hold one measurement: `batch` sequences of `tokens` prompt or context tokens each.

    `seconds` is the mean over `repeats`, `error_s` the half-width of its 95 % interval (0: exact). A prefill
    point finds `cached_tokens` before the `tokens` that it computes. `residual_ratio` is fitted / measured
    minus 1, `None` until a surface was fitted. `tokens_per_s` is what the replica delivered at this point
    (prompt tokens in a prefill, output tokens in a decode point), where that was measured beside the time.
    """

    phase: Phase
    tokens: float
    batch: float
    seconds: float
    error_s: float = 0.0
    repeats: int = 1
    cached_tokens: float = 0.0
    residual_ratio: float | None = None
    tokens_per_s: float | None = None

    def against(self, surface: Surface) -> "MeasuredPoint":
        """Return the point with what a surface that was fitted to it makes of it."""
        return replace(self, residual_ratio=surface.at(self.tokens, self.batch) / self.seconds - 1.0)


@dataclass(frozen=True, slots=True)
class LayoutProfile:
    """Hold what one replica of one layout does in one role.

    `prefill` reads seconds of engine time for `y` prompts of `x` tokens each run as one iteration (roles
    prefill and aggregated). `decode` reads seconds per output token for a batch of `y` sequences with `x`
    tokens of context each (decode and aggregated); a step that accepts several speculated tokens counts for
    each of them. Both count all sequences of the replica, over its DP ranks.
    `overhead_s` is added to every TTFT and occupies nothing: router, launch, first streamed token.
    `handover_s_per_token` is the time to move one prompt token's KV cache to the decode replica.
    `kv_capacity_tokens` is what the replica's KV cache holds; `kv_fixed_tokens` is taken by each sequence
    whatever its length (sliding-window layers). `handover_steps` are the decode steps that pass between a
    prompt's arrival at the replica and the step that makes its first token. `hardware` names a machine of the
    artifact. `measured` holds the points behind the surfaces where they are fewer than the grid;
    `extrapolated` says why the figures of this layout rest on no data, empty where they do.
    `kv_bytes_per_token` is what a token's KV cache takes on each GPU that holds it (0: not known). `features`
    is what the engine does beyond the surfaces; a profile as it was measured has none.
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
    handover_steps: float = 0.0
    provenance: str = ""
    hardware: str = ""
    measured: tuple[MeasuredPoint, ...] = ()
    extrapolated: str = ""
    kv_bytes_per_token: float = 0.0
    features: Features = PLAIN

    def __post_init__(self) -> None:
        """Refuse what nothing could be read off: a missing surface, figures below zero or not finite."""
        needed = {"prefill": self.role is not Role.DECODE, "decode": self.role is not Role.PREFILL}
        for phase, is_needed in needed.items():
            if is_needed and getattr(self, phase) is None:
                raise ValueError(f"layout {self.key} has no {phase} surface")
        if not 0 < self.kv_capacity_tokens < float("inf"):
            raise ValueError(f"layout {self.key}: kv_capacity_tokens must be finite and above zero")
        for name in (
            "overhead_s",
            "handover_s_per_token",
            "kv_fixed_tokens",
            "handover_steps",
            "kv_bytes_per_token",
        ):
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
class Contender:
    """Hold one pairing of layouts that competed: the smallest fleet that keeps the promise, and why it lost.

    `name` is such as `prefill=TP1 decode=TEP4`; `lost` is empty for the winner.
    """

    name: str
    replicas: Mapping[Role, int]
    gpus: int
    attainment: float
    goodput_rps_per_gpu: float
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Name the layout chosen per role, what it needs for the stated load, and who lost and why.

    `alternatives` holds the best layouts of the other way to serve (aggregated, or prefill and decode apart),
    for a deployment whose pools are of that kind. `goodput_rps_per_gpu` is the rate of requests that keep the
    promise, over the fleet's GPUs. `ranking` holds the best pairings, the winner first. `would_change` says
    in sentences what would change the choice, nearest first.
    """

    layouts: Mapping[Role, str]
    replicas: Mapping[Role, int]
    gpus: int
    feasible: bool
    why: str
    runner_up: str = ""
    runner_up_lost: str = ""
    alternatives: Mapping[Role, str] = field(default_factory=dict)
    goodput_rps_per_gpu: float = 0.0
    ranking: tuple[Contender, ...] = ()
    would_change: tuple[str, ...] = ()

    def layout(self, role: Role) -> str | None:
        """Return the layout to take for a role: the chosen one, or the other way's best."""
        return self.layouts.get(role) or self.alternatives.get(role)


@dataclass(frozen=True, slots=True)
class Question:
    """State the load and promise that the selection answers; times in seconds, lengths in tokens.

    `budget_gpus` and `price_per_gpu_h` go by the hardware's name; hardware that is not named has no bound and
    no price. Prices are the user's own, in a currency of their choice.
    """

    rate_rps: float
    mix: RequestMix
    quantile: float
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    budget_gpus: Mapping[str, int] = field(default_factory=dict)
    price_per_gpu_h: Mapping[str, float] = field(default_factory=dict)

    @property
    def isl_tokens(self) -> float:
        """Mean prompt length."""
        return self.mix.mean_isl_tokens

    @property
    def osl_tokens(self) -> float:
        """Mean output length."""
        return self.mix.mean_osl_tokens


@dataclass(frozen=True, slots=True)
class Effort:
    """Say what the sweep cost: points measured of those in the grid, GPU-minutes held by measuring."""

    points: int
    grid_points: int
    gpu_minutes: float


@dataclass(frozen=True, slots=True)
class ProfileArtifact:
    """Hold everything that one profiling run found out about one model on one kind of hardware."""

    model: str
    machines: tuple[Machine, ...]
    engine: str
    backend: str
    created_at: str
    layouts: tuple[LayoutProfile, ...]
    left_out: tuple[LeftOut, ...] = ()
    pareto: tuple[ParetoPoint, ...] = ()
    question: Question | None = None
    selection: Selection | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    serving: Serving = field(default_factory=Serving)
    effort: Effort | None = None

    def __post_init__(self) -> None:
        """Refuse layouts whose hardware is not described."""
        names = [machine.name for machine in self.machines]
        if not names:
            raise ValueError("a profile needs at least one machine")
        for each in self.layouts:
            if each.hardware not in names and not (len(names) == 1 and not each.hardware):
                raise ValueError(f"layout {each.key}: hardware {each.hardware!r} is not among {names}")

    @property
    def hardware(self) -> str:
        """The machines' names, such as `GB200` or `H100 + GB200`."""
        return " + ".join(machine.name for machine in self.machines)

    def machine(self, layout: LayoutProfile) -> Machine:
        """Return the machine that a layout runs on; with one machine a layout need not name it."""
        return next((m for m in self.machines if m.name == layout.hardware), self.machines[0])

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
