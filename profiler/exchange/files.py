"""Write the files of Dynamo's profiler and mocker (1.4.2); `config.dynamo_profile` reads them."""

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.dynamo_tables import DECODE_FILE, PREFILL_FILE, DecodeTable, PrefillTable
from models.errors import InputError
from profiler.exchange.dynamo import MockerTable


def write_folder(prefill: PrefillTable, decode: DecodeTable, folder: Path) -> tuple[Path, Path]:
    """Write both tables where Dynamo looks for them; returns the paths, raises InputError."""
    written = (folder / PREFILL_FILE, folder / DECODE_FILE)
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
