"""Read a file that states the pools of a deployment, for where no cluster can be asked."""

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from config.document import Document, Kind, read_file
from config.quantities import Count, read_duration
from config.section import Section
from models.errors import ConfigError, StateError
from models.observation import Obstacle, PoolState, StartingReplica
from models.policy import MOST_REPLICAS
from models.values import Role

_SHAPE = "a cluster state is a mapping such as `pools: {prefill: {replicas: 2}, decode: {replicas: 4}}`"
_KIND = Kind("cluster state", _SHAPE, _SHAPE)


def _moment(value: object, info: ValidationInfo) -> float:
    """Read an RFC 3339 time as Unix seconds, or a duration such as "90s" as so long ago."""
    if not isinstance(value, str):
        raise ValueError('wants a time such as 2026-11-27T09:30:00Z, or how long ago, such as "90s"')
    text = value.strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        now_s: float = (info.context or {}).get("now_s", 0.0)
        return now_s - read_duration(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone; add Z for UTC")
    return moment.timestamp()


def _listed(value: object) -> object:
    """Let a plain count stand for so many replicas that were asked for just now."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 10_000:
            raise ValueError("wants a count of replicas from 0 to 10000")
        return [{} for _ in range(value)]
    return value


Moment = Annotated[float, BeforeValidator(_moment)]


class StartingSettings(Section):
    """One replica that was asked for and does not serve yet."""

    since: Moment | None = None
    stuck: str | None = None
    obstacle: Obstacle | None = None


class PoolSettings(Section):
    """The replicas of one role. `replicas` is what the owner asks for; the rest is what there is."""

    replicas: Count | None = Field(default=None, ge=0, le=MOST_REPLICAS)
    ready: Count | None = Field(default=None, ge=0, le=MOST_REPLICAS)
    starting: Annotated[tuple[StartingSettings, ...], BeforeValidator(_listed)] = ()
    draining: Count = Field(default=0, ge=0, le=MOST_REPLICAS)
    paused: bool = False
    paused_scale_in: bool = False
    paused_scale_out: bool = False
    pinned: Count | None = Field(default=None, ge=0, le=MOST_REPLICAS)
    rollout: bool = False

    @model_validator(mode="after")
    def _says_how_many(self) -> "PoolSettings":
        if self.replicas is None and self.ready is None:
            raise ValueError("says nothing: give `replicas`, or `ready` and what is `starting`")
        return self

    def to_state(self, now_s: float) -> PoolState:
        """Return the pool; with only `replicas` given all that are not starting are ready."""
        starting = tuple(
            StartingReplica(now_s if s.since is None else s.since, s.stuck, s.obstacle) for s in self.starting
        )
        ready = max((self.replicas or 0) - len(starting), 0) if self.ready is None else self.ready
        desired = ready + len(starting) if self.replicas is None else self.replicas
        return PoolState(
            desired=desired,
            ready=ready,
            starting=starting,
            draining=self.draining,
            rollout_in_progress=self.rollout,
            paused=self.paused,
            paused_scale_in=self.paused_scale_in,
            paused_scale_out=self.paused_scale_out,
            pinned_replicas=self.pinned,
        )


class FleetSettings(Section):
    """The pools of one deployment by role."""

    pools: Mapping[Role, PoolSettings] = Field(min_length=1)


class StateSettings(Section):
    """Either `pools` of the one deployment, or `deployments` by name."""

    pools: Mapping[Role, PoolSettings] | None = None
    deployments: Mapping[str, FleetSettings] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "StateSettings":
        if (self.pools is None) == (self.deployments is None):
            raise ValueError("holds either `pools` or `deployments`, one of them")
        return self


def read_cluster_state(path: Path, deployment: str, now_s: float) -> dict[Role, PoolState]:
    """Return the pools of a deployment from a YAML or JSON file, as of `now_s` (Unix seconds).

    Raises StateError that names the file, the line, the key and the nearest known key.
    """
    try:
        document = read_file(path, _KIND)
    except ConfigError as error:
        raise StateError(f"cluster state {error}") from None
    if document.faults:
        fault = document.faults[0]
        key = ".".join(map(str, fault.path))
        raise StateError(f"cluster state {path}:{fault.line}: {key} {fault.sentence}")
    try:
        state = StateSettings.model_validate(document.values, context={"now_s": now_s})
    except ValidationError as error:
        raise StateError(f"cluster state {_first_problem(error, document, path)}") from None
    pools = state.pools
    if pools is None:
        fleet = (state.deployments or {}).get(deployment)
        if fleet is None:
            known = ", ".join(state.deployments or {}) or "none"
            raise StateError(f"cluster state {path}: has no deployment {deployment!r}; it holds {known}")
        pools = fleet.pools
    return {role: pool.to_state(now_s) for role, pool in pools.items()}


def _first_problem(error: ValidationError, document: Document, path: Path) -> str:
    # A mistyped key also leaves its rightful one missing: name the key that was written.
    problem = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    loc = tuple(part for part in problem["loc"] if part != "[key]")
    line = document.line(loc)
    where = f"{path}:{line}" if line else f"{path}"
    key = ".".join(map(str, loc))
    if "[key]" in problem["loc"]:
        return f"{where}: `{key}` is no role; {_nearest(str(loc[-1]), [str(r) for r in Role])}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key `{key}`; {_nearest(str(loc[-1]), _known(loc))}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: `{key}`: {message}" if key else f"{where}: {message}"


def _known(loc: tuple[Any, ...]) -> list[str]:
    """Return the keys that may stand where the unknown one stands."""
    inside = loc[2:] if loc[0] == "deployments" and len(loc) > 2 else loc
    if len(inside) > 3:
        return list(StartingSettings.model_fields)
    if len(inside) == 3:
        return list(PoolSettings.model_fields)
    return list(FleetSettings.model_fields if inside is not loc else StateSettings.model_fields)


def _nearest(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
