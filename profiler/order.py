"""Hold what a person asked a sweep for, as the flags say it: plain, so that it can be sent elsewhere."""

from dataclasses import dataclass

from models.hardware import Precision


@dataclass(frozen=True, slots=True)
class Order:
    """Hold the flags of `headgate-profiler sweep`; times in seconds, lengths in tokens, ratios from 0 to 1.

    `hardware`, `layouts`, `mix`, `budget` and `price` are as written; `profiler.wiring` reads them. Without
    `rate_rps` the selection takes the highest rate that the budget carries. `sampling` is `full` or
    `adaptive`; `None` leaves it to the backend: the whole grid where points cost nothing.
    """

    model: str
    hardware: str
    engine: str = "trtllm"
    backend: str = "roofline"
    layouts: str | None = None
    rate_rps: float | None = None
    mix: str | None = None
    isl_tokens: float = 1000.0
    osl_tokens: float = 1000.0
    quantile: float = 0.99
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    budget: str | None = None
    price: str | None = None
    weight_precision: Precision | None = None
    kv_precision: Precision | None = None
    prefix_ratio: float = 0.0
    draft_tokens: int = 0
    accepted_tokens: float = 1.0
    sampling: str | None = None
    error_ratio: float = 0.05
    gpu_minutes: float | None = None
    max_context_tokens: int | None = None
    silicon_config: str = ""
