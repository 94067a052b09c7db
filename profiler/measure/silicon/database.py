"""Reach the database of measured kernels: alone in importing aiconfigurator_core, and only when asked."""

import difflib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.errors import ConfigError

# Kernels of another width or, failing that, of another number format of the same size may stand in for ones
# that were never measured; other operations may not. What stood in is told by `Handle.stand_in`.
STAND_INS = "balanced"
VERSION = "current"
REMEDY = "install it with pip install 'headgate[silicon]' (x86-64 Linux, Python up to 3.13)"

Table = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """Name one engine build: the database's own words for model, system, engine, widths and number formats.

    `comm` names how experts on many ranks exchange tokens while a prompt is read and while one is answered;
    empty: the engine's ordinary collectives. `drafts` are verified per decode step.
    """

    model: str
    system: str
    backend: str
    tp: int = 1
    pp: int = 1
    dp: int = 1
    moe_tp: int = 1
    moe_ep: int = 1
    gemm: str = "bfloat16"
    moe: str | None = None
    kv: str = "bfloat16"
    fmha: str = "bfloat16"
    drafts: int = 0
    comm: tuple[str, str] | None = None

    def modes(self) -> dict[str, Any]:
        """Return widths and number formats as the database's functions name them."""
        return {
            "tp_size": self.tp,
            "pp_size": self.pp,
            "attention_dp_size": self.dp,
            "moe_tp_size": self.moe_tp,
            "moe_ep_size": self.moe_ep,
            "gemm_quant_mode": self.gemm,
            "moe_quant_mode": self.moe,
            "kvcache_quant_mode": self.kv,
            "fmha_quant_mode": self.fmha,
        }


class MissingDataError(Exception):
    """Say that the database holds nothing for a request or a point; the text is its own, in one line."""


@dataclass(frozen=True, slots=True)
class Handle:
    """Read times of one engine build; batches are per attention rank, times in seconds."""

    engine: Any
    operations: Mapping[str, tuple[Mapping[str, Any], ...]]

    def prefill_s(self, prompts: int, tokens: int, cached: int) -> float:
        """Return one pass over `prompts` prompts of `tokens` new tokens each behind `cached` ones."""
        with _answering():
            return float(self.engine.predict_prefill_latency(prompts, cached + tokens, cached)) / 1e3

    def decode_s(self, batch: int, context: int) -> float:
        """Return one decode step of `batch` sequences of a rank, drafts verified along."""
        with _answering():
            return float(self.engine.predict_decode_latency(batch, context, 2)) / 1e3

    def stand_in(self) -> str:
        """Return what stood in for a missing kernel in the latest answer, empty where all were measured."""
        tier = self.engine.last_provenance()
        return {None: "", "xshape": "kernels of another width", "xquant": "kernels of another format"}.get(
            tier, str(tier)
        )


def installed_version() -> str:
    """Return the version of the database; raises ConfigError saying how to install it."""
    from importlib import metadata

    try:
        import aiconfigurator_core  # noqa: F401

        return metadata.version("aiconfigurator-core")
    except ImportError:
        raise ConfigError(f"the silicon backend needs aiconfigurator-core: {REMEDY}") from None


@cache
def models() -> tuple[str, ...]:
    """Return the names of the models whose configuration the database brings."""
    from aiconfigurator_core.sdk.common import DefaultHFModels

    return tuple(sorted(DefaultHFModels))


@cache
def systems() -> tuple[str, ...]:
    """Return the names of the systems of which the database holds measurements."""
    folder = _systems_path()
    named = [card.stem for card in folder.glob("*.yaml")]
    return tuple(sorted(name for name in named if any((folder / "data" / name).glob("*/"))))


def sample() -> Path:
    """Return the file of measured end-to-end points that comes with the database."""
    return _systems_path() / "silicon_sample.csv"


def shape(model: str) -> Mapping[str, Any]:
    """Return a model's figures as its configuration has them: `layers`, `hidden_size`, `n`, `n_kv`, `vocab`.

    Raises ConfigError for a configuration that cannot be read.
    """
    from aiconfigurator_core.sdk.utils import get_model_config_from_model_path

    try:
        found: Mapping[str, Any] = get_model_config_from_model_path(model)
    except (ValueError, KeyError, OSError, TypeError) as error:
        raise ConfigError(
            f"{model}: not a model configuration that the database understands: {_line(error)}"
        ) from None
    return found


def version_of(system: str, backend: str) -> str:
    """Return the engine version that was measured; raises ConfigError where that engine was not."""
    from aiconfigurator_core.sdk import perf_database

    try:
        return str(perf_database.resolve_query_version(system, backend, VERSION))
    except (ValueError, KeyError) as error:
        raise ConfigError(f"the database holds nothing of {backend} on {system}: {_line(error)}") from None


