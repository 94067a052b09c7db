"""Answer what one fleet delivers under one steady load: latency quantiles, throughput, attainment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.batches import BATCH_WEIGHT, below
from models.capacity.fleet import FleetModel, Floats
from models.capacity.load import ClassLoad
from models.values import Binding, Role, Router


@dataclass(frozen=True, slots=True)
class Latency:
    """Hold a predicted latency in seconds; infinite when a queue grows without bound."""

    mean: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Hold what a fleet is expected to deliver at a steady load.

    Token rates are of the whole fleet, per second; `tokens_per_s_per_gpu` counts input and output over all
    GPUs. `attainment` is per class, `expected_attainment` over all arrivals. `batch` and `kv_occupancy`
    are means of one decode replica.
    """

    gpus: int
    rate_rps: float
    ttft_s: Latency
    itl_s: Latency
    e2e_s: Latency
    output_tokens_per_s: float
    tokens_per_s_per_gpu: float
    output_tokens_per_s_per_decode_gpu: float
    utilisation: Mapping[Role, float]
    batch: float
    kv_occupancy: float
    attainment: Mapping[str, float]
    expected_attainment: float
    stable: bool
    binding: Mapping[Role, Binding]
    extrapolated: bool


def predict(
    loads: Sequence[ClassLoad],
    fleet: Mapping[Role, tuple[LayoutProfile, int]],
    router: Router = Router.LOAD,
    arrival_cv2: float = 1.0,
) -> Prediction:
    """Predict one fleet, given per role as (layout, replicas), under one steady load.

    Raises ValueError when the roles are neither prefill and decode nor aggregated.
    """
    model = FleetModel({role: layout for role, (layout, _) in fleet.items()}, [loads], router, arrival_cv2)
    counts = {role: n for role, (_, n) in fleet.items()}
    return describe(model, counts)


def describe(model: FleetModel, counts: Mapping[Role, int]) -> Prediction:
    """Describe a fleet under the first scenario of a model."""
    single = np.array([1.0] + [0.0] * (len(model.rates) - 1))
    expected, per_class = model.expected(counts, single)
    waits, steps = model.waits(model.prefill_count(counts)), model.steps(model.decode_count(counts))
    stable = bool(waits.utilisation[0] < 1.0 and steps.stable[0])
    rate = float(model.rates[0].sum())
    output = float(model.decode_rates[0] @ model.osl_tokens) * min(
        1.0, 1.0 / max(float(steps.utilisation[0]), 1e-12)
    )
    isl_tokens = [mix.mean_isl_tokens for mix in model.loads.mixes]
    inputs = float(model.prefill_rates[0] @ isl_tokens) * min(
        1.0, 1.0 / max(float(waits.utilisation[0]), 1e-12)
    )
    gpus = sum(model.layouts[role].gpus * n for role, n in counts.items())
    decode_role = Role.AGGREGATED if model.aggregated else Role.DECODE
    prefill_role = Role.AGGREGATED if model.aggregated else Role.PREFILL
    batch = float(steps.batch[0])
    utilisation = {prefill_role: float(waits.utilisation[0])}
    utilisation[decode_role] = max(float(steps.utilisation[0]), utilisation.get(decode_role, 0.0))
    latencies = _Latencies(model, counts)
    return Prediction(
        gpus=gpus,
        rate_rps=rate,
        ttft_s=latencies.ttft(),
        itl_s=latencies.itl(),
        e2e_s=latencies.e2e(),
        output_tokens_per_s=output,
        tokens_per_s_per_gpu=(inputs + output) / gpus,
        output_tokens_per_s_per_decode_gpu=output / (model.decode_layout.gpus * counts[decode_role]),
        utilisation=utilisation,
        batch=batch,
        kv_occupancy=batch / model.curve.kv_sequences,
        attainment=per_class,
        expected_attainment=expected,
        stable=stable,
        binding=model.bindings(dict.fromkeys(counts, counts)),
        extrapolated=model.extrapolated,
    )


