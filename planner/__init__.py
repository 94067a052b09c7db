"""Plan a fleet for months: look, predict, size, decide, act, record."""
