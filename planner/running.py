"""Put a process together that runs for months: ticks, election, pages, reloads, Events and an orderly end."""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from models.decision import Record
from models.errors import ConfigError, HeadgateError
from models.notice import Notice
from models.policy import Mode
from models.target import ObjectRef
from models.values import Role
from planner import acting, wiring
from planner.act.mode import publishes
from planner.clock import SystemClock
from planner.fleet import Fleet, Surroundings
from planner.health import Health, Report
from planner.leader.election import Election
from planner.leader.guard import LeasedCluster, alone
from planner.leader.lease import Lease, Terms
from planner.learning.learned import Learned
from planner.loop import Job, run_once, stop_on_signals
from planner.ports import Recorder
from planner.record.events import ClusterEvents
from planner.record.journal import Journal
from planner.record.metrics import Metrics
from planner.record.noticing import Noticing, log
from planner.record.operations import Operations
from planner.record.serving import Page, Pages, plain, serve
from planner.record.setting import write_setting
from planner.record.several import Several, To
from planner.reloading import Reloading
from planner.schedule import Schedule
from planner.sharding import WHOLE, Shard, of_shard
from planner.wiring import Configuration, Deployment
from planner.worker import FittingWorker

_LOG = logging.getLogger(__name__)

# A request of the lease, or one that changes something, must fail well within the time that a lease lasts.
PATIENCE_S = (3.0, 5.0)
DEFAULT_PORT = 9464
# What Events wait may take of the end.
LAST_EVENTS_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """Say how a process runs.

    `listen` is where pages are served: `None` for the usual place, empty for nowhere. `lease` names the
    Lease, `None`: no election. `grace_s` is how long ticks in progress may take to end.
    """

    config: Path
    only: str | None = None
    cluster_state: Path | None = None
    dry_run: bool = False
    listen: str | None = None
    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    lease: str | None = None
    terms: Terms = field(default_factory=Terms)
    shard: Shard = WHOLE
    grace_s: float = 25.0


