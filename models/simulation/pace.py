"""Read a layout's surfaces at the speed of the event loop."""

from bisect import bisect_right

from models.artifact import LayoutProfile


class StepPace:
    """Read the time of one decode step, as `Surface.at` does, from one cached line per batch size.

    Batches are whole numbers, so that the interpolation over batch is done once for each of them.
    """

    __slots__ = ("_axis", "_floor_s", "_last", "_lines", "_surface")

    def __init__(self, layout: LayoutProfile) -> None:
        """Take the layout's decode surface; raises ValueError when it has none."""
        if layout.decode is None:
            raise ValueError(f"layout {layout.key} has no decode surface")
        self._surface = layout.decode
        self._axis = layout.decode.x
        self._last = max(len(self._axis) - 2, 0)
        self._floor_s = layout.decode.values_s[0][0] * 0.1
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
        values = [self._surface.at(x, batch) for x in axis]
        if len(axis) == 1:
            return values, [0.0]
        slopes = [(b - a) / (v - u) for u, v, a, b in zip(axis, axis[1:], values, values[1:], strict=False)]
        return [a - s * x for a, s, x in zip(values, slopes, axis, strict=False)], slopes


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
