"""Predict attainment of a fleet: waiting, prefill and decode together, per class and load scenario."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.artifact import LayoutProfile
from models.capacity.batches import BATCH_WEIGHT, cells
from models.capacity.decode import DecodeState, decode_curve
from models.capacity.kept import Steps, kept_share, request_group
from models.capacity.load import ClassLoad, Loads
from models.capacity.mixed import MixedSteps
from models.capacity.prefill import PromptLoad, blend, prefill_work
from models.capacity.rows import Rows
from models.capacity.waiting import WaitTail, bulk, busy_share, stretched, wait_tail
from models.values import Binding, Role, Router

Floats = NDArray[np.float64]
# Replicas of a role: a number, or an array with an element per fleet.
Counts = TypeVar("Counts")

# The utilisation that a throughput-only class may count on: nearer to 1 a queue outlasts every forecast.
SUSTAINED = 0.97


_WAIT_FIELDS = tuple(f.name for f in fields(WaitTail))


class FleetModel:
    """Evaluate fleets of fixed layouts under several load scenarios at once.

    A scenario holds one rate per class; all scenarios share the classes' mixes. Rates are arrays of shape
    (scenarios, classes). Results per replica count are kept, so that a search over counts costs one
    evaluation per new count.
    """

    def __init__(
        self,
        layouts: Mapping[Role, LayoutProfile],
        scenarios: Loads | Sequence[Sequence[ClassLoad]],
        router: Router,
        arrival_cv2: float | None = None,
    ) -> None:
        """Prepare a model; `arrival_cv2` replaces that of the loads.

        Raises ValueError when roles or scenarios do not make a fleet.
        """
        if set(layouts) not in ({Role.PREFILL, Role.DECODE}, {Role.AGGREGATED}):
            raise ValueError(f"a fleet is prefill and decode, or aggregated; got {sorted(layouts)}")
        loads = scenarios if isinstance(scenarios, Loads) else Loads.of(scenarios)
        self.layouts = dict(layouts)
        self.router = router
        self.arrival_cv2 = loads.arrival_cv2 if arrival_cv2 is None else arrival_cv2
        self.aggregated = Role.AGGREGATED in layouts
        self.prefill_layout = layouts[Role.AGGREGATED if self.aggregated else Role.PREFILL]
        self.decode_layout = layouts[Role.AGGREGATED if self.aggregated else Role.DECODE]
        self.loads, self.names = loads, tuple(c.name for c in loads.classes)
        self.rates, self.prefill_rates, self.decode_rates = (
            loads.rate_rps,
            loads.prefill_rps,
            loads.decode_rps,
        )
        # The first streamed token comes out of the first decode step, behind those of the hand-over.
        # With speculation a step takes the ITL of each token that it emits.
        steps = 1.0 + (0.0 if self.aggregated else self.decode_layout.handover_steps)
        self.first_steps = steps * self.decode_layout.features.accepted_tokens
        middle = self.decode_rates[len(loads) // 2].tolist()
        self.curve = decode_curve(self.decode_layout, list(zip(middle, loads.mixes, strict=True)))
        self.osl_tokens = np.array([mix.mean_osl_tokens for mix in loads.mixes])
        tokens, requests = float(middle @ self.osl_tokens), sum(middle)
        self.classes = tuple(
            request_group(
                slo,
                mix,
                prefill_work(self.prefill_layout, mix),
                self.curve,
                tokens / max(requests, 1e-9),
                self.first_steps,
            )
            for slo, mix in zip((c.slo for c in loads.classes), loads.mixes, strict=True)
        )
        self.extrapolated = self.curve.extrapolated or any(c.work.extrapolated for c in self.classes)
        works = [c.work for c in self.classes]
        self.work_s = np.array([work.mean_service_s for work in works])
        alone_s = np.array([work.mean_alone_s - work.mean_handover_s for work in works])
        self.iteration_s = alone_s - self.prefill_layout.overhead_s
        self.prompts = blend(self.prefill_rates, works, self.prefill_layout.overhead_s)
        self._waits, self._steps = Rows(self._evaluate_waits), Rows(self._evaluate_steps)
        self._alone = {role: Rows(partial(self._evaluate_alone, role)) for role in layouts}
        self._ample = self._unbounded()
        # What a fleet without end attains under any load, shape (classes,).
        self.ceiling = self.attainment_of(*self._ample)[0]

    def offered(self, role: Role) -> float:
        """Return the replicas that the heaviest scenario would keep busy without a break."""
        return float(self.busy(role).max())

    def busy(self, role: Role) -> Floats:
        """Return the replicas that each scenario would keep busy without a break, shape (scenarios,)."""
        decode: Floats = self.decode_rates @ self.osl_tokens / self.curve.capacity_per_s
        if role is Role.DECODE:
            return decode
        prefill: Floats = self.prefill_rates @ self.work_s
        return prefill if role is Role.PREFILL else prefill + decode

    def waits(self, replicas: ArrayLike) -> WaitTail:
        """Return the prefill queue of every scenario at replica counts, shape (*counts, scenarios)."""
        return WaitTail(*self._waits.of(replicas))

    def steps(self, replicas: ArrayLike) -> Steps:
        """Return the decode batch of every scenario at replica counts, shape (*counts, scenarios)."""
        return Steps(*self._steps.of(replicas))

    def assume(self, fleet: Mapping[Role, int], waits: WaitTail, steps: Steps) -> None:
        """Take this fleet's queue and batch as given, where they do not follow from an open load."""
        self._waits.put(
            self.prefill_count(fleet),
            tuple(getattr(waits, f.name) for f in fields(waits)),
        )
        self._steps.put(
            self.decode_count(fleet),
            tuple(getattr(steps, f.name) for f in fields(steps)),
        )

    def attainment(self, fleet: Mapping[Role, ArrayLike]) -> Floats:
        """Return the share of each class that keeps its promise, shape (*counts, scenarios, classes).

        A throughput-only class keeps it to the share that is served at all: 1 up to a sustained
        utilisation, falling with its inverse above. `fleet` holds a count per role, or arrays of them.
        """
        return self.attainment_of(self.waits(self.prefill_count(fleet)), self.steps(self.decode_count(fleet)))

    def attainment_of(self, waits: WaitTail, steps: Steps) -> Floats:
        """Return attainment for any combination of queue and batch, shape (*counts, scenarios, classes)."""
        busy = np.maximum(waits.utilisation, steps.utilisation)
        served = 1.0 / np.maximum(busy / SUSTAINED, 1.0)
        alive = (waits.utilisation < 1.0) & steps.stable
        out = np.empty((*busy.shape, len(self.classes)))
        for i, c in enumerate(self.classes):
            if c.slo.throughput_only:
                out[..., i] = served
            else:
                kept = kept_share(c, waits, steps, c.slo.ttft_s, c.slo.itl_s, c.slo.e2e_s)
                out[..., i] = alive * kept
        return out

    def expected(self, fleet: Mapping[Role, int], weights: Floats) -> tuple[float, dict[str, float]]:
        """Return E[rate * A] / E[rate] over scenarios of the given weights: in all, and per class."""
        overall, per_class = self.weigh(self.attainment(fleet), weights)
        return float(overall), dict(zip(self.names, per_class.tolist(), strict=True))

    def weigh(self, attained: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Average attainment of shape (..., scenarios, classes) over scenarios.

        Returns it over all classes, shape (...), and per class, shape (..., classes); 1 for what never comes.
        """
        mass = self.rates * weights[:, None]
        met, total = (mass * attained).sum(axis=-2), mass.sum(axis=0)
        everything = total.sum()
        overall = met.sum(axis=-1) / everything if everything > 0 else np.ones(met.shape[:-1])
        return overall, np.where(total > 0, met / np.where(total > 0, total, 1.0), 1.0)

    def alone(self, role: Role, replicas: ArrayLike) -> Floats:
        """Return attainment with so many replicas of `role` and no end of the other's."""
        return self._alone[role].of(replicas)[0]

    def _evaluate_alone(self, role: Role, replicas: NDArray[np.int64]) -> tuple[Floats]:
        waits, steps = self._ample
        if role is not Role.DECODE:
            waits = self.waits(replicas)
        if role is not Role.PREFILL:
            steps = self.steps(replicas)
        return (self.attainment_of(waits, steps),)

    def _unbounded(self) -> tuple[WaitTail, Steps]:
        """Return the queue and batch of an unbounded fleet: no wait, every sequence decodes alone.

        One scenario stands for all of them.
        """
        none, one = np.zeros(1), np.ones(1)
        alone_s = np.full((1, BATCH_WEIGHT.size + 1), self.curve.at(1.0))
        steps = Steps(alone_s, np.ones((1, BATCH_WEIGHT.size)), one > none, none, one, none, none, none)
        return WaitTail(none, one, none, none, one, none, one), steps

    def bindings(self, fleets: Mapping[Role, Mapping[Role, int]]) -> dict[Role, Binding]:
        """Name, per role, what its fleet would break first: the limit whose removal helps attainment most."""
        counts = {role: np.array([fleet[role] for fleet in fleets.values()]) for role in self.layouts}
        waits, steps = self.waits(self.prefill_count(counts)), self.steps(self.decode_count(counts))
        losses = {
            Binding.TTFT: self._losses(waits, steps, "ttft_s"),
            Binding.ITL: self._losses(waits, steps, "itl_s"),
            Binding.E2E: self._losses(waits, steps, "e2e_s"),
        }
        found = {}
        for i, role in enumerate(fleets):
            worst = max(losses, key=lambda binding: losses[binding][i])
            found[role] = worst if losses[worst][i] > 1e-9 else Binding.THROUGHPUT
            if role is not Role.DECODE and waits.utilisation[i].max() >= 1.0:
                found[role] = Binding.THROUGHPUT
            elif role is not Role.PREFILL and not steps.stable[i].all():
                found[role] = Binding.KV_CACHE if self.curve.kv_bound else Binding.THROUGHPUT
        return found

    def _losses(self, waits: WaitTail, steps: Steps, limit: str) -> Floats:
        """Return the requests per second that break one limit, summed over scenarios, shape (fleets,)."""
        total = np.zeros(waits.utilisation.shape[:-1])
        for i, c in enumerate(self.classes):
            value = getattr(c.slo, limit)
            if value is not None:
                kept = kept_share(c, waits, steps, **{limit: value})
                total += (self.rates[:, i] * (1.0 - kept)).sum(axis=-1)
        return total

    def _evaluate_waits(self, replicas: NDArray[np.int64]) -> tuple[Floats, ...]:
        servers, extra_s = replicas[:, None].astype(float), np.zeros((1, 1))
        if self.aggregated:
            # A prompt's iteration carries the running batch along: what a step takes beyond an idle one.
            extra_s = self.curve.over(self.steps(replicas).batch) - self.curve.at(1.0)
            extra_s = extra_s * self.curve.accepted_tokens
        prompts, mean_s = self._prompts(servers), self.prompts.mean_s + extra_s
        held, iteration_s = prompts.iteration(extra_s)
        iterations_per_s = prompts.rate_rps / held
        if self.router is Router.ROUND_ROBIN:
            # Arrivals that take turns keep clear of each other where one iteration holds one prompt.
            iterations_per_s = np.where(held > 1.0, iterations_per_s, 0.0)
        busy, rate_rps, cv2 = (
            busy_share(iterations_per_s, iteration_s),
            self.prompts.rate_rps,
            self.prompts.cv2,
        )
        tail = wait_tail(
            servers, rate_rps, mean_s, cv2, self.router, self.arrival_cv2, busy, self.prompts.together
        )
        tail = bulk(tail, busy, iteration_s, prompts.alone_s + extra_s, self.router)
        tail = stretched(tail, self.prompts.bulk_ratio)
        return tuple(getattr(tail, name) for name in _WAIT_FIELDS)

    def _evaluate_steps(self, replicas: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        state, mixed = self._settle(replicas)
        servers, cut = replicas[:, None].astype(float), cells(state)
        itl = self.curve.over(cut.edges) if mixed is None else mixed.itl_s(cut.edges)
        tilted = self.apart(servers)
        jolts = np.zeros_like(state.gain)
        if self.aggregated:
            one = self.prompts
            squared = one.rate_rps / servers * (1.0 + one.cv2) * one.mean_s**2
            jolts = squared * ((itl[..., 1:] + itl[..., :-1]) @ BATCH_WEIGHT / 2.0)
        return (
            itl,
            cut.admitted,
            state.stable,
            state.utilisation,
            state.batch,
            state.gain * tilted,
            tilted,
            jolts,
        )

    def decode_state(self, replicas: NDArray[np.int64]) -> DecodeState:
        """Return the batch that every scenario settles at, shape (counts, scenarios)."""
        return self._settle(replicas)[0]

    def _settle(self, replicas: NDArray[np.int64]) -> tuple[DecodeState, MixedSteps | None]:
        servers = replicas[:, None].astype(float)
        sharing = self.curve.sharing(self.router, servers, self.arrival_cv2)
        tokens = self.decode_rates @ self.osl_tokens / servers
        if not self.aggregated:
            return self.curve.settle(tokens, sharing), None
        # Batches are tried along an axis behind those of counts and scenarios.
        one, rate_rps = self.prompts, self.prompts.rate_rps / servers
        prompts = PromptLoad(rate_rps[..., None], one.alone_s[:, None], one.further_s[:, None])
        mixed = MixedSteps(self.curve, prompts)
        return mixed.settle(tokens[..., None], sharing), mixed

    def apart(self, servers: Floats) -> Floats:
        """Return which part of what happens to a replica's batch stays there: 1 where nothing balances.

        A router that balances tokens gives a long context the fewer neighbours, and mends what departures
        left uneven with the next arrival, which any replica may get.
        """
        return 1.0 / servers if self.router is Router.LOAD else np.ones_like(servers)

    def _prompts(self, servers: Floats) -> PromptLoad:
        """Return what each of so many replicas gets to prefill, per scenario along the last axis."""
        return PromptLoad(self.prompts.rate_rps / servers, self.prompts.alone_s, self.prompts.further_s)

    def prefill_count(self, fleet: Mapping[Role, Counts]) -> Counts:
        """Return the replicas that prefill."""
        return fleet[Role.AGGREGATED if self.aggregated else Role.PREFILL]

    def decode_count(self, fleet: Mapping[Role, Counts]) -> Counts:
        """Return the replicas that decode."""
        return fleet[Role.AGGREGATED if self.aggregated else Role.DECODE]
