"""Say what a sized fleet costs, for which demand it stands, and which other layouts would do better."""

from models.decision import Sizing
from models.units import show_money


def worth_lines(sizing: Sizing) -> tuple[tuple[str, str], ...]:
    """Return what there is to say, as (what, in words)."""
    lines = []
    bill = sizing.bill
    if bill is not None:
        gpus, misses = (show_money(x, bill.currency) for x in (bill.gpu_per_h, bill.miss_per_h))
        lines.append(("Cost as sized", f"{gpus} of GPUs and {misses} of misses expected"))
    if sizing.demand_quantile is not None:
        lines.append(("Sized for", _demand(sizing.demand_quantile)))
    if sizing.reshape is not None:
        lines.append(("Other layouts", sizing.reshape.sentence))
    return tuple(lines)


def _demand(quantile: float) -> str:
    """Say up to which quantile of the forecast every promise is kept to its target."""
    if quantile <= 0:
        return "less than any demand that is forecast"
    return f"demand up to p{quantile * 100:.3g} of the forecast: until there every target is kept"
