"""Estimate how long requests are from what Dynamo's replay tells: means of completions, and single passes."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mix import RequestMix
from planner.observe.replay_passes import Pass, number

Floats = NDArray[np.float64]

# Windows are merged until they hold so many completions: a mean of lengths as spread as real ones is then
# known to 5 %. None counts for longer than ten minutes while there are newer ones.
ENOUGH = 400
LONGEST_S = 600.0
# So many single prompts make the distribution of lengths; from a few on it is believed.
PROMPTS, FEWEST_PROMPTS = 600, 40
# A mix costs a millisecond and moves little: one a minute.
MIX_S = 60.0
# How much of the mean context in the running batches is the latest look's.
CONTEXT_SHARE = 0.1
# The spread of outputs is told by that context only roughly: it is kept within what real traffic shows.
LEAST_CV2, MOST_CV2 = 0.1, 4.0
_CORRECTIONS = 2


@dataclass(frozen=True, slots=True)
class Means:
    """Hold mean lengths in tokens: prompt, output, and the share of the prompt found in a prefix cache."""

    isl_tokens: float
    osl_tokens: float
    cached_ratio: float = 0.0

    @property
    def prefill_tokens(self) -> float:
        """Prompt tokens to compute."""
        return max(self.isl_tokens * (1.0 - self.cached_ratio), 1.0)


@dataclass(frozen=True, slots=True)
class _Window:
    at_s: float
    completed: float
    isl: float
    osl: float
    admitted: float
    cached: float


class Lengths:
    """Merge windows of completions, and keep the prompts and batches that single passes show.

    The replay tells means alone. How prompts spread around theirs is taken from the prompts that prefill
    workers were seen with: which pass is the latest at a tick does not depend on its own length. How outputs
    spread follows from the mean context m of the running batches, which is length-biased:
    m = (E[ISL*OSL] + E[OSL^2]/2) / E[OSL], prompt and output taken as independent.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._windows: deque[_Window] = deque()
        self._prompts: deque[float] = deque(maxlen=PROMPTS)
        self._shown: dict[object, float] = {}
        self._context: float | None = None
        self._mix: RequestMix | None = None
        self._mixed_s = -np.inf

    def absorb(
        self, now_s: float, traffic: Mapping[str, Any], prefill: Sequence[Pass], decode: Sequence[Pass]
    ) -> None:
        """Take in one tick's window and passes; a window in which nothing completed says nothing."""
        completed, admitted = number(traffic, "shape_count"), number(traffic, "hit_rate_count")
        if completed > 0:
            isl, osl = number(traffic, "avg_isl"), number(traffic, "avg_osl")
            cached = number(traffic, "avg_kv_hit_rate") if admitted > 0 else 0.0
            self._windows.append(_Window(now_s, completed, isl, osl, admitted, cached))
        self._forget(now_s)
        for each in prefill:
            # An idle worker repeats its last pass: one prompt counts once.
            if each.requests == 1 and each.tokens > 0 and self._shown.get(each.worker) != each.tokens:
                self._prompts.append(each.tokens)
                self._shown[each.worker] = each.tokens
        running = sum(each.requests for each in decode)
        if running:
            seen = sum(each.tokens for each in decode) / running
            before = seen if self._context is None else self._context
            self._context = before + CONTEXT_SHARE * (seen - before)

    def mean(self) -> Means | None:
        """Return the mean lengths of recent completions; `None` before the first."""
        completed = sum(w.completed for w in self._windows)
        if not completed:
            return None
        admitted = sum(w.admitted for w in self._windows)
        return Means(
            sum(w.completed * w.isl for w in self._windows) / completed,
            sum(w.completed * w.osl for w in self._windows) / completed,
            sum(w.admitted * w.cached for w in self._windows) / admitted if admitted else 0.0,
        )

    def mix(self, now_s: float) -> RequestMix | None:
        """Return the joint lengths of recent requests, at most `MIX_S` old; `None` before the first."""
        mean = self.mean()
        if mean is not None and now_s - self._mixed_s >= MIX_S:
            self._mix, self._mixed_s = self._spread(mean), now_s
        return self._mix

    def _spread(self, mean: Means) -> RequestMix:
        cached = mean.isl_tokens * mean.cached_ratio
        if len(self._prompts) < FEWEST_PROMPTS:
            return RequestMix.constant(mean.isl_tokens, mean.osl_tokens, cached)
        prompts = np.array(self._prompts)
        isl = prompts * (mean.isl_tokens / prompts.mean())
        wanted = cv2 = 1.0
        if self._context is not None:
            wanted = cv2 = min(max(_output_cv2(self._context, mean), LEAST_CV2), MOST_CV2)
        mix = _mixed(isl, mean, cv2)
        for _ in range(_CORRECTIONS):
            # Atoms are means of bins and lose some of the tail that makes the context.
            kept = _output_cv2(mix.decode_context_tokens, mean)
            cv2 *= wanted / max(kept, wanted / 2.0)
            mix = _mixed(isl, mean, cv2)
        return mix

    def _forget(self, now_s: float) -> None:
        windows = self._windows
        held = sum(w.completed for w in windows)
        while len(windows) > 1 and (
            held - windows[0].completed >= ENOUGH or now_s - windows[0].at_s > LONGEST_S
        ):
            held -= windows.popleft().completed


def _output_cv2(context_tokens: float, mean: Means) -> float:
    """Return the squared coefficient of variation of outputs that makes a mean context."""
    return 2.0 * (context_tokens - mean.isl_tokens) / max(mean.osl_tokens, 1e-9) - 1.0


def _mixed(isl: Floats, mean: Means, cv2: float) -> RequestMix:
    osl = mean.osl_tokens * _outputs(isl.size, cv2)
    return RequestMix.from_samples(isl, osl, isl * mean.cached_ratio)


def _outputs(count: int, cv2: float) -> Floats:
    """Return `count` log-normal factors of mean 1, evenly over the distribution, in an order that is none."""
    factors = np.exp(np.sqrt(np.log1p(cv2)) * _normal(count))
    return np.asarray(factors / factors.mean(), dtype=np.float64)


@lru_cache(maxsize=4)
def _normal(count: int) -> Floats:
    """Return the standard normal quantiles at the middles of `count` equal shares, shuffled for good."""
    places = (np.random.default_rng(0).permutation(count) + 0.5) / count
    return np.array([NormalDist().inv_cdf(p) for p in places.tolist()])
