"""Read what Dynamo's replay tells a scaling policy before it begins: fleet, promise, profile and history."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from models import scattered
from models.artifact import EngineLimits, LayoutProfile, Phase
from models.codec import digest
from models.dynamo_tables import DecodeTable, PrefillTable, decode_points, prefill_points, prefill_surface
from models.errors import ConfigError, InputError
from models.policy import LONGEST_STARTUP_S, MOST_GPUS, MOST_REPLICAS, PlanPolicy, TickPolicy
from models.values import Parallelism, Role
from models.version import VERSION
from planner.forecasting import Forecasting
from planner.observe.replay_history import read_replay_history
from planner.tick import Served

# The replay's clock has no date. Its time 0 counts as the midnight of Monday, 2001-01-01 UTC: the seasons
# that its history shows are found whatever the hour is called.
ORIGIN_S = 978_307_200.0
# A replica that takes this much longer to start than the replay states will not come.
LATE = 1.5
_SETTINGS = "headgate"
_MOST = 1e12


@dataclass(frozen=True, slots=True)
class ReplaySetting:
    """Hold what a policy of the replay is made of; the forecaster knows the history."""

    policy: TickPolicy
    served: Served
    forecaster: Forecasting


def read_setting(config: Mapping[str, Any]) -> ReplaySetting:
    """Read the keys that the replay gives to a policy's factory.

    `profile_dir` is a folder of Dynamo's profiler. `slo_ttft_ms`, `slo_itl_ms`, `startup_s`, `gpu_cap` (None:
    no bound), `prefill_gpus`, `decode_gpus`, `min_prefill`, `min_decode` and the engine's limits
    (`prefill_max_num_seqs`, `decode_max_num_seqs`, `max_num_batched_tokens`, `decode_max_kv_tokens`) go
    before the configuration; `history_csv` may be None. `headgate` names a configuration with one deployment,
    prefill and decode apart and one class; without it config/presets/replay/dynamo.yaml holds. Other keys
    are the replay's own affair.

    Raises ConfigError or InputError that names the key, and what to do.
    """
    _check_spelling(config)
    layouts, profile_digest = _layouts(config)
    policy = _policy(config)
    names = [c.name for c in policy.plan.classes]
    forecaster = Forecasting(policy.forecast, names, policy.plan.hold_horizon_s())
    if config.get("history_csv") is not None:
        past = read_replay_history(Path(_text(config, "history_csv")), ORIGIN_S)
        forecaster.seed({names[0]: past})
    return ReplaySetting(policy, Served(layouts, profile_digest, VERSION), forecaster)


def replica_layouts(
    tables: tuple[PrefillTable, DecodeTable],
    gpus: Mapping[Role, int],
    limits: Mapping[Role, EngineLimits],
    kv_capacity_tokens: float,
) -> dict[Role, LayoutProfile]:
    """Make the layouts of the replay's workers from the tables of Dynamo's profiler.

    The simulator's prefill takes what the table says of a prompt, so that no part of a TTFT passes outside
    the engine; a hand-over costs nothing. Raises ValueError for tables that show too little.
    """
    prefill, decode = tables
    width = {role: Parallelism(tp=n) for role, n in gpus.items()}
    prompts = prefill_points(prefill, gpus[Role.PREFILL])
    surface, said = prefill_surface(prompts, width[Role.PREFILL], limits[Role.PREFILL])
    sampled = scattered.surface(Phase.DECODE, decode_points(decode, gpus[Role.DECODE]))
    return {
        Role.PREFILL: LayoutProfile(
            role=Role.PREFILL,
            parallelism=width[Role.PREFILL],
            limits=limits[Role.PREFILL],
            kv_capacity_tokens=kv_capacity_tokens,
            prefill=surface,
            provenance=f"Dynamo profile, {said}",
        ),
        Role.DECODE: LayoutProfile(
            role=Role.DECODE,
            parallelism=width[Role.DECODE],
            limits=limits[Role.DECODE],
            kv_capacity_tokens=kv_capacity_tokens,
            decode=sampled.surface,
            provenance="Dynamo profile",
        ),
    }


def _layouts(config: Mapping[str, Any]) -> tuple[dict[Role, LayoutProfile], str]:
    from planner.wiring import read_dynamo_tables

    folder = Path(_text(config, "profile_dir"))
    tables = read_dynamo_tables(folder)
    iteration = _whole(config, "max_num_batched_tokens")
    roles = (Role.PREFILL, Role.DECODE)
    limits = {role: EngineLimits(_whole(config, f"{role}_max_num_seqs"), iteration) for role in roles}
    gpus = {role: _whole(config, f"{role}_gpus", most=MOST_GPUS) for role in roles}
    room = float(tables[1].max_kv_tokens)
    if config.get("decode_max_kv_tokens") is not None:
        room = _number(config, "decode_max_kv_tokens", 1, _MOST)
    said = digest([repr(tables), repr(limits), room])
    try:
        return replica_layouts(tables, gpus, limits, room), said
    except ValueError as error:
        raise InputError(f"{folder}: Dynamo's tables: {error}") from None


def _policy(config: Mapping[str, Any]) -> TickPolicy:
    """Return the configured policy with what the replay states in its place."""
    from planner.wiring import read_config

    if config.get(_SETTINGS) is None:
        with as_file(files("config") / "presets" / "replay" / "dynamo.yaml") as path:
            loaded = read_config(path)
    else:
        loaded = read_config(Path(_text(config, _SETTINGS)))
    policy, path = loaded.tick_policy(), loaded.path
    if set(policy.plan.pools) != {Role.PREFILL, Role.DECODE}:
        raise ConfigError(
            f"{path}: the replay's workers prefill or decode; state both pools, not `aggregated`"
        )
    if len(policy.plan.classes) != 1:
        raise ConfigError(
            f"{path}: the replay tells no classes apart; state one, not {len(policy.plan.classes)}"
        )
    plan = _plan(config, policy.plan)
    forecast = replace(policy.forecast, reach_s=max(policy.forecast.reach_s, plan.least_reach_s()))
    return replace(policy, plan=plan, forecast=forecast)


def _plan(config: Mapping[str, Any], stated: PlanPolicy) -> PlanPolicy:
    startup_s = _number(config, "startup_s", 0, LONGEST_STARTUP_S)
    pools = {
        role: replace(
            pool,
            min_replicas=_whole(config, f"min_{role}", most=MOST_REPLICAS, default=1),
            startup_s=startup_s,
            startup_p99_s=LATE * startup_s + stated.interval_s,
        )
        for role, pool in stated.pools.items()
    }
    served = stated.classes[0]
    promise = {
        "ttft_s": _number(config, "slo_ttft_ms", 0, _MOST) / 1e3,
        "itl_s": _number(config, "slo_itl_ms", 0, _MOST) / 1e3,
    }
    if min(promise.values()) <= 0:
        raise ConfigError("slo_ttft_ms and slo_itl_ms: a promise is above 0 ms")
    return replace(
        stated,
        classes=(replace(served, slo=replace(served.slo, **promise)),),
        pools=pools,
        budget_gpus=None if config.get("gpu_cap") is None else _whole(config, "gpu_cap", most=MOST_GPUS),
    )


def _check_spelling(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for a key that can only be a slip of the one that a person writes."""
    for key in config:
        if key != _SETTINGS and difflib.get_close_matches(str(key).lower(), [_SETTINGS], cutoff=0.8):
            raise ConfigError(f"{key}: is no key of the replay; did you mean {_SETTINGS!r}?")


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{key}: must name a file or folder, got {value!r}")
    return str(value)


def _whole(config: Mapping[str, Any], key: str, most: float = _MOST, default: int | None = None) -> int:
    if default is not None and config.get(key) is None:
        return default
    value = _number(config, key, 1, most)
    if value != int(value):
        raise ConfigError(f"{key}: must be a whole number, got {value:g}")
    return int(value)


def _number(config: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}: must be a number, got {value!r}; the replay gives it to its policy")
    if not least <= value <= most:
        raise ConfigError(f"{key}: must be from {least:g} to {most:g}, got {value:g}")
    return float(value)