def table(system: str, backend: str, name: str) -> Table:
    """Return one table of measurements as nested mappings, empty where there is none.

    The innermost mappings go by the measured numbers of tokens, prompts or GPUs.
    """
    return _table(system, backend, name) or {}


@cache
def _table(system: str, backend: str, name: str) -> Table | None:
    from aiconfigurator_core.sdk.engine_table_view import fetch_table_view

    with _quiet():
        found: Table | None = fetch_table_view(_view(system, backend), f"_{name}_data")
    return found


def build(request: Request) -> Handle:
    """Compile one engine build; raises MissingDataError for what the database cannot represent."""
    import json

    import aiconfigurator_core
    from aiconfigurator_core.sdk.config_builders import apply_nextn, build_model_config
    from aiconfigurator_core.sdk.engine import EngineHandle, build_engine_spec_json
    from aiconfigurator_core.sdk.models import get_model

    version, view = version_of(request.system, request.backend), _view(request.system, request.backend)
    with _answering(), _quiet():
        config = build_model_config(**request.modes())
        apply_nextn(config, request.drafts)
        if request.comm is not None:
            config.moe_comm_backend = dict(zip(("context", "generation"), request.comm, strict=True))
            config.num_gpus_per_node = view.system_spec["node"]["num_gpus_per_node"]
            config.system = request.system
        spec = build_engine_spec_json(
            get_model(request.model, config, request.backend),
            model_path=request.model,
            system=request.system,
            backend=request.backend,
            backend_version=version,
            kv_block_size=None,
            systems_path=None,
            nextn=config.nextn,
            database=view,
        )
        handle = EngineHandle(bytes(aiconfigurator_core.engine_spec_bincode_from_json(spec)))
    plain = json.loads(spec)
    return Handle(handle, {"prefill": tuple(plain["context_ops"]), "decode": tuple(plain["generation_ops"])})


def kv_bytes(request: Request, max_tokens: int, max_seqs: int, reserve_ratio: float) -> float:
    """Return the bytes that one GPU has for its KV cache; raises MissingDataError where no estimate is made.

    The reserve is left out as the engine counts it: of what weights and activations leave free (TensorRT-LLM)
    or of all memory.
    """
    from aiconfigurator_core.sdk.memory import estimate_kv_cache

    with _answering(), _quiet():
        found = estimate_kv_cache(
            request.model,
            request.system,
            request.backend,
            VERSION,
            max_num_tokens=max_tokens,
            max_batch_size=max_seqs,
            memory_fraction_kind="of_free" if request.backend == "trtllm" else "of_total",
            memory_fraction_value=1.0 - reserve_ratio,
            nextn=request.drafts,
            **request.modes(),
        )
    return float(found["total_kv_size_bytes"])


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Return a clause for a message: the known names that are close to one that is not, or what there is."""
    lower = {each.lower(): each for each in known}
    short = {each.rpartition("/")[2]: each for each in lower}
    wanted = name.lower().rpartition("/")[2]
    found = difflib.get_close_matches(wanted, [*short, *lower], n=3, cutoff=0.5)
    close = dict.fromkeys(lower[short.get(each, each)] for each in found)
    return f"nearest: {', '.join(close)}" if close else f"there are {', '.join(known)}"


@cache
def _view(system: str, backend: str) -> Any:
    from aiconfigurator_core.sdk import perf_database

    version_of(system, backend)
    with _quiet():
        found = perf_database.get_database_view(
            system, backend, VERSION, database_mode="HYBRID", transfer_policy=STAND_INS
        )
    if found is None:
        raise ConfigError(f"the database holds nothing of {backend} on {system}")
    return found


def _systems_path() -> Path:
    import aiconfigurator_core

    return Path(aiconfigurator_core.__file__).parent / "systems"


@contextmanager
def _answering() -> Iterator[None]:
    """Turn the database's many ways to say that it has no data into one."""
    from aiconfigurator_core.sdk import errors

    known = (
        ValueError,  # also what is raised for unsupported widths and formats
        AssertionError,  # a model's own check of its widths
        KeyError,
        errors.PerfDataNotAvailableError,
        errors.EmpiricalNotImplementedError,
        errors.SolNotImplementedError,
        errors.NoResultsError,
    )
    try:
        yield
    except known as error:
        raise MissingDataError(_line(error)) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the database's notes to itself: what matters of them is in our provenance."""
    logger = logging.getLogger("aiconfigurator_core")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _line(error: BaseException) -> str:
    """Return an error's text in one line, without the folder that the database lies in."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    text = " ".join(str(error).split()).partition(" at /")[0]
    return text or type(error).__name__
