"""Run the deployments of a configuration, and change over to a new one between two ticks."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from models.decision import Record
from models.errors import HeadgateError
from models.readiness import Readiness
from models.values import Role
from planner import acting, wiring
from planner.act.dryrun import DryRun
from planner.act.mode import actuator_for
from planner.fitting import Fitter
from planner.leader.guard import Leading, LeasedCluster, LeasedNodes
from planner.learning.error_budget import ErrorBudget
from planner.learning.learned import Learned
from planner.loop import Job, Ticking
from planner.nodes import node_keepers
from planner.ports import Actuator, NodeKeeper, Ports, Recorder, Reshaper
from planner.reshaping import Follow, Following, reshaper
from planner.schedule import Schedule
from planner.sharing import Seat
from planner.wiring import Configuration, Connected, Deployment, Live

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Hold what all deployments of a process share.

    `observing` is the cluster that pools are read from, by watches, `changing` the one that is written to,
    both `None` where the pools stand in the file `cluster_state`. `asked` hears of each query to Prometheus
    and for which deployment; `resume` makes the learner of a deployment from its journal.
    """

    fitter: Fitter
    recorder: Callable[[Deployment], Recorder]
    resume: Callable[[Deployment], Learned]
    leading: Leading
    holder: str
    dry_run: bool
    cluster_state: Path | None = None
    observing: Connected | None = None
    changing: Connected | None = None
    asked: Callable[[str, bool], None] = lambda _, __: None

    def guarded(self) -> Connected | None:
        """Return the cluster that is written to only while this process leads."""
        if self.changing is None:
            return None
        return replace(self.changing, cluster=LeasedCluster(self.changing.cluster, self.leading))


@dataclass(frozen=True, slots=True)
class Wired:
    """Hold one deployment as it ticks: its configuration, and what outlives a change of that."""

    chosen: Deployment
    live: Live
    learner: Learned
    ticking: Ticking


@dataclass(frozen=True, slots=True)
class Place:
    """Hold what a deployment gets beside its own configuration: of its pool, of its nodes."""

    seat: Seat | None = None
    nodes: NodeKeeper | None = None
    follow: Follow | None = None


def wire(around: Surroundings, chosen: Deployment, place: Place, before: Wired | None) -> Wired:
    """Make a deployment ready to tick, going on from how it ticked before.

    Demand, what is read back of it, and what was learned stay as far as they are still about the same thing.
    Raises ConfigError and ObserveError for what cannot be.
    """
    asked = partial(around.asked, chosen.name)
    live = wiring.live(chosen, around.cluster_state, around.fitter, around.observing, asked)
    if before is not None:
        old = before.live
        if old.source == live.source:
            live = replace(live, observer=old.observer, history=old.history, check=old.check)
        live.forecaster.inherit(old.forecaster, live.source.same_classes(old.source))
    learner = around.resume(chosen) if before is None else _learner(chosen, before)
    ports = Ports(
        live.observer,
        live.forecaster,
        _actuator(around, chosen),
        around.recorder(chosen),
        learner,
        place.seat,
        ErrorBudget(chosen.served.layouts, live.forecaster.history),
        None if place.nodes is None else LeasedNodes(place.nodes, around.leading),
        _reshaper(around, chosen),
    )
    ticking = Ticking(
        ports, live.forecaster, live.history, live.check, chosen.policy, chosen.served, around.leading
    )
    if before is not None and before.live.source == live.source:
        ticking.go_on_from(before.ticking)
    return Wired(chosen, live, learner, ticking)


def _actuator(around: Surroundings, chosen: Deployment) -> Actuator:
    """Return what the deployment's mode allows here; a dry run says what would be done, whoever may act."""
    connected = around.guarded()
    if around.dry_run:
        return actuator_for(chosen.settings.mode, chosen.name, DryRun())
    if connected is None or not wiring.has_targets(chosen):
        return actuator_for(chosen.settings.mode, chosen.name, None)
    return actuator_for(
        chosen.settings.mode,
        chosen.name,
        acting.acting(chosen, connected.cluster, connected.namespace, around.holder, around.leading),
        acting.checking(chosen, connected.cluster, connected.namespace),
    )


def _reshaper(around: Surroundings, chosen: Deployment) -> Reshaper | None:
    connected = around.guarded()
    return None if connected is None else reshaper(chosen, connected, around.leading, around.dry_run)


