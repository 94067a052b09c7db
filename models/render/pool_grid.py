"""Lay out how a pool of GPUs is shared: who needs what, who gets what, and why."""

from collections.abc import Sequence

from models.decision import Record
from models.gpu_pool import PoolShare
from models.render.grid import Column, Grid

_Row = tuple[str, PoolShare]


def pool_grids(records: Sequence[Record]) -> list[Grid]:
    """Return a table for each pool that these deployments share, in the order of their records."""
    by_pool: dict[str, list[_Row]] = {}
    for record in records:
        if record.share is not None:
            by_pool.setdefault(record.share.pool, []).append((record.deployment, record.share))
    return [_pool_grid(rows) for rows in by_pool.values()]


def _pool_grid(rows: Sequence[_Row]) -> Grid:
    first = rows[0][1]
    columns = (
        Column("deployment"),
        Column("priority", "the higher number goes first", numeric=True),
        Column("guaranteed", "GPUs that are its own as far as it needs them", numeric=True),
        Column("needs", "GPUs that keep its promises", numeric=True),
        Column("share", "GPUs that it may take", numeric=True),
        Column("holds", "GPUs that it occupies now, starting and draining replicas included", numeric=True),
    )
    cells = tuple(
        (name, *map(str, (s.priority, s.guaranteed_gpus, s.needed_gpus, s.gpus, s.held_gpus)))
        for name, s in rows
    )
    strong = frozenset(i for i, (_, share) in enumerate(rows) if share.binds)
    notes = tuple(f"{name}: {share.sentence}." for name, share in rows)
    return Grid(f"Pool {first.pool}, {first.pool_gpus} GPUs", columns, cells, notes, strong)
