"""Read the demand before Dynamo's replay begins: CSV `t_min,rps,isl,osl`, minutes before time 0."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from models.errors import TraceError
from models.series import Floats, Series
from models.values import Signal

_COLUMNS = ("t_min", "rps", "isl", "osl")
_MINUTE_S = 60.0


def read_replay_history(path: Path, origin_s: float) -> Mapping[Signal, Series]:
    """Return arrivals and tokens per second by the minute; time 0 of the replay is `origin_s` (Unix).

    `rps` are mean arrivals per second of the minute that begins at `t_min`, `isl` and `osl` mean tokens per
    request; a minute without requests needs no lengths. A row that is not usable, or that lies past time 0,
    is a gap. Raises TraceError for a file that cannot be read, lacks a column or has no usable row.
    """
    rows = _rows(path)
    minute, rps, isl, osl = rows.T
    usable = np.isfinite(minute) & (minute < 0) & (rps >= 0)
    usable &= (rps == 0) | ((isl >= 0) & (osl >= 0))
    if not usable.any():
        raise TraceError(f"{path}: has no usable row from before time 0: t_min below 0, rps, isl, osl")
    times_s = origin_s + _MINUTE_S * minute[usable]
    rate = rps[usable]
    tokens = {
        Signal.ARRIVALS: rate,
        Signal.PREFILL_TOKENS: np.where(rate > 0, rate * isl[usable], 0.0),
        Signal.DECODE_TOKENS: np.where(rate > 0, rate * osl[usable], 0.0),
    }
    try:
        return {s: Series.from_points(times_s, values, _MINUTE_S) for s, values in tokens.items()}
    except ValueError as error:
        raise TraceError(f"{path}: {error}") from None


def _rows(path: Path) -> Floats:
    """Return the four columns, shape (rows, 4); NaN where a cell is no number."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, skipinitialspace=True)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise TraceError(
                    f"{path}: a replay's history has {', '.join(_COLUMNS)}; missing: {missing[0]}"
                )
            cells = [[_value(row[name]) for name in _COLUMNS] for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TraceError(f"{path}: cannot be read: {reason}") from None
    return np.array(cells, dtype=np.float64).reshape(-1, len(_COLUMNS))


def _value(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return math.nan
