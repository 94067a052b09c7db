"""Turn one deployment's records into its track, a batch of steps at a time; no record is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.capacity.load import Loads
from models.decision import Record, Status
from models.mix import RequestMix
from models.observation import ClassDemand
from models.policy import PlanPolicy
from models.speed import corrected
from models.track.hindsight import RUNGS, Hindsight
from models.track.track import Path, Track
from models.values import Role
from planner.record.setting import Setting
from planner.report.foreseen import Foreseen, Tally
from planner.report.shadow import Shadow
from planner.tick import planned_with

# Steps that are judged with the same lengths of requests: within an hour these hardly drift.
_BATCH = 60
_LEAST_STEP_S = 60.0
Counts = Mapping[Role, int]


@dataclass(slots=True)
class _Step:
    """Hold one step until its batch is judged: the last record's demand and fleets, in plain numbers."""

    step: int
    demand: Mapping[str, ClassDemand]
    ready: Counts
    billed: Counts
    advised: Counts
    advised_billed: Counts
    tally: Tally


class Collector:
    """Gather the track of one deployment; records come in the order of time."""

    def __init__(self, deployment: str, setting: Setting, begin: Record) -> None:
        """Begin with the fleet of the first record; `setting` is what that was decided with."""
        self.setting, plan = setting, setting.policy.plan
        self.deployment = deployment
        self.roles, self.classes = tuple(setting.layouts), tuple(c.name for c in plan.classes)
        self.step_s = max(plan.interval_s, _LEAST_STEP_S)
        levels = next((s.levels for c in begin.forecast.signals.values() for s in c.values()), ())
        self._foreseen = Foreseen(
            levels or setting.policy.forecast.levels, setting.policy.forecast.operating_level, self.step_s
        )
        self._shadow = Shadow(setting.layouts, begin.decision.current)
        self._waiting: list[_Step] = []
        self._columns: list[tuple[NDArray[np.float64], ...]] = []
        self._current: tuple[Record, PlanPolicy] | None = None
        self._plan = plan
        self._acted = self._sized = False
        self.records = 0

    def follows(self, setting: Setting) -> bool:
        """Say whether records of another setting go on with this track: the same roles and classes."""
        same = tuple(c.name for c in setting.policy.plan.classes) == self.classes
        return same and tuple(setting.layouts) == self.roles

    def take(self, record: Record, setting: Setting) -> bool:
        """Take in one record; False where it lies before the last one, and is left out."""
        at = self._step(record)
        if self._current is not None and at < self._step(self._current[0]):
            return False
        if self._current is not None and at > self._step(self._current[0]):
            self._close()
        if setting is not self.setting:
            self._judge()
            self.setting = setting
        plan = planned_with(setting.policy.plan, record.readiness, record.share, record.burn_rate)
        self._shadow.step(record, plan, setting.policy.decide)
        self._foreseen.said(record.forecast, plan.ready_horizon_s())
        self._acted = self._acted or record.outcome.status is Status.APPLIED
        self._sized = self._sized or record.sizing is not None
        self._current = record, plan
        self.records += 1
        return True

    def finish(self) -> Track:
        """Return the track of all that was taken in, which was something."""
        self._close()
        self._judge()
        step, *columns = (np.concatenate(column) for column in zip(*self._columns, strict=True))
        first, last = int(step[0]), int(step[-1])
        where = step.astype(np.intp) - first
        known, rate, ready, gpus, kept, advised, advised_gpus, advised_kept, need, need_kept, tally = (
            _spread(column, where, last - first + 1) for column in columns
        )
        rungs, recorded = len(RUNGS), np.zeros(last - first + 1, dtype=np.bool_)
        recorded[where] = True
        plan = self._plan
        return Track(
            deployment=self.deployment,
            roles=self.roles,
            classes=self.classes,
            targets=self.setting.policy.plan.targets(),
            gpus={role: layout.gpus for role, layout in self.setting.layouts.items()},
            startup_s={role: plan.pools[role].startup_s for role in self.roles},
            release_s={role: plan.pools[role].startup_s + plan.pools[role].drain_s for role in self.roles},
            operating_level=self.setting.policy.forecast.operating_level,
            begin_s=first * self.step_s,
            step_s=self.step_s,
            recorded=recorded,
            known=known > 0.5,
            rate_rps=rate,
            ran=Path(ready.astype(np.intp), gpus, kept),
            advised=Path(advised.astype(np.intp), advised_gpus, advised_kept) if self._sized else None,
            need=np.moveaxis(need.reshape(-1, rungs, len(self.roles)), 1, 0).astype(np.intp),
            need_kept=np.moveaxis(need_kept.reshape(-1, rungs, len(self.classes)), 1, 0),
            forecasts=tally[:, 0].astype(np.intp),
            covered=tally[:, 1].astype(np.intp),
            levels=self._foreseen.levels,
            under=tally[:, 2:].astype(np.intp),
            acted=self._acted,
            limits=self.setting.policy.plan.limits(),
        )

    def _step(self, record: Record) -> int:
        return round(record.observation.at_s / self.step_s)

    def _close(self) -> None:
        """End the step of the current record."""
        if self._current is None:
            return
        record, self._plan = self._current
        seen, step = record.observation, self._step(record)
        self._current = None
        self._waiting.append(
            _Step(
                step,
                dict(seen.demand),
                {role: pool.ready for role, pool in seen.pools.items()},
                {role: pool.billed for role, pool in seen.pools.items()},
                self._shadow.ready,
                self._shadow.billed,
                self._foreseen.came(step, seen),
            )
        )
        if len(self._waiting) >= _BATCH:
            self._judge()

    def _judge(self) -> None:
        """Judge the waiting steps with the lengths that the last of them saw."""
        steps, self._waiting = self._waiting, []
        if not steps:
            return
        plan, gpus = self.setting.policy.plan, [self.setting.layouts[role].gpus for role in self.roles]
        loads, known = self._loads(steps)
        ready = _table(steps, self.roles, lambda each: each.ready)
        advised = _table(steps, self.roles, lambda each: each.advised)
        blank = np.zeros((len(steps), len(self.classes)))
        kept, advised_kept = blank.copy(), blank.copy()
        need = np.zeros((len(steps), len(RUNGS), len(self.roles)))
        need_kept = np.zeros((len(steps), len(RUNGS), len(self.classes)))
        rate = blank.copy()
        if loads is not None:
            mine = np.array([self.classes.index(c.name) for c in loads.classes], dtype=np.intp)
            hindsight = Hindsight(loads, corrected(self.setting.layouts, self._plan.pools), plan)
            rate[np.ix_(known, mine)] = loads.rate_rps
            kept[np.ix_(known, mine)] = hindsight.kept(ready[known])
            advised_kept[np.ix_(known, mine)] = hindsight.kept(advised[known])
            found, keeps = hindsight.need()
            need[known] = np.moveaxis(found, 0, 1)
            for i, column in enumerate(mine.tolist()):
                need_kept[known, :, column] = np.moveaxis(keeps, 0, 1)[:, :, i]
        self._columns.append(
            (
                np.array([each.step for each in steps], dtype=np.float64),
                known.astype(np.float64),
                rate,
                ready.astype(np.float64),
                (_table(steps, self.roles, lambda each: each.billed) @ gpus).astype(np.float64),
                kept,
                advised.astype(np.float64),
                (_table(steps, self.roles, lambda each: each.advised_billed) @ gpus).astype(np.float64),
                advised_kept,
                need.reshape(len(steps), -1),
                need_kept.reshape(len(steps), -1),
                np.array([(t.forecasts, t.covered, *t.under) for t in (each.tally for each in steps)], float),
            )
        )

    def _loads(self, steps: list[_Step]) -> tuple[Loads | None, NDArray[np.bool_]]:
        """Return the loads of the steps whose demand is known in every class, and which those are."""
        mixes: dict[str, RequestMix] = {}
        for each in steps:
            mixes |= {name: seen.mix for name, seen in each.demand.items() if seen.mix is not None}
        known = np.array([_is_known(each.demand, self.classes, mixes) for each in steps])
        present = [c for c in self.setting.policy.plan.classes if c.name in mixes]
        if not present or not known.any():
            return None, np.zeros(len(steps), dtype=np.bool_)
        told = [each.demand for each, is_known in zip(steps, known, strict=True) if is_known]
        rows = [[_rates(demand[c.name], mixes[c.name]) for c in present] for demand in told]
        lengths = tuple(mixes[c.name] for c in present)
        return Loads(tuple(present), lengths, *np.moveaxis(np.array(rows), -1, 0).copy()), known


