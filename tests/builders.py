"""Build small, plausible values for tests: layouts with analytic surfaces, loads, observations."""

from collections.abc import Mapping, Sequence

from models.artifact import EngineLimits, LayoutProfile
from models.capacity.load import ClassLoad
from models.mix import RequestMix
from models.observation import ClassDemand, Observation, PoolState
from models.policy import PlanPolicy, PoolPolicy
from models.prediction import Forecast, SignalForecast
from models.surface import Surface
from models.values import Parallelism, RequestClass, Role, Signal, Slo

AT_S = 1_700_000_000.0
PAGES = RequestClass("pages", Slo(ttft_s=0.3, e2e_s=0.5), priority=10)
EMAIL = RequestClass("email", Slo(), priority=0)
CHAT = RequestClass("chat", Slo(ttft_s=0.5, itl_s=0.03))
PAGES_MIX = RequestMix.constant(8000, 50)
EMAIL_MIX = RequestMix.constant(600, 700)
CHAT_MIX = RequestMix.from_samples([500, 1500, 2500, 6000], [100, 300, 200, 400])


def prefill_layout(tokens_per_s: float = 110_000.0, tp: int = 1) -> LayoutProfile:
    """Make a prefill layout whose engine time is proportional to tokens, plus 1 ms per iteration."""
    isl = (128.0, 512.0, 2048.0, 8192.0, 32768.0)
    batch = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
    values = tuple(tuple(0.001 + x * n / tokens_per_s for n in batch) for x in isl)
    return LayoutProfile(
        Role.PREFILL,
        Parallelism(tp=tp),
        EngineLimits(max_num_seqs=128, max_num_batched_tokens=16_384),
        kv_capacity_tokens=2e6,
        prefill=Surface(isl, batch, values),
        overhead_s=0.03,
    )


def decode_layout(base_s: float = 0.0019, per_sequence_s: float = 0.000013, tp: int = 4) -> LayoutProfile:
    """Make a decode layout whose ITL rises linearly in batch and in batch times context."""
    context = (128.0, 1024.0, 4096.0, 16384.0)
    batch = (1.0, 8.0, 32.0, 128.0, 512.0, 2048.0)
    values = tuple(tuple(base_s + n * (per_sequence_s + c * 2e-9) for n in batch) for c in context)
    return LayoutProfile(
        Role.DECODE,
        Parallelism(tp=tp),
        EngineLimits(max_num_seqs=2048, max_num_batched_tokens=8192),
        kv_capacity_tokens=8e6,
        decode=Surface(context, batch, values),
    )


def aggregated_layout() -> LayoutProfile:
    """Make a TP4 layout that does both phases."""
    return LayoutProfile(
        Role.AGGREGATED,
        Parallelism(tp=4),
        EngineLimits(512, 8192),
        4e6,
        prefill=prefill_layout(300_000.0).prefill,
        decode=decode_layout().decode,
        overhead_s=0.02,
    )


def layouts() -> dict[Role, LayoutProfile]:
    """Make a disaggregated pair: TP1 prefill and TP4 decode."""
    return {Role.PREFILL: prefill_layout(), Role.DECODE: decode_layout()}


def loads(pages_rps: float = 100.0, email_rps: float = 20.0) -> list[ClassLoad]:
    """Make the e-commerce load at steady rates."""
    return [ClassLoad.steady(PAGES, pages_rps, PAGES_MIX), ClassLoad.steady(EMAIL, email_rps, EMAIL_MIX)]


def plan_policy(
    classes: Sequence[RequestClass] = (PAGES, EMAIL),
    budget_gpus: int | None = None,
    attainment: float = 0.99,
    pools: Mapping[Role, PoolPolicy] | None = None,
) -> PlanPolicy:
    """Make a plan policy with default pools."""
    chosen = pools if pools is not None else {Role.PREFILL: PoolPolicy(), Role.DECODE: PoolPolicy()}
    return PlanPolicy(tuple(classes), chosen, budget_gpus=budget_gpus, attainment=attainment)


def pool(ready: int, **changes: object) -> PoolState:
    """Make a settled pool; keyword arguments change any of its fields."""
    return PoolState(**{"desired": ready, "ready": ready, **changes})  # type: ignore[arg-type]


def observation(
    rates: Mapping[str, float | None] | None = None,
    counts: Mapping[Role, int] | None = None,
    at_s: float = AT_S,
    **changes: object,
) -> Observation:
    """Make an observation of the e-commerce classes at given arrival rates and settled pools."""
    mixes = {"pages": PAGES_MIX, "email": EMAIL_MIX, "chat": CHAT_MIX}
    rates = {"pages": 100.0, "email": 20.0} if rates is None else rates
    demand = {
        name: ClassDemand(None, None, None)
        if rate is None
        else ClassDemand(
            rate, rate * mixes[name].mean_prefill_tokens, rate * mixes[name].mean_osl_tokens, mixes[name]
        )
        for name, rate in rates.items()
    }
    counts = {Role.PREFILL: 12, Role.DECODE: 2} if counts is None else counts
    fields: dict[str, object] = {
        "at_s": at_s,
        "window_s": 60.0,
        "demand": demand,
        "pools": {role: pool(n) for role, n in counts.items()},
        "demand_at_s": at_s,
    }
    return Observation(**{**fields, **changes})  # type: ignore[arg-type]


def forecast(
    rates: Mapping[str, float], spread: float = 0.05, at_s: float = AT_S, fallback: str | None = None
) -> Forecast:
    """Make a flat forecast around the given arrival rates, with quantiles that widen by `spread` a step."""
    mixes = {"pages": PAGES_MIX, "email": EMAIL_MIX, "chat": CHAT_MIX}
    levels = (0.05, 0.25, 0.5, 0.75, 0.9, 0.975, 0.995)
    offsets = tuple(60.0 * i for i in range(1, 31))

    def path(value: float) -> SignalForecast:
        steps = tuple(
            tuple(max(value * (1 + spread * (i - 2)), 0.0) for _ in offsets) for i in range(len(levels))
        )
        return SignalForecast(levels, offsets, steps, "last_value", "builder", value, fallback)

    return Forecast(
        at_s,
        {
            name: {
                Signal.ARRIVALS: path(rate),
                Signal.PREFILL_TOKENS: path(rate * mixes[name].mean_prefill_tokens),
                Signal.DECODE_TOKENS: path(rate * mixes[name].mean_osl_tokens),
            }
            for name, rate in rates.items()
        },
    )
