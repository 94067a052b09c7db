"""Lay out who competed in a profile's selection, and why each lost."""

from models.artifact import Contender, Profile
from models.render.formats import UNKNOWN, number, share
from models.render.grid import Column, Grid


def ranking_grid(profile: Profile) -> Grid:
    """Lay out the best pairings, the winner first and strong."""
    chosen = profile.artifact.selection
    ranking = chosen.ranking if chosen else ()
    columns = (
        Column("pairing"),
        Column("replicas", "of the smallest fleet that keeps the promise"),
        Column("gpus", "that this fleet takes", numeric=True),
        Column("attainment", "requests that keep the promise, of all", numeric=True),
        Column("goodput rps/gpu", "requests per second that keep the promise, per GPU", numeric=True),
        Column("why it lost"),
    )
    rows = tuple(_row(contender, first=i == 0) for i, contender in enumerate(ranking))
    return Grid("Ranking", columns, rows, strong=frozenset({0}) if rows else frozenset())


def _row(contender: Contender, first: bool) -> tuple[str, ...]:
    counts = " + ".join(str(n) for n in contender.replicas.values())
    return (
        contender.name,
        counts or UNKNOWN,
        str(contender.gpus),
        share(contender.attainment),
        number(contender.goodput_rps_per_gpu),
        contender.lost or ("selected" if first else UNKNOWN),
    )