def _is_known(
    demand: Mapping[str, ClassDemand], classes: tuple[str, ...], mixes: Mapping[str, RequestMix]
) -> bool:
    for name in classes:
        seen = demand.get(name)
        if seen is None or seen.arrivals_rps is None or (seen.arrivals_rps > 0 and name not in mixes):
            return False
    return True


def _rates(seen: ClassDemand, mix: RequestMix) -> tuple[float, float, float]:
    """Return arrivals, prefill and decode as rates of requests of the mix; unknown work follows arrivals."""
    arrivals = seen.arrivals_rps or 0.0
    prefill, decode = seen.prefill_tokens_per_s, seen.decode_tokens_per_s
    return (
        arrivals,
        arrivals if prefill is None else prefill / max(mix.mean_prefill_tokens, 1e-9),
        arrivals if decode is None else decode / max(mix.mean_osl_tokens, 1e-9),
    )


def _table(steps: list[_Step], roles: tuple[Role, ...], of: Callable[[_Step], Counts]) -> NDArray[np.intp]:
    return np.array([[of(each).get(role, 0) for role in roles] for each in steps], dtype=np.intp)


def _spread(column: NDArray[np.float64], where: NDArray[np.intp], steps: int) -> NDArray[np.float64]:
    """Lay rows out on the grid of time; what has no record is 0."""
    out = np.zeros((steps, *column.shape[1:]))
    out[where] = column
    return out
