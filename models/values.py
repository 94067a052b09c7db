"""Name the things that Headgate plans: roles, parallel layouts, promises and request classes."""

from dataclasses import dataclass
from enum import StrEnum

from models.deferral import Deferral


class Role(StrEnum):
    """What a pool of replicas does; `AGGREGATED` replicas do both phases."""

    PREFILL = "prefill"
    DECODE = "decode"
    AGGREGATED = "aggregated"


class Router(StrEnum):
    """How arriving requests are spread over the replicas of a pool."""

    LOAD = "load"
    ROUND_ROBIN = "round-robin"
    RANDOM = "random"


class Signal(StrEnum):
    """A demand series that is forecast directly, per request class."""

    ARRIVALS = "arrivals"
    PREFILL_TOKENS = "prefill_tokens"
    DECODE_TOKENS = "decode_tokens"


class Binding(StrEnum):
    """The constraint that sets a role's replica count."""

    TTFT = "ttft"
    ITL = "itl"
    E2E = "e2e"
    THROUGHPUT = "throughput"
    KV_CACHE = "kv_cache"
    BACKLOG = "backlog"
    REACTIVE = "reactive"
    LAYOUT = "layout"
    BUDGET = "budget"
    TOPOLOGY = "topology"
    FLOOR = "floor"
    CEILING = "ceiling"
    PRICE = "price"


@dataclass(frozen=True, slots=True)
class Parallelism:
    """Describe how one replica is spread over GPUs.

    `tp` shards attention, `dp` replicates attention inside the replica, `ep` shards experts and `pp`
    cuts the layers into stages. A replica takes `tp * pp * dp` GPUs; experts live on the same GPUs,
    so `ep` divides `tp * dp`.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1

    def __post_init__(self) -> None:
        """Refuse widths that no engine could place."""
        if min(self.tp, self.pp, self.dp, self.ep) < 1:
            raise ValueError(f"parallel widths must be at least 1: {self!r}")
        if (self.tp * self.dp) % self.ep:
            raise ValueError(f"ep={self.ep} must divide tp*dp={self.tp * self.dp}")

    @property
    def gpus(self) -> int:
        """GPUs that one replica takes."""
        return self.tp * self.pp * self.dp

    @property
    def stage_gpus(self) -> int:
        """GPUs of one pipeline stage: those that share a layer."""
        return self.tp * self.dp

    @property
    def name(self) -> str:
        """The field's short name: TP4, TEP4 (TP attention, EP experts), DEP8 (DP attention, EP experts)."""
        if self.dp > 1:
            width = f"DEP{self.dp}" if self.tp == 1 and self.ep == self.dp else self._explicit()
        elif self.ep > 1:
            width = f"TEP{self.tp}" if self.ep == self.tp else self._explicit()
        else:
            width = f"TP{self.tp}"
        return width if self.pp == 1 else f"{width}-PP{self.pp}"

    def _explicit(self) -> str:
        return f"TP{self.tp}-DP{self.dp}-EP{self.ep}"

    def nodes(self, gpus_per_node: int) -> int:
        """Nodes that one replica spans when it is packed."""
        return -(-self.gpus // gpus_per_node)

    def __str__(self) -> str:
        """Show the short name."""
        return self.name


@dataclass(frozen=True, slots=True)
class Slo:
    """Promise any of TTFT, ITL (per-request mean TPOT) and end-to-end latency.

    `quantile` is the share of requests that must meet every stated limit at a fixed load;
    `attainment` is the share of all arrivals over time (`None`: the same number). With no limit the
    class is throughput only: it asks to be served, at no particular speed.
    """

    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    quantile: float = 0.99
    attainment: float | None = None

    @property
    def throughput_only(self) -> bool:
        """Whether no latency is promised."""
        return self.ttft_s is None and self.itl_s is None and self.e2e_s is None

    @property
    def target(self) -> float:
        """Share of arrivals that must meet the promise."""
        return self.quantile if self.attainment is None else self.attainment


@dataclass(frozen=True, slots=True)
class RequestClass:
    """Name a kind of request and its promise; a higher `priority` goes first when GPUs lack.

    `miss_price` is what a request that misses its promise costs, in the user's currency (`None`: not stated;
    the class then aims at a share of requests). `deferral` says how long requests may wait outside the
    engines (`None`: they come as they arrive).
    """

    name: str
    slo: Slo
    priority: int = 0
    miss_price: float | None = None
    deferral: Deferral | None = None
