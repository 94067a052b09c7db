"""Infer from observed latencies how much slower replicas are than their surfaces."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from models.capacity.fleet import FleetModel
from models.capacity.mixed import MixedSteps
from models.capacity.prefill import PromptLoad

# From this probability of waiting on a TTFT says more about the queue than about prompts.
MOST_WAITING = 0.5
# Between these a ratio is sought, to within 1 %; one at either end says that something else is wrong.
FASTEST, SLOWEST = 0.5, 3.0
_ROUNDS, _EDGE = 8, 1.02


def decode_ratio(model: FleetModel, replicas: int, itl_s: float) -> float | None:
    """Return observed over predicted ITL at the batch that was there; `None` without a load.

    The batch follows from the observation itself, n = x * ITL (Little): predicting it from the surface would
    count a slow surface twice, once in the steps and once in the batch that they make. `itl_s` is the mean
    over tokens.
    """
    state, curve = model.decode_state(np.array([replicas])), model.curve
    tokens = model.decode_rates[0] @ model.osl_tokens / replicas
    if tokens <= 0 or not state.stable[0, 0]:
        return None
    seen = max(tokens * itl_s + float(state.seen[0, 0] - state.batch[0, 0]), 1.0)
    batch = np.array([min(seen, curve.limit)])
    if not model.aggregated:
        return itl_s / float(curve.over(batch)[0])
    one = model.prompts
    prompts = PromptLoad(one.rate_rps[0] / replicas, one.alone_s[0], one.further_s[0])
    return itl_s / float(MixedSteps(curve, prompts).itl_s(batch)[0])


def prefill_ratio(
    slower: Callable[[float], FleetModel], replicas: int, ttft_s: Sequence[float | None], itl_s: float
) -> float | None:
    """Return observed over predicted engine time of prompts; `None` where most of a TTFT would be queueing.

    `slower(ratio)` is the model with prefill that takes `ratio` times as long, `ttft_s` the mean TTFT of each
    of its classes. The queue is modelled out: sought is the ratio at which prompts and the wait that they
    make for each other add up to what was seen. What is neither (overhead, hand-over, the first decode steps)
    is taken off.
    """
    low, high = FASTEST, SLOWEST
    for _ in range(_ROUNDS):
        middle = math.sqrt(low * high)
        model = slower(middle)
        waits = model.waits(replicas)
        over_s = _excess_s(model, float(waits.mean_s[0]), ttft_s, itl_s)
        if over_s is None:
            return None
        low, high = (middle, high) if over_s > 0 else (low, middle)
    waits = slower(low).waits(replicas)
    outside = high <= FASTEST * _EDGE or low >= SLOWEST / _EDGE
    return None if outside or waits.probability[0] > MOST_WAITING else math.sqrt(low * high)


def _excess_s(model: FleetModel, wait_s: float, ttft_s: Sequence[float | None], itl_s: float) -> float | None:
    """Return by how much observed TTFTs exceed the model's, by rate; `None` without any."""
    total = weight = 0.0
    for i, observed_s in enumerate(ttft_s):
        if observed_s is not None:
            said_s = model.classes[i].work.mean_alone_s + wait_s + model.first_steps * itl_s
            total += float(model.rates[0, i]) * (observed_s - said_s)
            weight += float(model.rates[0, i])
    return total / weight if weight > 0 else None
