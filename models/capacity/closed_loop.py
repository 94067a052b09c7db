"""Predict a closed loop: a fixed number of users, each of whom sends the next request when one ends."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.batches import BATCH_WEIGHT, cells
from models.capacity.decode import DecodeState
from models.capacity.fleet import FleetModel, Floats
from models.capacity.kept import Steps
from models.capacity.load import ClassLoad
from models.capacity.mixed import MixedSteps
from models.capacity.predict import Prediction, describe
from models.capacity.prefill import PromptLoad
from models.capacity.waiting import WaitTail, bulk, busy_share, wait_tail
from models.mix import RequestMix
from models.values import RequestClass, Role, Router

_ROUNDS = 50
_EXACT = 1e-10
_NEVER_PER_S = 1e12


def predict_closed(
    request_class: RequestClass,
    mix: RequestMix,
    concurrency: float,
    fleet: Mapping[Role, tuple[LayoutProfile, int]],
    router: Router = Router.LOAD,
) -> Prediction:
    """Return the steady state of `concurrency` users on a fleet.

    A closed network: users decode, or wait for and are in prefill, or are between the two (Little's law for
    each). Approximate mean value analysis (Bard 1979, Schweitzer 1979): a user meets the queue and the batch
    that the other N - 1 would make, (N - 1)/N of the load. So one user alone meets nobody, and the
    queue never grows beyond the users: at saturation the bottleneck sets the rate and everybody else waits.

    Raises ValueError when the roles are neither prefill and decode nor aggregated.
    """
    layouts = {role: layout for role, (layout, _) in fleet.items()}
    counts = {role: n for role, (_, n) in fleet.items()}
    loop = _Loop(
        FleetModel(layouts, [[ClassLoad.steady(request_class, 1.0, mix)]], router), counts, concurrency
    )
    found = loop.settle()
    model = FleetModel(layouts, [[ClassLoad.steady(request_class, found.rate_rps, mix)]], router)
    model.assume(counts, loop.waits(found), loop.steps(found))
    return describe(model, counts)


@dataclass(frozen=True, slots=True)
class _Flow:
    """Describe the loop with `decoding` users in decode: requests per second, the batch, the prefill queue.

    `held` counts the users that all this accounts for.
    """

    decoding: float
    rate_rps: float
    state: DecodeState
    edges_s: Floats
    tail: WaitTail
    held: float


class _Loop:
    """Balance N users over the stations of one fleet."""

    def __init__(self, model: FleetModel, counts: Mapping[Role, int], users: float) -> None:
        self.model, self.users = model, users
        self.prefills, self.decodes = model.prefill_count(counts), model.decode_count(counts)
        # A user meets the load of the others; those beyond the places in decode only lengthen the queue.
        self.others = max(users - 1.0, 0.0) / users
        self.places = self.decodes * model.curve.limit
        decoders = min(users, self.places)
        self.other_decoders = max(decoders - 1.0, 0.0) / decoders
        work, osl = model.classes[0].work, model.classes[0].osl_tokens
        self.fixed_s = work.mean_alone_s
        self.work_s, self.alone_s = work.mean_service_s, float(model.iteration_s[0])
        self.more_s = min(work.mean_further_s, self.alone_s)
        self.service_cv2 = max(work.mean_service_squared / self.work_s**2 - 1.0, 0.0)
        saved_s = self.work_s - self.more_s
        self.full_prompts = max((self.alone_s - self.more_s) / saved_s, 1.0) if saved_s > 0 else 1.0
        self.stay_steps = float(work.weight @ np.maximum(osl - 1.0, 0.0)) + model.first_steps
        self.osl_deviation = math.sqrt(max(float(work.weight @ osl**2) - float(work.weight @ osl) ** 2, 0.0))

    def settle(self) -> _Flow:
        """Return the flow that holds all users, or the largest that the fleet carries."""
        low, high = 0.0, min(self.users, self.places)
        best = self.flow(high)
        if best is not None and best.held <= self.users:
            return best
        best = None
        for _ in range(_ROUNDS):
            middle = (low + high) / 2
            flow = self.flow(middle)
            if flow is None or flow.held > self.users:
                high = middle
            else:
                low, best = middle, flow
        if best is None:
            raise ValueError(f"no flow was found for {self.users:g} users")
        return best

    def flow(self, decoding: float) -> _Flow | None:
        """Return the flow with so many users in decode; None when prefill cannot keep it up."""
        state = self._batch(decoding)
        edges = cells(state).edges
        extra_s = 0.0
        if self.model.aggregated:
            # An iteration that holds prompts carries a step of the batch along, beyond an idle one.
            curve = self.model.curve
            extra_s = (curve.at(float(state.batch)) - curve.at(1.0)) * curve.accepted_tokens
        most_rps = self.prefills / (self.work_s + extra_s / self.full_prompts)
        if self.model.aggregated:
            rate = self._mixed_rate(decoding, edges, most_rps)
            edges_s = self._mixed(rate, edges).itl_s(edges)
        else:
            edges_s = self.model.curve.over(edges)
            rate = decoding / (self.stay_steps * _mean(edges_s))
        if rate >= most_rps:
            return None
        tail = self._tail(rate, extra_s, _mean(edges_s))
        held = decoding + rate * (self.fixed_s + float(tail.mean_s))
        return _Flow(decoding, rate, state, edges_s, tail, held)

    def waits(self, flow: _Flow) -> WaitTail:
        """Return the wait for prefill; users whom the fleet cannot carry wait on top.

        A wait varies no more than the number of users in decode, who are the ones not waiting: a queue of
        most users is long but steady.
        """
        tail = flow.tail
        left_s = (self.users - flow.held) / flow.rate_rps
        if left_s > 1e-6 * self.users / flow.rate_rps:
            tail = _steady(1.0 / (tail.mean_s + left_s))
        steady_s = max(math.sqrt(self._varied(flow.decoding)) / flow.rate_rps, float(tail.mean_residual_s))
        if tail.rate_per_s * steady_s < 1.0:
            late_s = 1.0 / tail.rate_per_s - steady_s
            tail = replace(
                tail, rate_per_s=np.asarray(1.0 / max(steady_s, 1e-12)), shared_s=tail.shared_s + late_s
            )
        used = min(flow.rate_rps * self.work_s / self.prefills, 1.0 - 1e-9)
        rate_per_s = np.minimum(tail.rate_per_s, _NEVER_PER_S)
        one = replace(tail, rate_per_s=rate_per_s, utilisation=np.asarray(used))
        return WaitTail(*(np.reshape(getattr(one, f.name), 1) for f in fields(one)))

    def steps(self, flow: _Flow) -> Steps:
        """Return the decode batch; nobody who got so far waits for a place in it."""
        used = min(flow.decoding / self.places, 1.0)
        batch, edges_s = np.reshape(flow.state.batch, 1), flow.edges_s[None, :]
        places, yes, apart = (
            np.ones((1, BATCH_WEIGHT.size)),
            np.array([True]),
            np.array([float(self.decodes)]),
        )
        return Steps(
            edges_s, places, yes, np.array([used]), batch, np.zeros(1), self.model.apart(apart), np.zeros(1)
        )

    def _batch(self, decoding: float) -> DecodeState:
        """Return the batch that a decoding user is part of on one replica, itself included."""
        curve, router = self.model.curve, self.model.router
        others = self.other_decoders * decoding
        varied = self._varied(decoding) / self.decodes**2
        if router is Router.RANDOM:
            seen = 1.0 + others / self.decodes
            varied += others / self.decodes * (1.0 - 1.0 / self.decodes)
        else:
            seen = max((1.0 + others) / self.decodes, 1.0)
        seen = min(seen, curve.limit)
        yes, none = np.array(True), np.zeros(())
        met, spread = np.asarray(seen), np.asarray(math.sqrt(varied))
        return DecodeState(met, met, spread, curve.limit, yes, curve.kv_bound, none, none)

    def _varied(self, decoding: float) -> float:
        """Return the variance of the number of others in decode: each is there or is not, on its own."""
        return max(self.others * decoding * (1.0 - decoding / self.users), 0.0)

    def _mixed(self, rate_rps: float, edges: Floats) -> MixedSteps:
        """Return the steps of a decoding user among the prompts of the others."""
        spread = self._spread(rate_rps, _mean(self.model.curve.over(edges)))
        met_rps = self.other_decoders * rate_rps / self.prefills
        return MixedSteps(self.model.curve, self._prompts(met_rps, spread))

    def _mixed_rate(self, decoding: float, edges: Floats, most_rps: float) -> float:
        """Solve n = x * OSL * ITL(n, x): the prompts of the rate itself slow the steps."""

        def beyond(rate_rps: float) -> float:
            itl_s = _mean(self._mixed(rate_rps, edges).itl_s(edges))
            return rate_rps * self.stay_steps * itl_s / decoding - 1.0

        return _crossing(beyond, most_rps)

    def _spread(self, rate_rps: float, itl_s: float) -> float:
        """Return how far different lengths spread users over the time between two: 0 in step, 1 at random."""
        spread_s = itl_s * self.osl_deviation + math.sqrt(self.service_cv2) * self.work_s
        return min(rate_rps * spread_s, 1.0)

    def _prompts(self, met_rps: float, spread: float) -> PromptLoad:
        """Return the prompts that one replica gets from the others.

        An aggregated replica takes waiting prompts in at the boundary of a step: users who were taken in
        together and have the same lengths come back together, for ever.
        """
        together = 1.0
        if self.model.aggregated:
            others = max(self.others * self.users / self.prefills, 1.0)
            together += (1.0 - spread) * (min(self.full_prompts, others) - 1.0)
        return PromptLoad(met_rps, self.alone_s, self.more_s, together)

    def _tail(self, rate_rps: float, extra_s: float, itl_s: float) -> WaitTail:
        """Return the prefill queue that the other users make.

        A closed loop adds no randomness of its own: users whose requests are all alike come back as evenly as
        they were served. Lengths that spread them over more than the time between two make them a Poisson
        stream.
        """
        met_rps = self.others * rate_rps
        spread = self._spread(rate_rps, itl_s)
        service_s = self.work_s + extra_s / self.full_prompts
        router, prompts = self.model.router, self._prompts(met_rps / self.prefills, spread)
        held, iteration_s = (float(x) for x in prompts.iteration(np.array(extra_s)))
        busy = busy_share(prompts.rate_rps / held, iteration_s)
        tail = wait_tail(self.prefills, met_rps, service_s, self.service_cv2, router, spread, busy)
        shared = bulk(tail, busy, iteration_s, self.alone_s + extra_s, router)
        if router is not Router.LOAD and shared is not tail:
            # Evenly spaced arrivals hardly ever queue, however many of them meet an iteration.
            rate_per_s = tail.rate_per_s * shared.probability / np.maximum(tail.probability, 1e-12)
            shared = replace(shared, rate_per_s=rate_per_s)
        if prompts.together == 1.0:
            return shared
        together_s = (prompts.together - 1.0) * prompts.more_s
        return _steady(1.0 / np.maximum(shared.mean_s, 1e-12), together_s, shared.utilisation)


def _mean(edges_s: Floats) -> float:
    """Return the mean over cells of a batch, from their edges."""
    return float((edges_s[..., 1:] + edges_s[..., :-1]) @ BATCH_WEIGHT) / 2.0


def _steady(
    rate_per_s: Floats, shared_s: Floats | float = 0.0, utilisation: Floats | float = 1.0
) -> WaitTail:
    """Return the tail of a wait that spares nobody."""
    values = (1.0, rate_per_s, utilisation, 0.0, 1.0, shared_s, 1.0)
    return WaitTail(*(np.asarray(value) for value in values))


def _crossing(rising: Callable[[float], float], high: float) -> float:
    """Return where a function that rises from -1 at 0 crosses 0, at most `high` (Illinois false position)."""
    low, below, above = 0.0, -1.0, rising(high)
    x, side = high, 0
    for _ in range(_ROUNDS if above > 0.0 else 0):
        x = (low * above - high * below) / (above - below)
        value = rising(x)
        if abs(value) < _EXACT:
            break
        if value > 0.0:
            high, above = x, value
            below, side = (below / 2.0 if side > 0 else below), 1
        else:
            low, below = x, value
            above, side = (above / 2.0 if side < 0 else above), -1
    return x
