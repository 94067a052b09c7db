"""Hold fleets whose engines do nothing special to the very latencies that they had before any could."""

import hashlib

import numpy as np
import pytest

from models.artifact import LayoutProfile
from models.simulation.ledger import Ledger
from models.simulation.workload import Workload
from models.values import Role, Router
from tests.unit.simulation.fleets import aggregated, decode, fleet, pair, prefill

DISAGGREGATED = pair(
    prefill(1e-5, fixed_s=0.001, batched_tokens=4000, overhead_s=0.01, handover_s_per_token=1e-7),
    decode(0.001, 1e-5, 1e-9, seqs=64, kv_tokens=90_000),
)
AGGREGATED = {Role.AGGREGATED: aggregated(1e-5, 0.001, 1e-5, batched_tokens=2000, seqs=32)}


def workload(requests: int = 4000, mean_gap_s: float = 0.01) -> Workload:
    """Draw requests by a linear congruence (Numerical Recipes): the same on every machine and numpy."""
    numbers, state = [], 1
    for _ in range(3 * requests):
        state = (1_664_525 * state + 1_013_904_223) % 2**32
        numbers.append(state >> 8)
    gaps, isl, osl = np.array(numbers).reshape(3, requests)
    times = np.cumsum(gaps % 1024) * (mean_gap_s / 512)
    return Workload.of(times, 1 + isl % 4000, 1 + osl % 300)


def digest(ledger: Ledger) -> str:
    """Return a digest of every request's times, to a nanosecond."""
    times = np.array([ledger.first_token_s, ledger.finish_s])
    return hashlib.sha256(np.rint(times * 1e9).astype("<i8").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("layouts", "router", "known"),
    [
        (DISAGGREGATED, Router.LOAD, "39f6dfc2c6dd03ed"),
        (DISAGGREGATED, Router.ROUND_ROBIN, "edb2891b6814f648"),
        (AGGREGATED, Router.LOAD, "da1694b023c2bfd0"),
    ],
)
def test_without_features_every_request_keeps_its_times(
    layouts: dict[Role, LayoutProfile], router: Router, known: str
) -> None:
    opened = fleet(workload(), layouts, dict.fromkeys(layouts, 2), router=router)
    opened.advance(5.0)
    opened.scale(next(iter(layouts)), 3)
    opened.advance(30.0)
    opened.scale(next(iter(layouts)), 1)
    opened.advance(1e4)

    assert opened.in_flight == 0
    assert digest(opened.ledger) == known
