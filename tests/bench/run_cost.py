"""Measure what the scaler costs: fifty deployments every 15 seconds, and a day of ticks in a few minutes.

The fifty run as one `headgate run` of its own process against a real API server, with an election; Prometheus
is a stand-in on the loopback that answers every query with steady traffic. The day runs in this process with
stand-in ports for Prometheus and the cluster, real forecasts, fits without the models that take seconds,
metrics, notices and a journal on disk.
"""

import gc
import os
import re
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from models.observation import Gap, Observation
from models.policy import DecidePolicy, ForecastPolicy, JournalPolicy, PoolPolicy, TickPolicy
from models.series import Series
from models.values import Role, Signal
from planner.act.dryrun import DryRun
from planner.forecasting import Forecasting
from planner.learning.error_budget import ErrorBudget
from planner.learning.learned import Learned
from planner.loop import Ticking
from planner.ports import Ports
from planner.record.journal import Journal
from planner.record.metrics import Metrics
from planner.record.noticing import Noticing
from planner.record.several import Several
from planner.tick import Served
from tests import builders
from tests.integration import kube_apiserver
from tests.integration.kube_objects import Hand
from tests.integration.running import Runner, Site, workload
from tests.unit.loop.ground import frontend, prepare
from tests.unit.observe.http_server import answering

DEPLOYMENTS, INTERVAL_S = 50, 15.0
WARM_S, MEASURED_S = 45.0, 90.0
DAY_S = 86_400.0
ROLES = ("prefill", "decode")
_TICK_HZ = os.sysconf("SC_CLK_TCK")


def run() -> dict[str, str]:
    """Measure both."""
    return {**_fifty(), **_day()}


def _fifty() -> dict[str, str]:
    with tempfile.TemporaryDirectory() as place, answering(partial(frontend, rps=25.0)) as prometheus:
        folder = Path(place)
        (folder / "kube").mkdir()
        with kube_apiserver.serving(folder / "kube") as cluster:
            site = Site(cluster, cluster.make_namespace(), folder)
            config = prepare(folder, prometheus.url)
            config.write_text(_config(config.read_text(), site))
            with Runner(site, config, ("--lease-duration", "6s")) as one:
                one.wait("all were seen", lambda: one.page("/readyz")[0] == 200, 180.0)
                time.sleep(WARM_S)
                return _measured(one)


def _config(text: str, site: Site) -> str:
    """Write fifty deployments, and create the objects that hold their pools."""
    head, _, first = text.partition("  - name: shop\n")
    hand, found = Hand(site.cluster, site.namespace), [head.replace("interval: 1s", "interval: 15s")]
    for i in range(DEPLOYMENTS):
        for role in ROLES:
            name = f"{role}-{i}"
            hand.create(workload(name, 2))
            for pod in range(2):
                hand.pod(f"{name}-{pod}", {"app": name})
        pools = ", ".join(f"{r}: {{min: 1, target: {{kind: Deployment, name: {r}-{i}}}}}" for r in ROLES)
        rest = re.sub(r"pools: .*", f"pools: {{{pools}}}", first)
        found.append(f"  - name: shop-{i}\n{rest}")
    return "".join(found)


def _measured(one: Runner) -> dict[str, str]:
    before, spent = _counted(one), _cpu_s(one.process.pid)
    time.sleep(MEASURED_S)
    after, spent_s = _counted(one), _cpu_s(one.process.pid) - spent
    ticks = after["headgate_ticks_total"] - before["headgate_ticks_total"]
    per_tick = {name: (after[name] - before[name]) / ticks for name in before}
    return {
        "50 deployments at 15 s, ticks in 90 s": f"{ticks:.0f}",
        "  processor": f"{100 * spent_s / MEASURED_S:.1f} % of a core (fits apart)",
        "  memory": f"{_rss_mib(one.process.pid):.0f} MiB",
        "  queries to Prometheus a tick": f"{per_tick['headgate_prometheus_requests_total']:.2f}",
        "  requests to the API a tick": f"{per_tick['headgate_api_requests_total']:.2f}",
        "  mean duration of a tick": f"{1e3 * per_tick['headgate_tick_duration_seconds_sum']:.0f} ms",
    }


def _counted(one: Runner) -> dict[str, float]:
    """Return the sums of some series over their labels."""
    found = dict.fromkeys(
        (
            "headgate_ticks_total",
            "headgate_prometheus_requests_total",
            "headgate_api_requests_total",
            "headgate_tick_duration_seconds_sum",
        ),
        0.0,
    )
    for line in one.page("/metrics")[1].splitlines():
        name = re.split(r"[{ ]", line, maxsplit=1)[0]
        if name in found:
            found[name] += float(line.rpartition(" ")[2])
    return found


def _cpu_s(pid: int) -> float:
    """Return the processor time of one process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK_HZ


def _rss_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class _World:
    """Stand in for Prometheus and the cluster: a day's wave of demand, noisy at every look."""

    gaps: tuple[Gap, ...] = ()
    failed = False

    def __init__(self) -> None:
        self.drawn = np.random.default_rng(1)

    def observe(self, now_s: float) -> Observation:
        wave = 1.0 + 0.6 * np.sin(2 * np.pi * now_s / DAY_S)
        rates = {name: float(rate * wave * self.drawn.lognormal(0, 0.05)) for name, rate in _RATES.items()}
        return replace(builders.observation(rates, at_s=now_s), window_s=60.0)

    def history(self, until_s: float, span_s: float) -> dict[str, dict[Signal, Series]]:
        return {}


_RATES = {"pages": 80.0, "email": 15.0}


def _day() -> dict[str, str]:
    """Tick one deployment for a day after two that fill its history; read memory on the way."""
    with tempfile.TemporaryDirectory() as folder:
        begin_s, world, metrics = builders.AT_S, _World(), Metrics()
        pools = {Role.PREFILL: PoolPolicy(), Role.DECODE: PoolPolicy()}
        policy = TickPolicy("shop", ForecastPolicy(), builders.plan_policy(pools=pools), DecidePolicy())
        forecaster = Forecasting(policy.forecast, list(_RATES), policy.plan.hold_horizon_s())
        recorder = Several(Journal(JournalPolicy(folder)), metrics, Noticing(metrics.count))
        learned, spender = (
            Learned(policy.plan, builders.layouts()),
            ErrorBudget(builders.layouts(), forecaster.history),
        )
        ports = Ports(world, forecaster, DryRun(), recorder, learned, None, spender)
        served = Served(builders.layouts(), "sha256:0", "bench")
        tick = Ticking(ports, forecaster, world, lambda _: (), policy, served)
        memory, spent_s = [], time.process_time()
        ticks = round(DAY_S / INTERVAL_S)
        for i in range(ticks):
            tick(begin_s + INTERVAL_S * i)
            if (i + 1) % (ticks // 6) == 0:
                gc.collect()
                memory.append(_rss_mib(os.getpid()))
        spent_s = time.process_time() - spent_s
        kept = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        f"a day of {ticks:,} ticks, processor a tick": f"{1e3 * spent_s / ticks:.1f} ms, fits included",
        "  memory every 4 h": ", ".join(f"{mib:.0f}" for mib in memory) + " MiB",
        "  journal": f"{kept / 1e6:.1f} MB",
    }
