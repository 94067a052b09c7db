"""Turn backtests into plain data, for JSON and YAML."""

from collections.abc import Sequence

from models import codec
from models.forecast.trial import Trial

SCHEMA = "headgate/backtest/v1"


def to_plain(trials: Sequence[Trial]) -> dict[str, object]:
    """Return what `headgate backtest -o json` writes; times are Unix seconds, losses in the series' unit."""
    return {"schema": SCHEMA, "series": [_trial(trial) for trial in trials]}


def _trial(trial: Trial) -> dict[str, object]:
    horizons = []
    for cell in trial.cells:
        best = cell.best()
        horizons.append(
            {
                "horizon_s": cell.horizon_s,
                "origins": cell.origins,
                "best": best.model if best else None,
                "selected_over_best": cell.versus_best(),
                "models": [codec.to_plain(score) for score in (cell.selected, *cell.models)],
            }
        )
    return {
        "name": trial.name,
        "step_s": trial.step_s,
        "from_s": trial.from_s,
        "train_until_s": trial.train_until_s,
        "until_s": trial.until_s,
        "quantile": trial.quantile,
        "refit_s": trial.refit_s,
        "fits": len(trial.lived.fits),
        "mean": trial.mean,
        "mase_scale": codec.to_plain(trial.mase_scale),
        "horizons": horizons,
        "selected": codec.to_plain(trial.selection),
        "notes": list(trial.notes),
    }
