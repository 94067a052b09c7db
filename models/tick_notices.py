"""Say what a tick did, met or could not do that a person should hear of."""

from collections.abc import Iterator

from models.decision import Reason, Record, Status
from models.notice import Event, Notice
from models.observation import Obstacle
from models.values import Binding, Role

# A state that lasts is told again in every hour: events in a cluster are kept for that long.
AGAIN_S = 3600.0

_OBSTACLES = {Obstacle.QUOTA: Event.QUOTA_REFUSED, Obstacle.CAPACITY: Event.CAPACITY_REFUSED}
_OUTCOMES = {Status.SUPERSEDED: Event.SUPERSEDED, Status.FAILED: Event.SCALING_FAILED}


def tick_notices(before: Record | None, now: Record) -> tuple[Notice, ...]:
    """Return what to tell of a tick: each change, and each state when it begins and once in every hour."""
    found = list(_changes(now))
    known = set() if before is None or _hour(before) != _hour(now) else {_key(n) for n in _states(before)}
    found += [notice for notice in _states(now) if _key(notice) not in known]
    return tuple(found)


def _changes(now: Record) -> Iterator[Notice]:
    if now.outcome.status is Status.APPLIED:
        for role, count in now.decision.changes.items():
            event = Event.SCALED_UP if count > now.decision.current[role] else Event.SCALED_DOWN
            yield _of(event, now.decision.sentence(role), role)


def _states(record: Record) -> Iterator[Notice]:
    """Yield what is so at a tick, whether or not it was before."""
    event = _OUTCOMES.get(record.outcome.status)
    if event is not None:
        yield _of(event, record.outcome.detail or record.outcome.status.value)
    held = [a for a in record.decision.adjustments if a.reason in _WITHOUT_DATA]
    if held:
        yield _of(Event.HELD, "; ".join(dict.fromkeys(a.sentence for a in held)))
    yield from _bounds(record)
    for role, pool in record.observation.pools.items():
        stuck = [each for each in pool.starting if each.stuck is not None]
        for event in dict.fromkeys(_kind(each.obstacle) for each in stuck):
            some = [each for each in stuck if _kind(each.obstacle) is event]
            replicas = "1 replica" if len(some) == 1 else f"{len(some)} replicas"
            yield _of(event, f"{replicas} cannot start: {some[0].stuck}", role)


_WITHOUT_DATA = (Reason.STALE, Reason.NO_DEMAND, Reason.NO_FORECAST)


def _bounds(record: Record) -> Iterator[Notice]:
    sized = {} if record.sizing is None else record.sizing.roles
    for role in record.decision.final:
        cut = [
            a.sentence for a in record.decision.adjustments if a.role is role and a.reason is Reason.BUDGET
        ]
        if role in sized and sized[role].binding is Binding.BUDGET:
            cut = cut or [sized[role].sentence]
        if cut:
            yield _of(Event.BUDGET_BINDS, cut[0], role)


def _kind(obstacle: Obstacle | None) -> Event:
    return Event.CANNOT_START if obstacle is None else _OBSTACLES.get(obstacle, Event.CANNOT_START)


def _of(event: Event, sentence: str, role: Role | None = None) -> Notice:
    return Notice(event, "", None, sentence, role)


def _key(notice: Notice) -> tuple[Event, Role | None]:
    return notice.event, notice.role


def _hour(record: Record) -> int:
    return int(record.observation.at_s // AGAIN_S)
