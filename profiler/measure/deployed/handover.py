"""Say that a successor has taken over what this process holds in the cluster."""

from models.errors import MeasureError


class HandedOverError(MeasureError):
    """Report that another pod does this one's work: its candidate is the other's now, and stays."""