def _learner(chosen: Deployment, before: Wired) -> Learned:
    """Return what goes on learning: the same while nothing that it rests on has changed.

    What start-ups take depends on the layout, how fast replicas are on the profile as well.
    """
    now, old = chosen.served, before.chosen.served
    if chosen.policy.plan == before.chosen.policy.plan and now.layouts == old.layouts:
        return before.learner
    found = Learned(chosen.policy.plan, now.layouts)
    same = {role for role, each in now.layouts.items() if _width(each) == _width(old.layouts.get(role))}
    known: Mapping[Role, Readiness] = before.ticking.measured
    if now.profile_digest != old.profile_digest:
        known = {role: replace(each, speed=None) for role, each in known.items()}
    found.seed({role: each for role, each in known.items() if role in same})
    return found


def _width(layout: object) -> object:
    return getattr(layout, "parallelism", None)


class Changing:
    """Be a deployment's tick; a new configuration takes over where one tick has ended and the next begins."""

    def __init__(self, wired: Wired, follow: Callable[[Wired, float, bool], Wired]) -> None:
        """Tick as wired; `follow` takes up the layouts that run, at once where one was just changed."""
        self._wired, self._follow = wired, follow
        self._reshaped = False
        self._next: Callable[[Wired], Wired] | None = None
        self._lock = threading.Lock()

    def change(self, make: Callable[[Wired], Wired]) -> None:
        """Have the next tick made by what `make` returns, given what ticks until then."""
        with self._lock:
            self._next = make

    def __call__(self, now_s: float) -> Record | None:
        """Run the tick at `now_s`."""
        with self._lock:
            make, self._next = self._next, None
        try:
            if make is not None:
                self._wired = make(self._wired)
            self._wired = self._follow(self._wired, now_s, self._reshaped)
        except HeadgateError as error:
            # It could be made when the configuration was read; what has changed since will show again.
            fields = {"deployment": self._wired.chosen.name}
            _LOG.error("the configuration before stays: %s", error, extra={"fields": fields})
        record = self._wired.ticking(now_s)
        self._reshaped = record is not None and record.reshaping is not None
        return record


class Fleet:
    """Keep the deployments of a process on the schedule, as the configuration in force says."""

    def __init__(
        self,
        around: Surroundings,
        schedule: Schedule,
        choose: Callable[[Configuration], Sequence[Deployment]],
        begins: Callable[[Deployment], None],
        ends: Callable[[str], None],
    ) -> None:
        """Begin without deployments.

        `choose` returns those of a configuration that are this process's, `begins` and `ends` hear of each
        that is ticked from now on, or anew, and of each that is no more.
        """
        self._around, self._schedule, self._choose = around, schedule, choose
        self._begins, self._ends = begins, ends
        self._ticks: dict[str, Changing] = {}
        self.deployments: Mapping[str, Deployment] = {}

    def take(self, loaded: Configuration) -> None:
        """Put a configuration into force, each deployment's between two of its ticks.

        Raises HeadgateError, with nothing changed, for one that cannot be put into force whole.
        """
        served = {each.name: each for each in self._choose(loaded)}
        places = self._places(served.values())
        # All of it is made once before any of it counts: what is wrong is wrong with the whole file.
        made = {name: wire(self._around, each, places[name], None) for name, each in served.items()}
        for name in [name for name in self._ticks if name not in served]:
            self._schedule.drop(name)
            del self._ticks[name]
            self._ends(name)
        self.deployments = served
        for name, chosen in served.items():
            self._begins(chosen)
            if name in self._ticks:
                self._ticks[name].change(partial(wire, self._around, chosen, places[name]))
            else:
                self._ticks[name] = Changing(made[name], partial(self._follow, places[name]))
            self._schedule.put(Job(name, chosen.policy.plan.interval_s, self._ticks[name]))

    def _follow(self, place: Place, wired: Wired, now_s: float, due: bool) -> Wired:
        """Return what ticks at the layouts that run in the cluster: the same, or wired anew with them."""
        chosen = None if place.follow is None else place.follow(wired.chosen, now_s, due)
        if chosen is None:
            return wired
        made = wire(self._around, chosen, place, wired)
        if place.seat is not None:
            place.seat.follow(chosen.served.layouts)
        self._begins(chosen)
        return made

    def _places(self, served: Iterable[Deployment]) -> dict[str, Place]:
        every, connected = list(served), self._around.guarded()
        seats = wiring.pool_seats(every)
        keepers = {} if connected is None else node_keepers(every, connected, self._around.dry_run)
        observing = self._around.observing
        return {
            each.name: Place(
                seats.get(each.name),
                keepers.get(each.name),
                None if observing is None else Following(observing),
            )
            for each in every
        }
