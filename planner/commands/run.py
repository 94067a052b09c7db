"""Run the scaler: every deployment of the configuration, tick by tick, until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from config.commandline import FILE, Quantity
from planner.commands.options import cluster_options
from planner.sharding import WHOLE, Shard

_LEASE_S = Quantity("duration", 2.0, 60.0)
_GRACE_S = Quantity("duration", 0.0, 3600.0)


class _ShardType(click.ParamType[Shard]):
    """Read a shard such as 0/4."""

    name = "index/count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Return the shard; a usage error says what to write instead."""
        if isinstance(value, Shard):
            return value
        try:
            return Shard.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("run")
@click.option("--config", "config_path", type=FILE, required=True, help="Configuration file.")
@click.option("--deployment", "only", help="Run this deployment alone; default: all of the file.")
@click.option(
    "--cluster-state",
    type=FILE,
    help="YAML or JSON with the pools, read anew at every tick; default: the cluster's, where the "
    "configuration names targets.",
)
@click.option("--dry-run", is_flag=True, help="Write decisions into the journal and act on nothing.")
@cluster_options
@click.option(
    "--listen",
    "--metrics",
    "listen",
    metavar="HOST:PORT",
    help="Serve /healthz, /readyz and /metrics there, read-only; none: nowhere. [127.0.0.1:9464; in a pod "
    "0.0.0.0:9464]",
)
@click.option(
    "--leader-elect/--no-leader-elect",
    default=None,
    help="Act only while holding a Lease of the cluster. [with a cluster, unless --dry-run]",
)
@click.option("--lease", default="headgate", show_default=True, help="Name of the Lease.")
@click.option(
    "--lease-duration",
    type=_LEASE_S,
    default="15s",
    show_default=True,
    help="How long a leader that is gone is waited for, in whole seconds.",
)
@click.option(
    "--shard",
    type=_ShardType(),
    default=WHOLE,
    show_default="all",
    help="Run one of several equal shares of the deployments, such as 0/4; each has a Lease of its own.",
)
@click.option(
    "--grace",
    type=_GRACE_S,
    default="25s",
    show_default=True,
    help="How long ticks in progress may take to end after SIGTERM.",
)
def command(
    config_path: Path,
    only: str | None,
    cluster_state: Path | None,
    dry_run: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: Path | None,
    listen: str | None,
    leader_elect: bool | None,
    lease: str,
    lease_duration: float,
    shard: Shard,
    grace: float,
) -> None:
    """Look, predict, size, decide and act on every interval.

    What may be done with a decision is each deployment's `mode`: observe, recommend or act. Every tick goes
    into the journal. Of several replicas one leads by a Lease; the others only watch, and take over.
    Forecasts are fitted in a process of their own. A changed configuration is taken up while running, and
    one that is wrong refused. SIGTERM finishes the ticks in progress. Log lines go to stderr as JSON.
    """
    from planner.commands.resuming import learner
    from planner.leader.lease import Terms
    from planner.logs import log_to_stderr
    from planner.running import Options, Process

    elect = leader_elect if leader_elect is not None else cluster_state is None and not dry_run
    if elect and cluster_state is not None:
        raise click.UsageError("--leader-elect needs a cluster: leave --cluster-state out")
    options = Options(
        config_path,
        only,
        cluster_state,
        dry_run,
        "" if listen == "none" else listen,
        namespace,
        context,
        kubeconfig,
        lease if elect else None,
        Terms(round(lease_duration)),
        shard,
        grace,
    )
    log_to_stderr()
    Process(options, learner).run()
