"""Choose the model of a signal by what its forecasts would have cost, and say why.

The cost is the pinball loss at the operating level, from a rolling-origin backtest, horizon by horizon.
The choice is made again at each checkpoint of the backtest, starting from the simplest model, so that
hysteresis is a matter of the history alone: a restart makes the same choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.forecast.backtest import spacing
from models.series import Flags, Floats
from models.units import show_duration

# A challenger must save this share of the loss: below it the ranking of two days is chance.
MARGIN_RATIO = 0.02
# The loss of one day decides, looked at every six hours; a shorter look would switch with the time of day.
LOOK_S = 86_400.0
CHECKPOINT_S = 21_600.0
# Two hours of common origins, before which nothing is compared.
MIN_ORIGINS = 24
# Horizons under five minutes order nothing: a replica takes longer to start.
SHORTEST_S = 300.0
# Coverage may fall short by this much before the forecast is set aside.
COVERAGE_SLACK = 0.05


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold one candidate's backtest losses and hits at the operating level, shape (origins, horizons)."""

    name: str
    loss: Floats
    hit: Floats

    @property
    def coverage(self) -> float | None:
        """Share of actuals at or under the operating quantile; `None` before there are any."""
        seen = self.hit[~np.isnan(self.hit)]
        return float(seen.mean()) if seen.size else None


@dataclass(frozen=True, slots=True)
class Choice:
    """Name the candidate that answers by its index; `fallback` says why it is not to be trusted, if so.

    One that covers too little still answers, with a warning: it lost less than the baseline.
    """

    index: int
    why: str
    fallback: str | None = None


def choose(
    judged: Sequence[Judged],
    origins_s: Floats,
    horizons_s: Floats,
    operating: float,
    blend: int | None = None,
) -> Choice:
    """Choose among candidates, simplest first; the simplest that is not beaten stays.

    Where the baseline is beaten, the candidate `blend` answers for the winner: the best of a few days is in
    part the luckiest. The winner keeps its place where the blend alone covers too little.
    """
    counted = np.flatnonzero(horizons_s >= min(SHORTEST_S, horizons_s[-1]))
    cost = np.stack([j.loss[:, counted] for j in judged])
    everyone = list(range(len(judged)))
    winner = _replayed(cost, origins_s, everyone)
    # Who lost more than the baseline over the whole backtest is no choice, however good its last day was.
    sound = [c for c in everyone if _lost(cost, c) <= 1.0]
    fallback = None
    if winner not in sound:
        demoted, winner = winner, _replayed(cost, origins_s, sound)
        if not winner:
            fallback = (
                f"{judged[demoted].name} lost {_lost(cost, demoted):.2f} times what {judged[0].name} did"
            )
    if winner and blend is not None and blend in sound:
        short = [c for c in (blend, winner) if _short(judged[c], operating) is not None]
        winner = winner if short == [blend] else blend
    why = _why(judged, winner, cost, horizons_s[counted], spacing(origins_s))
    return Choice(winner, why, _short(judged[winner], operating) or fallback)


def _replayed(cost: Floats, origins_s: Floats, among: Sequence[int]) -> int:
    """Return the winner after all checkpoints, each of which has to beat the winner of the one before."""
    winner = 0
    for until_s in _checkpoints(origins_s):
        look = (origins_s > until_s - LOOK_S) & (origins_s <= until_s)
        against = {c: _against(cost[c], cost[winner], look) for c in among}
        ratios = {c: 1.0 if ratio is None else float(ratio.mean()) for c, ratio in against.items()}
        best = min(ratios, key=ratios.__getitem__)
        if ratios[best] < 1.0 - MARGIN_RATIO:
            winner = best
    return winner


def _checkpoints(origins_s: Floats) -> Floats:
    last = float(origins_s[-1])
    first = np.ceil(origins_s[0] / CHECKPOINT_S) * CHECKPOINT_S
    return np.append(np.arange(first, last, CHECKPOINT_S), last)


def _against(cost: Floats, other: Floats, rows: Flags | None = None) -> Floats | None:
    """Return a model's loss over another's per horizon, on the origins that both could answer.

    `None` with too few of them; 1 where both lost nothing.
    """
    common = ~np.isnan(cost + other).any(axis=1)
    common = common if rows is None else common & rows
    if common.sum() < MIN_ORIGINS:
        return None
    mine, theirs = cost[common].sum(axis=0), other[common].sum(axis=0)
    tiny = 1e-12 + 1e-9 * float(max(mine.max(), theirs.max()))
    return np.asarray((mine + tiny) / (theirs + tiny))


def _lost(cost: Floats, candidate: int) -> float:
    """Return a candidate's loss over the baseline's on all they have in common; 1 if that is too little."""
    ratio = _against(cost[candidate], cost[0])
    return 1.0 if ratio is None else float(ratio.mean())


def _short(chosen: Judged, operating: float) -> str | None:
    if chosen.coverage is None or chosen.coverage >= operating - COVERAGE_SLACK:
        return None
    return f"{chosen.name} covered {chosen.coverage:.3f} of the actuals where {operating:g} was promised"


def _why(judged: Sequence[Judged], winner: int, cost: Floats, horizons_s: Floats, every_s: float) -> str:
    """Say in one sentence how the winner, or the best of those that lost, stands to the baseline."""
    baseline = judged[0].name
    if len(judged) == 1:
        return f"{baseline}: nothing else can be fitted yet"
    ratios = {c: r for c in range(1, len(judged)) if (r := _against(cost[c], cost[0])) is not None}
    if not ratios:
        needed = show_duration(MIN_ORIGINS * every_s)
        return f"{baseline}: comparing begins after {needed} of common backtest"
    shown = winner or min(ratios, key=lambda c: float(ratios[c].mean()))
    if shown not in ratios:
        return f"{judged[shown].name}: too little of it can be compared with {baseline}"
    figures = ", ".join(
        f"{100 * (ratio - 1):+.0f}% at {show_duration(h)}"
        for h, ratio in zip(horizons_s, ratios[shown], strict=True)
    )
    span = show_duration(float((~np.isnan(cost[shown] + cost[0]).any(axis=1)).sum()) * every_s)
    if winner:
        return f"{judged[winner].name}: pinball loss against {baseline} {figures}, over {span}"
    return (
        f"{baseline}: {judged[shown].name} does not save {100 * MARGIN_RATIO:.0f}% ({figures}, over {span})"
    )
