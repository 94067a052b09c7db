"""Project a prefill queue to the moment when new capacity can serve it."""

from models.capacity.fleet import FleetModel
from models.capacity.prefill import full_batch
from models.observation import Observation, StartingReplica
from models.policy import PlanPolicy
from models.values import Role


def backlog_rps(observation: Observation, model: FleetModel, policy: PlanPolicy) -> float:
    """Return the extra prefill rate that works a queue off within `policy.backlog_recover_s`.

    B_H = max(0, B_0 + integral of (load - capacity) over the start-up time), with the capacity that serves
    now and, from when they are due, the replicas that are starting. B_0 is what waits beyond one full
    iteration per replica, because a queue of that length is the normal working state of a bulk server.
    Returns 0 when the queue was not observed.
    """
    if observation.queue is None or not observation.queue.requests:
        return 0.0
    role = Role.AGGREGATED if model.aggregated else Role.PREFILL
    pool = observation.pools.get(role)
    median = len(model.rates) // 2
    rates = model.prefill_rates[median]
    arriving = float(rates.sum())
    work_s = float(rates @ model.work_s) / arriving if arriving > 0 else float(model.work_s.mean())
    serving = (pool.ready if pool else 0) / max(work_s, 1e-9)
    mean_tokens = observation.queue.prefill_tokens / observation.queue.requests
    normal = (pool.ready if pool else 0) * full_batch(model.prefill_layout, max(mean_tokens, 1.0))
    waiting = max(observation.queue.requests - normal, 0.0)
    lead_s = policy.pools[role].startup_s
    coming_s = sum(
        max(lead_s - _remaining_s(s, observation, lead_s), 0.0) for s in (pool.starting if pool else ())
    )
    supply = serving * lead_s + coming_s / max(work_s, 1e-9)
    projected = max(0.0, waiting + arriving * lead_s - supply)
    return projected / policy.backlog_recover_s if waiting > 0 else 0.0


def _remaining_s(replica: StartingReplica, observation: Observation, lead_s: float) -> float:
    """Return the seconds until a starting replica serves; the whole lead for one that is stuck."""
    if replica.stuck is not None:
        return lead_s
    return max(lead_s - (observation.at_s - replica.since_s), 0.0)
