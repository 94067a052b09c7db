"""Predict attainment of a fleet: waiting, prefill and decode together, per class and load scenario."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.decode import DecodeCurve, DecodeState, decode_curve, peakedness
from models.capacity.load import ClassLoad
from models.capacity.mixed import MixedSteps
from models.capacity.prefill import PrefillWork, PromptLoad, prefill_work
from models.capacity.waiting import WaitTail, bulk, wait_tail
from models.values import Binding, Role, Router, Slo

Floats = NDArray[np.float64]

# Points of a standard normal that stand for the decode batch, with their probabilities: fine in the upper
# tail, where promises break (bins between the 0, 10, 30, 50, 70, 85, 95, 99 and 100 % quantiles).
_BATCH_Z = np.array([-1.755, -0.853, -0.253, 0.253, 0.764, 1.295, 1.924, 2.665])
_NO_RATE_RPS = 1e-12
# The utilisation that a throughput-only class may count on: nearer to 1 a queue outlasts every forecast.
SUSTAINED = 0.97
BATCH_WEIGHT = np.array([0.10, 0.20, 0.20, 0.20, 0.15, 0.10, 0.04, 0.01])


@dataclass(frozen=True, slots=True)
class Waits:
    """Hold the prefill queue of each scenario as in WaitTail: arrays of shape (scenarios,)."""

    probability: Floats
    rate_per_s: Floats
    utilisation: Floats
    residual_s: Floats
    shared_s: Floats

    def beyond(self, slack_s: Floats) -> Floats:
        """Return P(W > slack) for slack of at least 0, shape (scenarios, ...)."""
        rest = (slice(None),) + (None,) * (slack_s.ndim - 1)
        late_s = np.maximum(slack_s - self.shared_s[rest], 0.0)
        queued = np.exp(-self.rate_per_s[rest] * late_s)
        residual = 1.0 - late_s / np.maximum(self.residual_s[rest], 1e-12)
        result: Floats = self.probability[rest] * np.maximum(queued, residual)
        return result


@dataclass(frozen=True, slots=True)
class Steps:
    """Hold each scenario's decode batch: `itl_s` and `admitted` (scenarios, points), the rest (scenarios,).

    `admitted` says at which points the batch is within the limit: beyond it a request waits for a place.
    """

    itl_s: Floats
    admitted: NDArray[np.bool_]
    stable: NDArray[np.bool_]
    utilisation: Floats
    states: tuple[DecodeState, ...]


@dataclass(frozen=True, slots=True)
class _ClassArrays:
    slo: Slo
    weight: Floats
    alone_s: Floats
    osl_tokens: Floats
    work: PrefillWork
    first_steps: float


class FleetModel:
    """Evaluate fleets of fixed layouts under several load scenarios at once.

    A scenario holds one rate per class; all scenarios share the classes' mixes. Rates are arrays of shape
    (scenarios, classes). Results per replica count are kept, so that a search over counts costs one
    evaluation per new count.
    """

    def __init__(
        self,
        layouts: Mapping[Role, LayoutProfile],
        scenarios: Sequence[Sequence[ClassLoad]],
        router: Router,
        arrival_cv2: float = 1.0,
    ) -> None:
        """Prepare a model; raises ValueError when roles or scenarios do not make a fleet."""
        if set(layouts) not in ({Role.PREFILL, Role.DECODE}, {Role.AGGREGATED}):
            raise ValueError(f"a fleet is prefill and decode, or aggregated; got {sorted(layouts)}")
        if not scenarios or any(not s for s in scenarios):
            raise ValueError("a fleet model needs at least one scenario with at least one class")
        self.layouts = dict(layouts)
        self.router, self.arrival_cv2 = router, arrival_cv2
        self.aggregated = Role.AGGREGATED in layouts
        self.prefill_layout = layouts[Role.AGGREGATED if self.aggregated else Role.PREFILL]
        self.decode_layout = layouts[Role.AGGREGATED if self.aggregated else Role.DECODE]
        first = scenarios[0]
        self.names = tuple(load.request_class.name for load in first)
        self.rates = np.array([[c.rate_rps for c in s] for s in scenarios], dtype=float)
        self.prefill_rates = np.array([[c.prefill_rps for c in s] for s in scenarios], dtype=float)
        self.decode_rates = np.array([[c.decode_rps for c in s] for s in scenarios], dtype=float)
        # The first streamed token comes out of the first decode step, behind those of the hand-over.
        self.first_steps = 1.0 + (0.0 if self.aggregated else self.decode_layout.handover_steps)
        self.classes = tuple(_arrays(self.prefill_layout, load, self.first_steps) for load in first)
        middle = scenarios[len(scenarios) // 2]
        self.curve: DecodeCurve = decode_curve(self.decode_layout, [(c.decode_rps, c.mix) for c in middle])
        self.extrapolated = self.curve.extrapolated or any(c.work.extrapolated for c in self.classes)
        self.osl_tokens = np.array([load.mix.mean_osl_tokens for load in first])
        self.isl_tokens = np.array([load.mix.mean_isl_tokens for load in first])
        self.work_s = np.array([c.work.mean_service_s for c in self.classes])
        self.iteration_s = (
            np.array([c.work.mean_alone_s for c in self.classes]) - self.prefill_layout.overhead_s
        )
        self.further_s = np.array([c.work.mean_further_s for c in self.classes])
        self.work_squared = np.array([c.work.mean_service_squared for c in self.classes])
        self._waits: dict[int, Waits] = {}
        self._steps: dict[int, Steps] = {}

    def offered(self, role: Role) -> float:
        """Return the replicas that the heaviest scenario would keep busy without a break."""
        if role is Role.DECODE:
            return float((self.decode_rates @ self.osl_tokens).max()) / self.curve.capacity_per_s
        prefill = float((self.prefill_rates @ self.work_s).max())
        if role is Role.PREFILL:
            return prefill
        return prefill + float((self.decode_rates @ self.osl_tokens).max()) / self.curve.capacity_per_s

    def waits(self, replicas: int) -> Waits:
        """Return the prefill queue of every scenario at a replica count."""
        if replicas not in self._waits:
            tails = [self._tail(replicas, s) for s in range(len(self.rates))]
            self._waits[replicas] = Waits(
                np.array([t.probability for t in tails]),
                np.array([min(t.rate_per_s, 1e12) for t in tails]),
                np.array([t.utilisation for t in tails]),
                np.array([t.residual_s for t in tails]),
                np.array([t.shared_s for t in tails]),
            )
        return self._waits[replicas]

    def steps(self, replicas: int) -> Steps:
        """Return the decode batch of every scenario at a replica count."""
        if replicas not in self._steps:
            sharing = replicas if self.router is Router.LOAD else 1
            spread = peakedness(self._decode_cv2(replicas))
            tokens = (self.decode_rates @ self.osl_tokens / replicas).tolist()
            if self.aggregated:
                mixed = [MixedSteps(self.curve, self._prompts(replicas, i)) for i in range(len(tokens))]
                states = tuple(m.settle(x, spread, sharing) for m, x in zip(mixed, tokens, strict=True))
                points, admitted = batch_points(states)
                itl = np.array([m.itl_s(n) for m, n in zip(mixed, points, strict=True)])
            else:
                states = tuple(self.curve.settle(x, spread, sharing) for x in tokens)
                points, admitted = batch_points(states)
                itl = self.curve.over(points)
            stable, used = np.array([(s.stable, s.utilisation) for s in states]).T
            self._steps[replicas] = Steps(itl, admitted, stable.astype(bool), used, states)
        return self._steps[replicas]

    def assume(self, fleet: Mapping[Role, int], waits: Waits, steps: Steps) -> None:
        """Take this fleet's queue and batch as given, where they do not follow from an open load."""
        self._waits[self.prefill_count(fleet)] = waits
        self._steps[self.decode_count(fleet)] = steps

    def attainment(self, fleet: Mapping[Role, int]) -> Floats:
        """Return the share of each class that keeps its promise, shape (scenarios, classes).

        A throughput-only class keeps it to the share that is served at all: 1 up to a sustained
        utilisation, falling with its inverse above.
        """
        return self.attainment_of(self.waits(self.prefill_count(fleet)), self.steps(self.decode_count(fleet)))

    def attainment_of(self, waits: Waits, steps: Steps) -> Floats:
        """Return attainment for any combination of queue and batch, shape (scenarios, classes)."""
        busy = np.maximum(waits.utilisation, steps.utilisation)
        served = 1.0 / np.maximum(busy / SUSTAINED, 1.0)
        alive = (waits.utilisation < 1.0) & steps.stable
        out = np.empty_like(self.rates)
        for i, c in enumerate(self.classes):
            out[:, i] = served if c.slo.throughput_only else np.where(alive, _kept(c, waits, steps), 0.0)
        return out

    def expected(self, fleet: Mapping[Role, int], weights: Floats) -> tuple[float, dict[str, float]]:
        """Return E[rate * A] / E[rate] over scenarios of the given weights: in all, and per class."""
        return self.weigh(self.attainment(fleet), weights)

    def weigh(self, attained: Floats, weights: Floats) -> tuple[float, dict[str, float]]:
        """Average attainment of shape (scenarios, classes) over scenarios and, in all, over classes."""
        mass = self.rates * weights[:, None]
        met, total = (mass * attained).sum(axis=0), mass.sum(axis=0)
        per_class = {
            name: float(met[i] / total[i]) if total[i] > 0 else 1.0 for i, name in enumerate(self.names)
        }
        everything = float(total.sum())
        return (float(met.sum()) / everything if everything > 0 else 1.0), per_class

    def ample(self) -> tuple[Waits, Steps]:
        """Return the queue and batch of an unbounded fleet: no wait, every sequence decodes alone."""
        scenarios = len(self.rates)
        none = np.zeros(scenarios)
        waits = Waits(none, np.full(scenarios, 1e12), none, none, none)
        alone = DecodeState(1.0, 0.0, self.curve.limit, True, self.curve.kv_bound, 0.0)
        itl = np.full((scenarios, _BATCH_Z.size), self.curve.at(1.0))
        admitted = np.ones_like(itl, dtype=bool)
        return waits, Steps(itl, admitted, np.ones(scenarios, dtype=bool), none, (alone,) * scenarios)

    def binding(self, role: Role, fleet: Mapping[Role, int]) -> Binding:
        """Name what this fleet would break first in `role`: the limit whose removal helps attainment most."""
        waits, steps = self.waits(self.prefill_count(fleet)), self.steps(self.decode_count(fleet))
        if role is not Role.DECODE and waits.utilisation.max() >= 1.0:
            return Binding.THROUGHPUT
        if role is not Role.PREFILL and not steps.stable.all():
            return Binding.KV_CACHE if self.curve.kv_bound else Binding.THROUGHPUT
        losses = {
            Binding.TTFT: self._loss(waits, steps, "ttft_s"),
            Binding.ITL: self._loss(waits, steps, "itl_s"),
            Binding.E2E: self._loss(waits, steps, "e2e_s"),
        }
        worst = max(losses, key=lambda b: losses[b])
        return worst if losses[worst] > 1e-9 else Binding.THROUGHPUT

    def _loss(self, waits: Waits, steps: Steps, limit: str) -> float:
        total = 0.0
        for i, c in enumerate(self.classes):
            value = getattr(c.slo, limit)
            if value is not None:
                alone = replace(c, slo=Slo(**{limit: value}))
                total += float((self.rates[:, i] * (1.0 - _kept(alone, waits, steps))).sum())
        return total

    def _tail(self, replicas: int, scenario: int) -> WaitTail:
        rates = self.prefill_rates[scenario]
        rate = float(rates.sum())
        if rate < _NO_RATE_RPS:
            return WaitTail(0.0, math.inf, 0.0)
        mean = float(rates @ self.work_s) / rate
        cv2 = max(float(rates @ self.work_squared) / rate / mean**2 - 1.0, 0.0)
        prompts, extra_s = self._prompts(replicas, scenario), 0.0
        if self.aggregated:
            # A prompt's iteration carries the running batch along: what a step takes beyond an idle one.
            extra_s = self.curve.at(self.steps(replicas).states[scenario].batch) - self.curve.at(1.0)
        tail = wait_tail(replicas, rate, mean + extra_s, cv2, self.router, self.arrival_cv2)
        held, iteration_s = (float(x) for x in prompts.iteration(np.array(extra_s)))
        if self.router is Router.ROUND_ROBIN and held <= 1.0:
            return tail  # arrivals that take turns keep clear of each other
        alone_s = prompts.alone_s + extra_s
        return bulk(tail, replicas, prompts.rate_rps / held, iteration_s, alone_s, self.router)

    def _prompts(self, replicas: int, scenario: int) -> PromptLoad:
        """Return what one replica gets to prefill in a scenario."""
        rates = self.prefill_rates[scenario]
        rate = float(rates.sum())
        if rate < _NO_RATE_RPS:
            return PromptLoad(0.0, 0.0, 0.0)
        alone_s = float(rates @ self.iteration_s) / rate
        return PromptLoad(rate / replicas, alone_s, min(float(rates @ self.further_s) / rate, alone_s))

    def _decode_cv2(self, replicas: int) -> float:
        if self.router is Router.ROUND_ROBIN:
            return self.arrival_cv2 / replicas
        return self.arrival_cv2

    def prefill_count(self, fleet: Mapping[Role, int]) -> int:
        """Return the replicas that prefill."""
        return fleet[Role.AGGREGATED if self.aggregated else Role.PREFILL]

    def decode_count(self, fleet: Mapping[Role, int]) -> int:
        """Return the replicas that decode."""
        return fleet[Role.AGGREGATED if self.aggregated else Role.DECODE]


