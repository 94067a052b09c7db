"""Read a layout's surfaces at the speed of the event loop."""

from bisect import bisect_right

from models.artifact import LayoutProfile


def step_pace(layout: LayoutProfile) -> "StepPace":
    """Return the pace of a layout's steps: with a KV tier, of as many rounds as the device needs."""
    return StepPace(layout) if layout.features.tier is None else TurnsPace(layout)


class StepPace:
    """Read the time of one decode step, as `Surface.at` does, from one cached line per batch size.

    Batches are whole numbers, so that the interpolation over batch is done once for each of them. A step
    takes the surface's seconds per token for each token that it emits.
    """

    __slots__ = ("_accepted", "_axis", "_floor_s", "_last", "_lines", "_surface")

    def __init__(self, layout: LayoutProfile) -> None:
        """Take the layout's decode surface; raises ValueError when it has none."""
        if layout.decode is None:
            raise ValueError(f"layout {layout.key} has no decode surface")
        self._surface = layout.decode
        self._axis = layout.decode.x
        self._last = max(len(self._axis) - 2, 0)
        self._accepted = layout.features.accepted_tokens
        self._floor_s = layout.decode.values_s[0][0] * 0.1 * self._accepted
        self._lines: dict[int, tuple[list[float], list[float]]] = {}

    def at(self, context_tokens: float, batch: int) -> float:
        """Return the seconds of a step with `batch` sequences of `context_tokens` mean context."""
        line = self._lines.get(batch)
        if line is None:
            line = self._lines[batch] = self._line(batch)
        i = bisect_right(self._axis, context_tokens) - 1
        if i < 0:
            i = 0
        elif i > self._last:
            i = self._last
        seconds = line[0][i] + line[1][i] * context_tokens
        return max(seconds, self._floor_s)

    def _line(self, batch: int) -> tuple[list[float], list[float]]:
        """Return intercept and slope over context of each cell, at one batch size."""
        axis = self._axis
        values = [self._surface.at(x, batch) * self._accepted for x in axis]
        if len(axis) == 1:
            return values, [0.0]
        slopes = [(b - a) / (v - u) for u, v, a, b in zip(axis, axis[1:], values, values[1:], strict=False)]
        return [a - s * x for a, s, x in zip(values, slopes, axis, strict=False)], slopes


class TurnsPace(StepPace):
    """Read the time in which every sequence steps once, where the device holds them by turns.

    Each of batch / held rounds takes the step of those that the device holds, and what it does not hold is
    moved in once a turn. A restore needs the room that another leaves, so that it is not hidden behind steps.
    """

    __slots__ = ("_device", "_fixed", "_restore_s")

    def __init__(self, layout: LayoutProfile) -> None:
        """Take the layout's decode surface and KV tier; raises ValueError when it lacks one."""
        super().__init__(layout)
        tier = layout.features.tier
        if tier is None:
            raise ValueError(f"layout {layout.key} has no KV tier")
        self._device = layout.kv_capacity_tokens
        self._fixed = layout.kv_fixed_tokens
        self._restore_s = tier.s_per_token * self._accepted / tier.turn_tokens

    def at(self, context_tokens: float, batch: int) -> float:
        """Return the seconds in which each of `batch` sequences makes one step."""
        each = context_tokens + self._fixed
        resident = batch * each
        if resident <= self._device:
            return super().at(context_tokens, batch)
        held = max(self._device / each, 1.0)
        step_s = max(self._surface.at(context_tokens, held) * self._accepted, self._floor_s)
        return batch / held * step_s + (resident - self._device) * self._restore_s


class PrefillPace:
    """Read the time of one prefill iteration; single prompts, the common case, are remembered."""

    __slots__ = ("_alone", "_surface")

    def __init__(self, layout: LayoutProfile) -> None:
        """Take the layout's prefill surface; raises ValueError when it has none."""
        if layout.prefill is None:
            raise ValueError(f"layout {layout.key} has no prefill surface")
        self._surface = layout.prefill
        self._alone: dict[int, float] = {}

    def alone(self, tokens: int) -> float:
        """Return the seconds of an iteration that holds one prompt."""
        seconds = self._alone.get(tokens)
        if seconds is None:
            seconds = self._alone[tokens] = self._surface.at(tokens, 1.0)
        return seconds

    def together(self, total_tokens: int, squared_tokens: int) -> float:
        """Return the seconds of an iteration of several prompts, given the sums of lengths and squares.

        Attention costs by the square of a length: the prompts are read as equal ones of the token-weighted
        mean length, which keeps both the sum and the sum of squares.
        """
        length = squared_tokens / total_tokens
        return self._surface.at(length, total_tokens / length)
