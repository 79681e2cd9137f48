"""Paired differences with confidence intervals: the same seed under two mechanisms, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin, sqrt, tan
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean with its confidence interval.

    Args:
        mean: Mean of the paired differences; None where no pair has both values.
        low: Lower end of the interval; None with fewer than two pairs.
        high: Upper end.
        n: Number of pairs.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int


def paired_difference(values: Sequence[float | None], reference: Sequence[float | None]) -> Difference:
    """Mean of value - reference over pairs, with the 95 % interval of Student's t for the mean of the differences.

    Args:
        values: One per pair; None where undefined, and then the pair does not count.
        reference: The other half of each pair.

    Source: Student, Biometrika 6 (1908); paired comparison of systems under common random numbers, Law,
    Simulation Modeling and Analysis, chapter 10.
    """
    pairs = zip(values, reference, strict=True)
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    return mean_interval(differences)


def mean_interval(values: Sequence[float]) -> Difference:
    """Mean of independent values with the 95 % interval of Student's t."""
    n = len(values)
    if n < 2:
        return Difference(values[0] if n else None, None, None, n)
    mean = fmean(values)
    half = student_t(n - 1, CONFIDENCE) * stdev(values) / sqrt(n)
    return Difference(mean, mean - half, mean + half, n)


def student_t(freedom: int, confidence: float) -> float:
    """Two-sided quantile t of Student's distribution: P(|T| < t) = confidence.

    Found by bisection on the distribution function, which is a finite sum for whole degrees of freedom.

    Source: Abramowitz, Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    low, high = 0.0, pi / 2
    for _ in range(200):
        angle = (low + high) / 2
        if angle in (low, high):
            break
        low, high = (angle, high) if _within(angle, freedom) < confidence else (low, angle)
    return tan((low + high) / 2) * sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """P(|T| < t) for t = tan(angle) sqrt(freedom)."""
    if freedom > 1_000:  # the sum would be long and the normal distribution is as near
        return 2 * NormalDist().cdf(tan(angle) * sqrt(freedom)) - 1
    c, s = cos(angle), sin(angle)
    odd = freedom % 2
    if freedom == 1:
        return 2 * angle / pi
    term = total = c if odd else 1.0
    for i in range(2 + odd, freedom - 1, 2):
        term *= c * c * (i - 1) / i
        total += term
    return 2 / pi * (angle + s * total) if odd else s * total