def batch_points(states: Sequence[DecodeState]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the batches at which states are integrated, and which are within the limit: (states, points)."""
    mean, width, limit = np.array([(s.batch, s.spread, s.limit) for s in states]).T[:, :, None]
    wanted = np.maximum(mean + width * _BATCH_Z, 1.0)
    return np.minimum(wanted, limit), wanted <= limit


def _arrays(layout: LayoutProfile, load: ClassLoad, first_steps: float) -> _ClassArrays:
    work = prefill_work(layout, load.mix)
    osl = np.array([a.osl_tokens for a in load.mix.atoms])
    return _ClassArrays(load.request_class.slo, work.weight, work.alone_s, osl, work, first_steps)


def _kept(c: _ClassArrays, waits: Waits, steps: Steps) -> Floats:
    """Integrate P(TTFT, TPOT and end-to-end all kept) over batch points and atoms, shape (scenarios,).

    The three share one batch and one wait, so the joint probability is taken given both, not as a product.
    """
    itl = steps.itl_s[:, :, None]
    first_s = c.alone_s[None, None, :] + c.first_steps * itl
    slack = np.full(np.broadcast_shapes(itl.shape, (1, 1, c.weight.size)), 1e9)
    if c.slo.ttft_s is not None:
        slack = c.slo.ttft_s - first_s
    if c.slo.e2e_s is not None:
        slack = np.minimum(slack, c.slo.e2e_s - first_s - np.maximum(c.osl_tokens - 1.0, 0.0) * itl)
    kept = np.where(slack >= 0.0, 1.0 - waits.beyond(np.maximum(slack, 0.0)), 0.0)
    if c.slo.ttft_s is not None or c.slo.e2e_s is not None:
        kept = np.where(steps.admitted[:, :, None], kept, 0.0)
    if c.slo.itl_s is not None:
        kept = np.where(itl <= c.slo.itl_s, kept, 0.0)
    result: Floats = np.einsum("szA,z,A->s", kept, BATCH_WEIGHT, c.weight)
    return result
