"""How large a worsening a line of a gate could have seen, by what clusters of topics differ by from each other."""

from math import inf, sqrt
from statistics import NormalDist

import numpy as np

from mlbench.contrasts import Contributions

POWER = 0.8
"""How often a worsening of the size that is told would have been found."""

_NORMAL = NormalDist()


def standard_error(contributions: Contributions) -> float:
    """Return the standard error of a difference over clusters; NaN with fewer than two.

    With d the difference, w a cluster's share of the topics and n clusters it is sqrt(n / (n - 1) sum (u - w d)^2), the
    linearised error of a ratio (Cochran 1977, equation 6.13): what a cluster adds beyond its share is by chance.
    """
    added, shares = contributions.added, contributions.shares
    n = int(np.count_nonzero(shares))
    if n < 2:
        return float("nan")
    return float(np.sqrt(n / (n - 1) * ((added - shares * added.sum()) ** 2).sum()))


def reach(contributions: Contributions, critical: float) -> float:
    """Return how many standard errors a difference must have for its studentised sum to reach `critical`.

    That sum is divided by the root of the sum of squares around zero, which the difference makes larger itself; it
    never reaches a critical value that is as large as the root of the number of clusters, and infinity is returned.
    """
    bend = 1 - critical**2 * float((contributions.shares**2).sum())
    return critical / sqrt(bend) if bend > 0 else inf


def found_at_a_point(allowed: float, error: float) -> float:
    """Return the smallest true worsening of which an estimate beyond `allowed` is seen four times of five."""
    return allowed + _NORMAL.inv_cdf(POWER) * error


def found_by_test(allowed: float, error: float, errors: float) -> float:
    """Return the same for estimates that must be beyond `allowed` and at least so many `errors` from zero."""
    return max(allowed, errors * error) + _NORMAL.inv_cdf(POWER) * error


def margin_that_passes(error: float, level: float) -> float:
    """Return the smallest margin within which one that is no worse is shown to be, four times of five."""
    return (_NORMAL.inv_cdf(1 - level) + _NORMAL.inv_cdf(POWER)) * error
