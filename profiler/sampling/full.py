"""Measure the whole grid, and fit its surface."""

from dataclasses import dataclass, replace

from models.scattered import Sampled
from profiler.fitting import fit
from profiler.measure.backend import Measurement, Replica
from profiler.tasks import Ask, Grid, IsLost, Lost

# Half-width of a 95 % band over the mean absolute error of a normal distribution: 1.96 * sqrt(pi / 2).
FILLED_IN = 2.457


@dataclass(frozen=True, slots=True)
class Full:
    """Ask for every point; those of `computed` times need not be kept beside the surface."""

    computed: bool

    def __call__(self, grid: Grid, ask: Ask, replica: Replica, lost: IsLost) -> Sampled | Lost:
        """Return the surface of the grid; raises ValueError when too few points could be measured.

        Its band is each point's own interval, and the cross-validated error where a point was filled in.
        """
        asked = [
            [(point, ask(point)) for point in (grid.point(x, y) for y in grid.batches)] for x in grid.tokens
        ]
        rows = [[r.seconds if isinstance(r, Measurement) else None for _, r in row] for row in asked]
        surface = replace(
            fit(grid.tokens, grid.batches, rows, self.computed),
            bounds=dict(replica.bounds).get(grid.phase),
        )
        if self.computed:
            return Sampled(surface)
        filled_in = FILLED_IN * surface.relative_error
        band = tuple(
            tuple(r.error_s / r.seconds if isinstance(r, Measurement) else filled_in for _, r in row)
            for row in asked
        )
        surface = replace(surface, band_ratio=band)
        measured = tuple(
            result.at(point).against(surface)
            for row in asked
            for point, result in row
            if isinstance(result, Measurement)
        )
        return Sampled(surface, measured)