@dataclass(slots=True)
class Process:
    """Hold what a running process is made of."""

    options: Options
    resume: Callable[[Deployment], Learned]
    metrics: Metrics = field(default_factory=Metrics)
    health: Health = field(default_factory=Health)
    clock: SystemClock = field(default_factory=SystemClock)
    stop: threading.Event = field(default_factory=threading.Event)
    election: Election | None = None
    events: ClusterEvents | None = None

    def run(self) -> None:
        """Run until told to stop; raises HeadgateError for what cannot be begun."""
        loaded = wiring.read_config(self.options.config)
        served = self._choose(loaded)
        operations = Operations(self.metrics)
        journal = Journal(loaded.settings.journal.to_policy(), operations.lost_record)
        journal.writable()
        with ExitStack() as ends:
            fitter = FittingWorker()
            ends.callback(fitter.stop)
            schedule = Schedule(self.clock, partial(self._tick, operations), operations.skipped)
            around = self._surroundings(served, fitter, journal, operations)
            folder = Path(loaded.settings.journal.to_policy().directory)
            begins = partial(self._begins, folder, operations, around)
            fleet = Fleet(around, schedule, self._choose, begins, self._ends)
            if self.election is not None:
                self.election.listen(lambda leads: schedule.all_now() if leads else None)
            self._tell_events(around, fleet, operations)
            fleet.take(loaded)
            reloading = self._reloading(fleet, operations)
            reloading.begin(loaded)
            ends.callback(self._serve())
            stop_on_signals(self.stop)
            threading.Thread(target=reloading.run, args=(self.stop,), name="reload", daemon=True).start()
            if self.election is not None:
                self.election.start()
            schedule.start()
            self.stop.wait()
            late = schedule.stop(self.options.grace_s)
            self._end(late)
        if late:
            # Threads cannot be ended, and waiting for them would outlast the kubelet's patience.
            logging.shutdown()
            os._exit(0)

    def _choose(self, loaded: Configuration) -> list[Deployment]:
        """Return the deployments that are this process's; raises ConfigError for what cannot be."""
        options, settings = self.options, loaded.settings.deployments
        pools = {each.name: each.share.pool if each.share else None for each in settings}
        if options.only is not None:
            left_out = [name for name in wiring.pool_mates(loaded, options.only) if name != options.only]
            if left_out:
                raise ConfigError(
                    f"{options.only} shares a pool of GPUs with {', '.join(left_out)}, and who divides it "
                    "looks at all of them: leave --deployment out"
                )
        names = [each.name for each in settings] if options.only is None else [options.only]
        served = [wiring.deployment(loaded, name) for name in of_shard(options.shard, names, pools.get)]
        lost = [each.name for each in served if not wiring.has_targets(each)]
        if options.cluster_state is None and lost:
            raise ConfigError(
                f"{loaded.path}: nothing says where the replicas of {', '.join(lost)} are; name a `target` "
                "there, or say --cluster-state FILE"
            )
        return served

    def _surroundings(
        self, served: Sequence[Deployment], fitter: FittingWorker, journal: Journal, operations: Operations
    ) -> Surroundings:
        """Reach the cluster, where there is one to be reached, and stand for election there."""
        options, holder = self.options, acting.holder_name()
        observing = changing = None
        if options.cluster_state is None:
            place = (options.kubeconfig, options.context, options.namespace)
            observing = wiring.connect(*place, watching=True, count=operations.asked_api)
            changing = wiring.connect(*place, count=operations.asked_api, patience_s=PATIENCE_S)
            if options.lease is not None:
                name = options.shard.lease(options.lease)
                lease = Lease(changing.cluster, changing.namespace, name, holder, options.terms)
                self.election = Election(lease)
                self.election.listen(self.metrics.lead)
                self.metrics.lead(False)
                self.health.election = self._elected
        leading = alone if self.election is None else self.election.leading
        watched = Several(journal, self.metrics, Noticing(log, self.metrics.count, self._notice))
        published = Several(watched, To(self.metrics.recommend))

        def recorder(chosen: Deployment) -> Recorder:
            return published if publishes(chosen.settings.mode) else watched

        def asked(deployment: str, fine: bool) -> None:
            operations.asked_prometheus(fine)
            self.health.progress(deployment)

        return Surroundings(
            fitter,
            recorder,
            self.resume,
            leading,
            holder,
            options.dry_run,
            options.cluster_state,
            observing,
            changing,
            asked,
        )

    def _elected(self) -> tuple[str, float]:
        assert self.election is not None
        return self.election.said(), self.election.silent_s

    def _tell_events(self, around: Surroundings, fleet: Fleet, operations: Operations) -> None:
        """Write Events where something may be changed: who only watches a cluster leaves nothing in it."""
        observing, changing = around.observing, around.changing
        if observing is None or changing is None or around.dry_run:
            return

        def targets(deployment: str) -> dict[Role, ObjectRef]:
            chosen = fleet.deployments.get(deployment)
            found = {} if chosen is None else changing.targets(chosen)
            return {role: target.owner for role, target in found.items()}

        cluster = LeasedCluster(changing.cluster, around.leading)
        self.events = ClusterEvents(cluster, observing.reader, targets, around.holder, operations.event)

    def _notice(self, record: Record, notice: Notice) -> None:
        if self.events is not None:
            self.events(record, notice)

    def _tick(self, operations: Operations, job: Job) -> None:
        begin_s, at_s = time.monotonic(), self.clock.now_s()
        outcome = run_once(job, self.clock)
        if outcome is None:
            # What this process said while it led is not true any more.
            self.metrics.retire(job.deployment)
        self.health.ended(job.deployment, outcome)
        operations.ended(job.deployment, outcome, at_s, time.monotonic() - begin_s)

    def _begins(self, folder: Path, operations: Operations, around: Surroundings, chosen: Deployment) -> None:
        self.health.expect(chosen.name, chosen.policy.plan.interval_s)
        operations.expect(chosen.name)
        try:
            write_setting(folder, wiring.setting(chosen))
        except HeadgateError as error:
            _LOG.error("%s", error, extra={"fields": {"deployment": chosen.name}})
        self._preflight(around, chosen)

    def _preflight(self, around: Surroundings, chosen: Deployment) -> None:
        """Say at once what would keep a deployment from acting: a verb it lacks, another autoscaler."""
        connected = around.changing
        if connected is None or around.dry_run or chosen.settings.mode is Mode.OBSERVE:
            return
        fields = {"deployment": chosen.name}
        try:
            acts = chosen.settings.mode is Mode.ACT
            gaps = acting.ready_to_act(chosen, connected.cluster, connected.namespace, acts)
        except HeadgateError as error:
            _LOG.warning("could not be checked before acting: %s", error, extra={"fields": fields})
            return
        for gap in gaps:
            _LOG.warning("%s: %s", gap.what, gap.reason, extra={"fields": fields})

    def _ends(self, deployment: str) -> None:
        self.health.forget(deployment)
        self.metrics.retire(deployment)

    def _reloading(self, fleet: Fleet, operations: Operations) -> Reloading:
        def files(loaded: Configuration) -> list[Path]:
            places = [each.profile.path for each in loaded.settings.deployments if each.profile]
            return [self.options.config, *places]

        def tell(loaded: Configuration | None, why: str) -> None:
            operations.reloaded(loaded is not None)
            if loaded is None and self.events is not None:
                for name in fleet.deployments:
                    self.events.config_refused(
                        name, f"the one before stays in force: {why}", self.clock.now_s()
                    )

        return Reloading(lambda: wiring.read_config(self.options.config), files, fleet.take, tell)

    def _serve(self) -> Callable[[], None]:
        """Serve the pages; return what ends that. A usual place that is taken is only told of."""
        if self.options.listen == "":
            return lambda: None
        pages: Pages = {
            "/healthz": lambda _: _page(self.health.alive()),
            "/readyz": lambda _: _page(self.health.ready()),
            "/metrics": self.metrics.page,
        }
        # A kubelet and a Prometheus ask from outside of the pod, and elsewhere nobody has to.
        host = "0.0.0.0" if "KUBERNETES_SERVICE_HOST" in os.environ else "127.0.0.1"
        try:
            address, stop = serve(self.options.listen or f"{host}:{DEFAULT_PORT}", pages)
        except ConfigError as error:
            if self.options.listen is not None:
                raise
            _LOG.warning("no pages are served: %s; say where with --listen", error)
            return lambda: None
        _LOG.info("serving %s at http://%s", ", ".join(pages), address)
        return stop

    def _end(self, late: Sequence[str]) -> None:
        """Hand over: write what waits, and give the lease up unless something may still be on its way."""
        if late:
            _LOG.error("ticks did not end in time, and the lease is left to run out: %s", ", ".join(late))
        if self.events is not None:
            self.events.stop(LAST_EVENTS_S)
        if self.election is not None:
            self.election.stop(release=not late)


def _page(report: Report) -> Page:
    return plain(report.fine, str(report))
