"""Run the scaler: every deployment of the configuration, tick by tick, until it is told to stop."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from config.commandline import FILE

if TYPE_CHECKING:
    from planner.fitting import Fitter
    from planner.loop import Job
    from planner.ports import PoolSeat, Recorder
    from planner.wiring import Deployment


@click.command("run")
@click.option("--config", "config_path", type=FILE, required=True, help="Configuration file.")
@click.option("--deployment", "only", help="Run this deployment alone; default: all of the file.")
@click.option("--cluster-state", type=FILE, help="YAML or JSON with the pools, read anew at every tick.")
@click.option("--dry-run", is_flag=True, help="Write decisions into the journal and act on nothing.")
@click.option(
    "--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics there, read-only; default: nowhere."
)
def command(
    config_path: Path, only: str | None, cluster_state: Path | None, dry_run: bool, metrics: str | None
) -> None:
    """Look, predict, size and decide on every interval.

    Every tick becomes one line of the journal. Forecasts are fitted in a process of their own, and a tick
    never waits for one. Deployments that share a pool of GPUs divide it. SIGTERM finishes the tick in
    progress. Log lines go to stderr as JSON.
    """
    if not dry_run:
        raise click.UsageError(
            "acting on a cluster is not built yet: say --dry-run to decide and record, and change nothing"
        )
    if cluster_state is None:
        raise click.UsageError(
            "say --cluster-state FILE: the pools are read from there until a cluster can be asked"
        )
    import threading

    from planner import loop, wiring
    from planner.act.mode import publishes
    from planner.clock import SystemClock
    from planner.logs import log_to_stderr
    from planner.record.journal import Journal
    from planner.record.metrics import Metrics
    from planner.record.noticing import Noticing, log
    from planner.record.setting import write_setting
    from planner.record.several import Several, To
    from planner.worker import FittingWorker

    loaded = wiring.read_config(config_path)
    names = [only] if only else [each.name for each in loaded.settings.deployments]
    left_out = [name for name in (wiring.pool_mates(loaded, only) if only else ()) if name != only]
    if left_out:
        raise click.UsageError(
            f"{only} shares a pool of GPUs with {', '.join(left_out)}, and who divides it looks at all of "
            "them: leave --deployment out"
        )
    served = [wiring.deployment(loaded, name) for name in names]
    seats = wiring.pool_seats(served)
    kept_at = loaded.settings.journal.to_policy()
    journal = Journal(kept_at)
    journal.writable()
    for each in served:
        write_setting(Path(kept_at.directory), wiring.setting(each))
    log_to_stderr()
    gauges = Metrics()
    with ExitStack() as ends:
        if metrics is not None:
            ends.callback(gauges.serve(metrics))
        clock, stop, fitter = SystemClock(), threading.Event(), FittingWorker()
        ends.callback(fitter.stop)
        watched = Several(journal, gauges, Noticing(log, gauges.count))
        published = Several(watched, To(gauges.recommend))
        jobs = [
            _job(
                each,
                cluster_state,
                published if publishes(each.settings.mode) else watched,
                fitter,
                seats.get(each.name),
            )
            for each in served
        ]
        loop.stop_on_signals(stop)
        loop.run(jobs, clock, stop)


def _job(
    served: Deployment, cluster_state: Path, recorder: Recorder, fitter: Fitter, seat: PoolSeat | None
) -> Job:
    from planner import wiring
    from planner.act.dryrun import DryRun
    from planner.act.mode import actuator_for
    from planner.commands.resuming import learner
    from planner.learning.error_budget import ErrorBudget
    from planner.loop import Job, Ticking
    from planner.ports import Ports

    live = wiring.live(served, cluster_state, fitter)
    # A dry run lets nobody act: what a deployment that may would do is said, as a recommendation's is.
    actuator = actuator_for(served.settings.mode, served.name, DryRun())
    spender = ErrorBudget(served.served.layouts, live.forecaster.history)
    ports = Ports(live.observer, live.forecaster, actuator, recorder, learner(served), seat, spender)
    ticking = Ticking(ports, live.forecaster, live.history, live.check, served.policy, served.served)
    return Job(served.name, served.policy.plan.interval_s, ticking)
