"""Say what a recommendation is worth, and how sure it is."""

from models.plan.outlook import FleetOutlook, Outlook
from models.render.formats import number, share, words


def outlook_lines(found: Outlook | None) -> tuple[tuple[str, str], ...]:
    """Return what there is to say, as (what, in words); nothing where nothing could be judged."""
    if found is None:
        return ()
    return (
        ("Per month", _worth(found)),
        ("Promise now", _kept(found.now)),
        ("Promise after", _kept(found.after)),
    )


def _worth(found: Outlook) -> str:
    saved = found.saves_gpu_h
    if not saved:
        said = f"{number(found.now.gpu_h)} GPU-hours, as now"
    else:
        verb = "saves" if saved > 0 else "takes"
        said = f"{verb} {number(abs(saved))} GPU-hours, of {number(found.now.gpu_h)}"
    money = found.saves_money
    if money is None:
        return f"{said} (730 h; no price is stated)"
    unit = f" {found.currency}" if found.currency else ""
    if money:
        return f"{said}; {'saves' if money > 0 else 'costs'} {abs(money):,.0f}{unit} (730 h)"
    return f"{said}; the bill stays at {found.now.money or 0.0:,.0f}{unit} (730 h): no node falls empty"


def _kept(fleet: FleetOutlook) -> str:
    return words([f"{share(met)} of {name}" for name, met in fleet.attainment.items()])