class _Latencies:
    """Mix wait, atoms and cells of the batch into latency distributions over all classes of one scenario."""

    def __init__(self, model: FleetModel, counts: Mapping[Role, int]) -> None:
        waits = model.waits(model.prefill_count(counts))
        steps = model.steps(model.decode_count(counts))
        self.stable = bool(waits.utilisation[0] < 1.0 and steps.stable[0])
        self.steady_itl = bool(steps.stable[0])
        self.waits = waits
        self.rate = float(waits.rate_per_s[0])
        self.edges_s, self.itl_s = steps.edges_s[0], steps.itl_s[0]
        self.mean_itl_s = float(steps.mean_itl_s[0])
        share = model.rates[0] / max(float(model.rates[0].sum()), 1e-12)
        groups = model.classes
        self.weight = np.concatenate([c.work.weight * s for c, s in zip(groups, share, strict=True)])
        self.alone = np.concatenate([c.work.alone_s for c in groups])
        self.osl = np.concatenate([c.osl_tokens for c in groups])
        self.tilt_s = float(steps.tilted[0]) * np.concatenate([c.tilt_s for c in groups])
        self.smoothed = np.concatenate([c.smoothed(steps)[0] for c in groups])
        self.first_steps = model.first_steps

    def ttft(self) -> Latency:
        return self._latency(self.alone[None, :] + self.first_steps * self.itl_s[:, None])

    def e2e(self) -> Latency:
        first = self.alone[None, :] + self.first_steps * self.itl_s[:, None]
        return self._latency(first + np.maximum(self.osl[None, :] - 1.0, 0.0) * self._per_request())

    def itl(self) -> Latency:
        if not self.steady_itl:
            worst = float(self.itl_s[-1])
            return Latency(worst, worst, worst)
        mean = float(BATCH_WEIGHT @ self._per_request() @ self.weight)
        return Latency(mean, self._itl_quantile(0.5), self._itl_quantile(0.99))

    def _per_request(self) -> Floats:
        """Return a request's mean ITL over its life, shape (cells, atoms)."""
        around = (self.itl_s - self.mean_itl_s)[:, None] * self.smoothed
        per_request: Floats = self.mean_itl_s + around + self.tilt_s
        return per_request

    def _itl_quantile(self, q: float) -> float:
        low, high = float(self.edges_s[0]) / 2.0, float(self.edges_s[-1] + self.tilt_s.max())
        for _ in range(60):
            middle = (low + high) / 2
            limit_s = self.mean_itl_s + (middle - self.tilt_s - self.mean_itl_s) / self.smoothed
            within = float(below(self.edges_s, limit_s[:, None]) @ BATCH_WEIGHT @ self.weight)
            low, high = (middle, high) if within < q else (low, middle)
        return (low + high) / 2

    def _latency(self, base: Floats) -> Latency:
        """Add the wait to base latencies of shape (points, atoms)."""
        if not self.stable:
            return Latency(math.inf, math.inf, math.inf)
        weight = (BATCH_WEIGHT[:, None] * self.weight[None, :]).ravel()
        flat = base.ravel()
        wait_mean = self._wait_mean_s()
        return Latency(
            float(flat @ weight) + wait_mean,
            self._quantile(flat, weight, 0.5),
            self._quantile(flat, weight, 0.99),
        )

    def _wait_mean_s(self) -> float:
        return float(self.waits.mean_s[0])

    def _quantile(self, base: Floats, weight: Floats, q: float) -> float:
        longest_s = math.log(1e6) / max(self.rate, 1e-9) + float(self.waits.residual_s[0])
        longest_s = longest_s * float(self.waits.stretch[0]) + float(self.waits.shared_s[0])
        low, high = float(base.min()), float(base.max()) + longest_s
        for _ in range(60):
            middle = (low + high) / 2
            slack = middle - base
            late = self.waits.beyond(np.maximum(slack, 0.0)[None, None, :])[0, 0]
            below = np.where(slack >= 0, 1.0 - late, 0.0)
            low, high = (middle, high) if float(below @ weight) < q else (low, middle)
        return (low + high) / 2
