"""Project a prefill queue to the moment when new capacity can serve it."""

from models.capacity.fleet import FleetModel
from models.capacity.prefill import full_batch
from models.observation import Observation, StartingReplica
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.values import Role


def backlog_rps(observation: Observation, search: FleetSearch, policy: PlanPolicy) -> float:
    """Return the extra prefill rate that works a queue off within `policy.backlog_recover_s`.

    B_H = max(0, B_0 + integral of (load - capacity) over the start-up time), with the capacity that serves
    now and, from when they are due, the replicas that are starting. The load is the median forecast, or what
    was measured last where that is more: a queue says that it is no noise. Returns 0 when the queue was not
    observed.
    """
    model = search.model
    waiting = _waiting(observation, model)
    if waiting <= 0:
        return 0.0
    role = _front(model)
    pool = observation.pools.get(role)
    rates = model.prefill_rates[search.middle]
    foreseen = float(rates.sum())
    work_s = float(rates @ model.work_s) / foreseen if foreseen > 0 else float(model.work_s.mean())
    arriving = max(foreseen, sum(d.arrivals_rps or 0.0 for d in observation.demand.values()))
    serving = (pool.ready if pool else 0) / max(work_s, 1e-9)
    lead_s = policy.pools[role].startup_s
    coming_s = sum(
        max(lead_s - _remaining_s(s, observation, lead_s), 0.0) for s in (pool.starting if pool else ())
    )
    supply = serving * lead_s + coming_s / max(work_s, 1e-9)
    return max(0.0, waiting + arriving * lead_s - supply) / policy.backlog_recover_s


def standing_rps(observation: Observation, model: FleetModel, policy: PlanPolicy) -> float:
    """Return the extra prefill rate that works off what waits now: no replica of those that do is a surplus.

    An up is ordered for the queue that will be left when it serves. A down takes effect at once, and the
    queue that the running replicas would have worked off by then is still there.
    """
    return _waiting(observation, model) / policy.backlog_recover_s


def _front(model: FleetModel) -> Role:
    return Role.AGGREGATED if model.aggregated else Role.PREFILL


def _waiting(observation: Observation, model: FleetModel) -> float:
    """Count what waits beyond one full iteration per replica: a bulk server always has that much."""
    if observation.queue is None or not observation.queue.requests:
        return 0.0
    pool = observation.pools.get(_front(model))
    mean_tokens = observation.queue.prefill_tokens / observation.queue.requests
    normal = (pool.ready if pool else 0) * full_batch(model.prefill_layout, max(mean_tokens, 1.0))
    return max(observation.queue.requests - normal, 0.0)


def _remaining_s(replica: StartingReplica, observation: Observation, lead_s: float) -> float:
    """Return the seconds until a starting replica serves; the whole lead for one that is stuck."""
    if replica.stuck is not None:
        return lead_s
    return max(lead_s - (observation.at_s - replica.since_s), 0.0)
