"""Read the folder that Dynamo's profiler (1.4.2) leaves, as a person names it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.dynamo_tables import DECODE_FILE, PREFILL_FILE, DecodeTable, PrefillTable
from models.errors import InputError

# Dynamo's planner falls back to these where there is no npz file.
_PREFILL_JSON, _DECODE_JSON = "prefill_raw_data.json", "decode_raw_data.json"
_PREFILL_KEYS = ("prefill_isl", "prefill_ttft", "prefill_thpt_per_gpu")
_DECODE_KEYS = ("x_kv_usage", "y_context_length", "z_itl", "z_thpt_per_gpu")


def read_folder(folder: Path) -> tuple[PrefillTable, DecodeTable]:
    """Read both tables, npz or JSON; raises InputError that names the file, the array and what to do."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no folder of Dynamo's profiler: name the one that holds {Path(PREFILL_FILE).parent}"
        )
    where, prefill = _arrays(folder, PREFILL_FILE, _PREFILL_JSON, _PREFILL_KEYS)
    _check(where, prefill, _PREFILL_KEYS)
    first = PrefillTable(*(_floats(prefill[key]) for key in _PREFILL_KEYS))
    where, decode = _arrays(folder, DECODE_FILE, _DECODE_JSON, (*_DECODE_KEYS, "max_kv_tokens"))
    _check(where, decode, _DECODE_KEYS)
    room = np.ravel(decode["max_kv_tokens"])
    if len(room) != 1 or not 0 < room[0] < float("inf"):
        raise InputError(f"{where}: max_kv_tokens must be one number above zero, got {room[:3]}")
    usage, context, itl, rate = (_floats(decode[key]) for key in _DECODE_KEYS)
    return first, DecodeTable(usage, context, itl, rate, int(room[0]))


def _arrays(
    folder: Path, npz: str, plain: str, keys: Sequence[str]
) -> tuple[Path, Mapping[str, NDArray[Any]]]:
    path = folder / npz
    try:
        if path.is_file() or not (folder / plain).is_file():
            with np.load(path, allow_pickle=False) as held:
                found = {key: held[key] for key in held.files}
        else:
            path = folder / plain
            found = {key: np.asarray(v) for key, v in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        raise InputError(f"{path}: not there; a folder of Dynamo's profiler holds {npz}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, AttributeError, EOFError, BadZipFile):
        raise InputError(f"{path}: damaged, or not a file of Dynamo's profiler; copy it again") from None
    absent = [key for key in keys if key not in found]
    if absent:
        held_keys = ", ".join(sorted(found)) or "nothing"
        raise InputError(f"{path}: lacks {', '.join(absent)}; it holds {held_keys}: is it another version's?")
    return path, found


def _check(where: Path, found: Mapping[str, NDArray[Any]], keys: Sequence[str]) -> None:
    """Raise InputError unless the arrays are numbers above zero, of one dimension and one length."""
    shapes = {key: found[key].shape for key in keys}
    if len(set(shapes.values())) != 1 or len(shapes[keys[0]]) != 1 or shapes[keys[0]] == (0,):
        raise InputError(f"{where}: arrays must be lists of one length with at least one point, got {shapes}")
    for key in keys:
        if found[key].dtype.kind not in "iuf":
            raise InputError(f"{where}: {key} holds {found[key].dtype}, not numbers")
        wrong = np.flatnonzero(~(np.isfinite(found[key]) & (found[key] > 0)))
        if len(wrong):
            raise InputError(
                f"{where}: {key}[{wrong[0]}] is {found[key][wrong[0]]}, not a number above zero; "
                "take that point out of all arrays"
            )


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
