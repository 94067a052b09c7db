"""Read and write the files of Dynamo's profiler and mocker (1.4.2)."""

import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError
from profiler.exchange.dynamo import DecodeTable, MockerTable, PrefillTable

Floats = NDArray[np.float64]

PREFILL = Path("selected_prefill_interpolation") / "raw_data.npz"
DECODE = Path("selected_decode_interpolation") / "raw_data.npz"
# Dynamo's planner falls back to these where there is no npz file.
PREFILL_JSON, DECODE_JSON = Path("prefill_raw_data.json"), Path("decode_raw_data.json")
_PREFILL_KEYS = ("prefill_isl", "prefill_ttft", "prefill_thpt_per_gpu")
_DECODE_KEYS = ("x_kv_usage", "y_context_length", "z_itl", "z_thpt_per_gpu")


def write_folder(prefill: PrefillTable, decode: DecodeTable, folder: Path) -> tuple[Path, Path]:
    """Write both tables where Dynamo looks for them; returns the paths, raises InputError."""
    written = (folder / PREFILL, folder / DECODE)
    _write(
        written[0],
        prefill_isl=_whole(prefill.isl),
        prefill_ttft=np.array(prefill.ttft_ms),
        prefill_thpt_per_gpu=np.array(prefill.thpt_per_gpu),
    )
    _write(
        written[1],
        x_kv_usage=np.array(decode.kv_usage),
        y_context_length=np.array(decode.context),
        z_itl=np.array(decode.itl_ms),
        z_thpt_per_gpu=np.array(decode.thpt_per_gpu),
        max_kv_tokens=np.array([decode.max_kv_tokens]),
    )
    return written


def write_mocker(table: MockerTable, path: Path) -> None:
    """Write a timing table for `--planner-profile-data` of Dynamo's mocker; raises InputError."""
    _write(
        path,
        prefill_isl=np.array(table.isl),
        prefill_ttft_ms=np.array(table.ttft_ms),
        decode_active_kv_tokens=np.array(table.kv_tokens),
        decode_context_length=np.array(table.context),
        decode_itl=np.array(table.itl_ms),
    )


def read_folder(folder: Path) -> tuple[PrefillTable, DecodeTable]:
    """Read both tables, npz or JSON; raises InputError that names the file, the array and what to do."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no folder of Dynamo's profiler: name the one that holds {PREFILL.parent}"
        )
    where, prefill = _arrays(folder, PREFILL, PREFILL_JSON, _PREFILL_KEYS)
    _check(where, prefill, _PREFILL_KEYS)
    first = PrefillTable(*(_floats(prefill[key]) for key in _PREFILL_KEYS))
    where, decode = _arrays(folder, DECODE, DECODE_JSON, (*_DECODE_KEYS, "max_kv_tokens"))
    _check(where, decode, _DECODE_KEYS)
    room = np.ravel(decode["max_kv_tokens"])
    if len(room) != 1 or not 0 < room[0] < float("inf"):
        raise InputError(f"{where}: max_kv_tokens must be one number above zero, got {room[:3]}")
    usage, context, itl, rate = (_floats(decode[key]) for key in _DECODE_KEYS)
    return first, DecodeTable(usage, context, itl, rate, int(room[0]))


def _arrays(
    folder: Path, npz: Path, plain: Path, keys: Sequence[str]
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


def _write(path: Path, **arrays: NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(buffer.getvalue())
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _whole(values: Sequence[float]) -> NDArray[Any]:
    """Return whole numbers where all are, as Dynamo's profiler writes prompt lengths."""
    array = np.array(values)
    return array.astype(np.int64) if (array == np.round(array)).all() else array


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
