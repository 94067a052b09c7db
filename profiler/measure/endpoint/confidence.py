"""Say how well a mean is known."""

import math
import statistics
from collections.abc import Sequence

# Student's t at 97.5 % for 1, 2, 3 ... degrees of freedom; beyond the list the normal quantile and 1/df.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145)


def half_width(values: Sequence[float]) -> float:
    """Return half the width of the mean's 95 % interval; infinite for fewer than two values."""
    n = len(values)
    if n < 2:
        return math.inf
    # 1.96 + 2.55/df is within 0.2 % of Student's t from 15 degrees of freedom on.
    t = _STUDENT[n - 2] if n - 2 < len(_STUDENT) else 1.96 + 2.55 / (n - 1)
    return t * statistics.stdev(values) / math.sqrt(n)
