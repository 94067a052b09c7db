"""The scaler lets deployments share a pool: every journal line says what its deployment got, and why."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from models.decision import Record
from planner.record.journal import read_journal
from tests.components import REPOSITORY
from tests.unit.commands.test_recommend_pool import RPS, shared
from tests.unit.loop.ground import frontend
from tests.unit.observe.http_server import answering

GPUS, DEADLINE_S = 12, 90.0
WIDTHS = {"prefill": 1, "decode": 4}


def records(folder: Path) -> list[Record]:
    if not folder.exists() or not any(folder.glob("*.jsonl")):
        return []
    return [line.record for line in read_journal(folder) if line.record]


@pytest.mark.slow
def test_two_deployments_of_a_pool_are_scaled_inside_it(tmp_path: Path) -> None:
    with answering(partial(frontend, rps=RPS)) as prometheus:
        config = shared(tmp_path, prometheus.url, GPUS)
        command = [sys.executable, "-c", "from planner.cli import main; main()", "run", "--dry-run"]
        command += ["--config", str(config), "--cluster-state", str(tmp_path / "state.yaml")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
        try:
            until = time.monotonic() + DEADLINE_S
            last: dict[str, Record] = {}
            while time.monotonic() < until and process.poll() is None:
                last = {r.deployment: r for r in records(tmp_path / "journal")}
                # The first looks fall at any order; from the second tick on each knows what the other needs.
                if set(last) == {"shop", "mail"} and all(r.share and r.share.binds for r in [last["mail"]]):
                    break
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30.0)
        finally:
            process.kill()
            process.communicate()

    assert process.returncode == 0, errors
    assert set(last) == {"shop", "mail"}, errors
    assert last["mail"].share is not None
    assert "shop goes first" in last["mail"].share.sentence, errors
    for record in last.values():
        wanted = sum(WIDTHS[role.value] * n for role, n in record.decision.final.items())
        assert record.share is not None
        assert wanted <= max(record.share.gpus, record.share.held_gpus)
