"""Say what is measured at an endpoint, and how precisely."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from models.values import Parallelism, Role


@dataclass(frozen=True, slots=True)
class Stated:
    """Hold what is known of one replica behind an endpoint; `None` where it is not."""

    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_capacity_tokens: float | None = None

    def __post_init__(self) -> None:
        """Refuse figures that no engine has."""
        for name in ("max_num_seqs", "max_num_batched_tokens", "kv_capacity_tokens"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < float("inf"):
                raise ValueError(f"{name} must be finite and at least 1, got {value}")

    def filled(self, other: "Stated") -> "Stated":
        """Return these figures, and the other's where one is absent."""
        return Stated(
            self.max_num_seqs or other.max_num_seqs,
            self.max_num_batched_tokens or other.max_num_batched_tokens,
            self.kv_capacity_tokens or other.kv_capacity_tokens,
        )


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Hold the endpoint, what is deployed there, and when a measurement is good enough.

    `deployed` says which layout runs in which role; `replicas` how many of them share the endpoint (1 where
    absent), so that `batch` sequences each are sent. `served_model` is the model's name there, if it is not
    the card's. A point is repeated until the 95 % interval of its mean is within `error_ratio` of it, at most
    `max_repeats` times, and from `min_repeats` on no longer than `max_point_s`. A stream that says nothing
    for `silence_s` is given up.
    """

    url: str
    model: str
    deployed: Mapping[Role, Parallelism]
    vocabulary: int
    max_context_tokens: int
    served_model: str | None = None
    replicas: Mapping[Role, int] = field(default_factory=dict)
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    metrics_url: str | None = None
    stated: Stated = Stated()
    error_ratio: float = 0.03
    min_repeats: int = 3
    max_repeats: int = 12
    max_point_s: float = 120.0
    silence_s: float = 120.0

    def __post_init__(self) -> None:
        """Refuse what could not be measured."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{self.url!r} is not the URL of an endpoint; write for example http://host:8000"
            )
        if parts.username or parts.password:
            raise ValueError("the URL carries a user or password; use an API key or a header instead")
        sent = {
            "the API key": self.api_key,
            **{f"header {name}": text for name, text in self.headers.items()},
        }
        for name, text in sent.items():
            if text is not None and not (text and text.isascii() and text.isprintable()):
                raise ValueError(f"{name} must be one line of printable ASCII text")
        if not self.deployed:
            raise ValueError("say which layouts the endpoint runs, such as TEP4 or prefill=TP1,decode=TEP4")
        if not 0.0 < self.error_ratio < 1.0:
            raise ValueError(f"error_ratio must be above 0 and under 1, got {self.error_ratio}")
        if min(self.min_repeats, self.max_repeats) < 2:
            raise ValueError("an interval takes at least 2 repeats")
        if min(self.max_point_s, self.silence_s) <= 0 or self.vocabulary < 64:
            raise ValueError("times must be above zero and the vocabulary at least 64 tokens")
        if any(count < 1 for count in self.replicas.values()):
            raise ValueError("an endpoint has at least one replica per role")

    @property
    def base(self) -> str:
        """The URL without `/v1` and without a slash at its end."""
        return self.url.rstrip("/").removesuffix("/v1").rstrip("/")

    @property
    def disaggregated(self) -> bool:
        """Whether prefill and decode run on replicas of their own."""
        return Role.AGGREGATED not in self.deployed

    def copies(self, role: Role) -> int:
        """Return how many replicas of a role share the endpoint."""
        return self.replicas.get(role, 1)
