"""Make one recommendation: read history back, run one tick that acts on nothing, and say what was lacking."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from models.decision import Record
from models.errors import ObserveError
from models.observation import Gap
from models.policy import TickPolicy
from models.series import Series
from models.values import Signal
from planner.act.dryrun import DryRun
from planner.history import SPAN_S
from planner.ports import (
    Actuator,
    AsStated,
    EveryMoment,
    Forecaster,
    HistorySource,
    Learner,
    Observer,
    PoolSeat,
    Ports,
    Spender,
)
from planner.record.memory import Memory
from planner.tick import Look, Served, conclude, look


class SeededForecaster(Forecaster, Protocol):
    """Forecast from history that was read back, and from observations since."""

    def seed(self, history: Mapping[str, Mapping[Signal, Series]]) -> None:
        """Remember demand from before this process began."""
        ...


class ReadBack(HistorySource, Protocol):
    """Read history back and say what it lacked."""

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What the last reading lacked."""
        ...

    @property
    def failed(self) -> bool:
        """Whether some of it was for want of an answer."""
        ...


@dataclass(frozen=True, slots=True)
class SignalHistory:
    """Sum up what was read back of one signal since it was first known: how much of it, the longest hole."""

    from_s: float
    until_s: float
    known_ratio: float
    longest_gap_s: float
    mean: float | None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Hold one recommendation with the history that it rests on and everything that was lacking."""

    record: Record
    policy: TickPolicy
    history: Mapping[str, Mapping[Signal, SignalHistory]]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Gather what one deployment is recommended from; `seat` is its place in a pool that it shares.

    `actuator` says what a decision would do, and does nothing: it may have a cluster check that.
    """

    observer: Observer
    source: ReadBack
    forecaster: SeededForecaster
    policy: TickPolicy
    served: Served
    learner: Learner | None = None
    seat: PoolSeat | None = None
    spender: Spender = field(default_factory=EveryMoment)
    actuator: Actuator = field(default_factory=DryRun)


def recommend(now_s: float, asked: Asked, history_s: float = SPAN_S) -> Recommendation:
    """Return what a live tick at `now_s` (Unix seconds) would decide.

    Reads as much back as a process that runs for months remembers, so that both say the same; the learner is
    what such a process has learned of start-ups (`None`: they are as stated).

    Raises ObserveError when not even the pools can be seen.
    """
    return _conclude(_see(now_s, asked, history_s), asked)


def recommend_together(
    now_s: float, asked: Mapping[str, Asked], history_s: float = SPAN_S
) -> dict[str, Recommendation | ObserveError]:
    """Return what a live tick of several deployments would decide, by their names.

    All look before the first decides, so that those that share a pool divide it by what all of them need
    now. One that cannot be seen is answered by the error, and keeps its GPUs.
    """
    seen: dict[str, _Seen | ObserveError] = {}
    for name, each in asked.items():
        try:
            seen[name] = _see(now_s, each, history_s)
        except ObserveError as error:
            seen[name] = error
    return {
        name: found if isinstance(found, ObserveError) else _conclude(found, asked[name])
        for name, found in seen.items()
    }


@dataclass(frozen=True, slots=True)
class _Seen:
    """Hold the first half of a recommendation, and the ports of its second."""

    look: Look
    ports: Ports
    history: Mapping[str, Mapping[Signal, Series]]
    gaps: tuple[Gap, ...]


def _see(now_s: float, asked: Asked, history_s: float) -> _Seen:
    history = asked.source.history(now_s, history_s)
    asked.forecaster.seed(history)
    learner = asked.learner or AsStated()
    ports = Ports(
        asked.observer, asked.forecaster, asked.actuator, Memory(), learner, asked.seat, asked.spender
    )
    return _Seen(look(now_s, ports, asked.policy), ports, history, asked.source.gaps)


def _conclude(seen: _Seen, asked: Asked) -> Recommendation:
    record = conclude(seen.look, seen.ports, asked.policy, asked.served)
    past = {name: {s: summary(series) for s, series in one.items()} for name, one in seen.history.items()}
    gaps = (*seen.gaps, *_holes(past), *record.observation.gaps)
    return Recommendation(record, asked.policy, past, tuple(dict.fromkeys(gaps)))


def summary(series: Series) -> SignalHistory:
    """Sum up a series from its first known step on."""
    first = np.flatnonzero(series.known)[:1]
    series = series.window(
        series.start_s + series.step_s * float(first[0]) if first.size else series.end_s, np.inf
    )
    known = series.known_values
    return SignalHistory(
        series.start_s,
        series.end_s,
        known.size / max(len(series), 1),
        max((until - begin for begin, until in series.gaps()), default=0.0),
        float(known.mean()) if known.size else None,
    )


def _holes(seen: Mapping[str, Mapping[Signal, SignalHistory]]) -> list[Gap]:
    """Tell how much of the history of arrivals is unknown; tokens have the same holes."""
    gaps = []
    for name, signals in seen.items():
        one = signals.get(Signal.ARRIVALS)
        if one is not None and one.mean is not None and one.known_ratio < 1:
            missing_s = (1 - one.known_ratio) * (one.until_s - one.from_s)
            reason = (
                f"{missing_s / 60:.0f} minutes are unknown, {one.longest_gap_s / 60:.0f} of them in one piece"
            )
            gaps.append(Gap(f"history of {name}", reason))
    return gaps
