"""Intervals and bounds that hold: speed under drift and bursts, accuracy on few samples.

**Speed.** A round times both models in an order drawn by lot. Whatever drift or burst does to the
round, swapping the two places is as likely, so the log ratio of a round lies as likely above as
below the true one, by equal amounts, and independently of all other rounds. That is all that
Wilcoxon's signed-rank interval (Hodges and Lehmann, *Ann. Math. Statist.* 34, 1963) needs: it is
exact for any noise, however autocorrelated or heavy-tailed. ``bench/simulate_search.py`` compares
it with the t, sign and bootstrap intervals on recorded noise.

**Accuracy.** The bound of N. Gaffke (*Math. Methods of Statistics* 14, 2005; also Learned-Miller
and Thomas, arXiv:1905.06208): weigh the samples by random shares (Dirichlet) together with one
sample that was not seen, the worst there can be, and take the 1 - alpha quantile. For one
proportion it is exactly Clopper-Pearson's bound; for paired differences it holds where Tango's
score and McNemar's bounds fail, with few or no discordant samples. The same idea serves
statistics that are no means (F1, SQNR).

Pure functions over NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from hasten.types import Ratio

Vector = np.ndarray
"""A one-dimensional float64 array."""


def median(values: Sequence[float] | Vector) -> float:
    """The median."""
    return float(np.median(np.asarray(values, np.float64)))


def spread(values: Sequence[float] | Vector) -> float:
    """The median absolute deviation, scaled to equal the standard deviation of normal noise."""
    array = np.asarray(values, np.float64)
    return float(1.4826 * np.median(np.abs(array - np.median(array))))


# --- speed: paired ratios -------------------------------------------------------------------------

EXACT_ROUNDS = 200
"""Up to here the signed-rank distribution is computed, above it is taken as normal."""


def ratio(
    reference: Sequence[float], candidate: Sequence[float], confidence: float = 0.95
) -> Ratio:
    """How many times faster the candidate is, from the seconds of both in the same rounds.

    Where the rounds are too few for the confidence (``least_rounds``), the interval is the widest
    there is and ``Ratio.confidence`` says how much it holds.
    """
    if len(reference) != len(candidate) or not len(reference):
        raise ValueError(f"need equally many rounds, not {len(reference)} and {len(candidate)}")
    logs = np.log(np.asarray(reference, np.float64) / np.asarray(candidate, np.float64))
    means = walsh_averages(logs)
    rounds = len(logs)
    cut = _signed_rank_cut(rounds, 1 - confidence)
    if cut is None:
        cut, confidence = 0, 1 - 2.0 ** (1 - rounds)
    means.sort()
    middle = float(np.median(means))
    low, high = float(means[cut]), float(means[-1 - cut])
    return Ratio(math.exp(middle), math.exp(low), math.exp(high), rounds, confidence)


def walsh_averages(values: Vector) -> Vector:
    """The means of all pairs, each value with itself included. Their median is the estimate."""
    first, second = _pairs(len(values))
    return np.asarray((values[first] + values[second]) / 2)


def least_rounds(confidence: float) -> int:
    """The fewest rounds that allow an interval of this confidence."""
    return 1 + math.ceil(-math.log2(1 - confidence) - 1e-9)


@lru_cache(maxsize=8)
def _pairs(count: int) -> tuple[Vector, Vector]:
    first, second = np.triu_indices(count)
    return first, second


@lru_cache(maxsize=4096)
def _signed_rank_cut(rounds: int, alpha: float) -> int | None:
    """How many pair means to cut off at each end; ``None`` if even 0 leaves too little."""
    if rounds < least_rounds(1 - alpha):
        return None
    if rounds > EXACT_ROUNDS:
        mean = rounds * (rounds + 1) / 4
        deviation = math.sqrt(mean * (2 * rounds + 1) / 6)
        return math.floor(mean + NormalDist().inv_cdf(alpha / 2) * deviation - 0.5)
    tail = np.cumsum(_signed_rank_probabilities(rounds))
    return int(np.searchsorted(tail, alpha / 2 * (1 + 1e-12), side="right")) - 1


@lru_cache(maxsize=64)
def _signed_rank_probabilities(rounds: int) -> Vector:
    """P(sum of the ranks with positive sign = 0, 1, 2, …) when signs are fair coins."""
    probability = np.ones(1)
    for rank in range(1, rounds + 1):
        longer = np.zeros(len(probability) + rank)
        longer[: len(probability)] += probability
        longer[rank:] += probability
        probability = longer / 2
    return probability


# --- the beta distribution, without SciPy ---------------------------------------------------------

_TINY = 1e-300
_STEPS = 2000


def beta_cdf(x: Vector | float, a: float, b: float) -> Vector:
    """The regularised incomplete beta function I_x(a, b), for a > 0 and b >= 0.

    Lentz's evaluation of its continued fraction (DLMF 8.17.22), from the side that converges.
    """
    x = np.clip(np.asarray(x, np.float64), 0.0, 1.0)
    if b == 0:
        return np.asarray(x >= 1, np.float64)
    swapped = x > (a + 1) / (a + b + 2)
    near = np.where(swapped, 1 - x, x)
    p, q = np.where(swapped, b, a), np.where(swapped, a, b)
    with np.errstate(divide="ignore"):
        log_front = p * np.log(near) + q * np.log1p(-near) - _log_beta(a, b) - np.log(p)
    tail = np.exp(log_front) / _continued_fraction(near, p, q)
    return np.asarray(np.where(swapped, 1 - tail, tail))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _continued_fraction(x: Vector, a: Vector, b: Vector) -> Vector:
    """1 + d1/(1 + d2/(1 + ...)) of DLMF 8.17.22."""
    value = np.ones_like(x)
    upper, lower = np.ones_like(x), np.zeros_like(x)
    for step in range(1, _STEPS):
        m = step // 2
        if step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / _away_from_zero(1 + term * lower)
        upper = _away_from_zero(1 + term / upper)
        change = upper * lower
        value = value * change
        if np.all(np.abs(change - 1) < 1e-13):
            break
    return value


def _away_from_zero(value: Vector) -> Vector:
    return np.where(np.abs(value) < _TINY, _TINY, value)


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x at which I_x(a, b) reaches ``probability``."""
    return _crossing(lambda x: beta_cdf(x, a, b), probability, 0.0, 1.0)


def student_quantile(confidence: float, freedom: int) -> float:
    """The t that Student's t with ``freedom`` degrees stays within, either way, with
    ``confidence``: its square over itself plus ``freedom`` has a beta distribution."""
    share = beta_quantile(confidence, 0.5, freedom / 2)
    return math.sqrt(freedom * share / (1 - share))


def _crossing(rising: Callable[[Vector], Vector], level: float, low: float, high: float) -> float:
    """Where a rising function crosses ``level`` between ``low`` and ``high``, from above."""
    while high - low > 1e-9 + 1e-7 * abs(high):
        grid = np.linspace(low, high, 25)
        index = int(np.searchsorted(rising(grid[1:-1]), level)) + 1
        low, high = float(grid[index - 1]), float(grid[index])
    return high


# --- accuracy: one-sided bounds -------------------------------------------------------------------


def proportion_lower(successes: float, n: float, alpha: float) -> float:
    """Clopper and Pearson's exact lower bound of a proportion."""
    return 0.0 if successes <= 0 else beta_quantile(alpha, successes, n - successes + 1)


def proportion_upper(successes: float, n: float, alpha: float) -> float:
    """Clopper and Pearson's exact upper bound of a proportion."""
    return 1.0 if successes >= n else beta_quantile(1 - alpha, successes + 1, n - successes)


@lru_cache(maxsize=4096)
def paired_drop_upper(lost: int, gained: int, n: int, alpha: float) -> float:
    """Upper bound of how much accuracy falls, from samples that both models answered.

    ``lost``: only the reference was right; ``gained``: only the candidate was.
    """
    if gained == 0:
        return proportion_upper(lost, n, alpha)
    return _crossing(lambda x: _paired_drop_cdf(x, lost, gained, n), 1 - alpha, -1.0, 1.0)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def _paired_drop_cdf(x: Vector | float, lost: float, gained: float, n: float) -> Vector:
    """P(L - G <= x) for shares (L, G, rest) ~ Dirichlet(lost + 1, gained, n - lost - gained)."""
    rest = max(0.0, n - lost - gained)
    if gained == 0:
        return beta_cdf(x, lost + 1, rest)
    if rest == 0:
        return 1 - beta_cdf((1 - np.asarray(x)) / 2, gained, lost + 1)
    total = lost + 1 + rest
    mean = gained / (gained + total)
    width = 9 * math.sqrt(mean * (1 - mean) / (gained + total + 1)) + 12 / (gained + total)
    low, high = max(0.0, mean - width), min(1.0, mean + width)
    share = low + (high - low) * (_NODES + 1) / 2
    density = _WEIGHTS * np.exp(
        (gained - 1) * np.log(share) + (total - 1) * np.log1p(-share) - _log_beta(gained, total)
    )
    within = (np.asarray(x)[..., None] + share) / (1 - share)
    return np.asarray(beta_cdf(within, lost + 1, rest) @ density / density.sum())


DRAWS = 6000
_CHUNK = 4_000_000


def statistic_upper(
    harm: Callable[[np.ndarray], Vector],
    rows: np.ndarray,
    unseen: Vector,
    alpha: float,
    copies: int = 1,
) -> float:
    """Upper bound of a harm that is computed from the sums of per-sample rows.

    ``rows`` is ``(n, k)``; ``harm`` maps sums ``(draws, k)`` to ``(draws,)``. ``unseen`` is the
    row of the worst sample there can be, added ``copies`` times. Repeatable: the draws are fixed.
    """
    distinct, counts = np.unique(np.vstack([rows, unseen]), axis=0, return_counts=True)
    counts = counts + (copies - 1) * np.all(distinct == unseen, axis=1)
    rng = np.random.default_rng(20050101)
    step = max(1, min(DRAWS, _CHUNK // len(distinct)))
    found = [
        harm(_shares(rng, counts, min(step, DRAWS - start)) @ distinct * len(rows))
        for start in range(0, DRAWS, step)
    ]
    return float(np.quantile(np.concatenate(found), 1 - alpha, method="higher"))


def _shares(rng: np.random.Generator, counts: Vector, draws: int) -> np.ndarray:
    """Dirichlet weights ``(draws, rows)``; equal rows are drawn as one."""
    parts = rng.standard_gamma(counts, size=(draws, len(counts)))
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


# --- how many samples would settle it -------------------------------------------------------------

MOST_SAMPLES = 10**7


@lru_cache(maxsize=4096)
def paired_samples_needed(lost: int, gained: int, n: int, limit: float, alpha: float) -> int:
    """The samples at which these rates would prove a drop within ``limit``; 0: out of reach."""

    def settled(samples: int) -> bool:
        scale = samples / n
        reached = _paired_drop_cdf(limit, lost * scale, gained * scale, samples)
        return float(reached) >= 1 - alpha

    return _smallest(settled, n, limit - (lost - gained) / n, (lost + gained) / n, alpha)


def proportion_samples_needed(successes: int, n: int, floor: float, alpha: float) -> int:
    """The samples at which this rate would prove a proportion above ``floor``; 0: out of reach."""
    share = successes / n

    def settled(samples: int) -> bool:
        hits = share * samples
        return float(beta_cdf(floor, hits, samples - hits + 1)) <= alpha

    return _smallest(settled, n, share - floor, share * (1 - share), alpha)


def _smallest(
    settled: Callable[[int], bool], least: int, margin: float, variance: float, alpha: float
) -> int:
    """The smallest number of samples, from ``least`` on, that settles it, to 1 %.

    ``margin`` and ``variance``, of one sample, say where to begin to look.
    """
    if margin <= 0:
        return 0
    normal = variance * (NormalDist().inv_cdf(1 - alpha) / margin) ** 2
    low, high = least, math.ceil(max(least, normal, 1 / margin))
    while not settled(high):
        low, high = high, 2 * high
        if high > MOST_SAMPLES:
            return 0
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


def samples_needed(n: int, value: float, bound: float, limit: float) -> int:
    """The samples at which a bound that closes in with 1/sqrt(n) would reach ``limit``."""
    if value >= limit or not math.isfinite(bound):
        return 0
    needed = n * ((bound - value) / (limit - value)) ** 2
    return math.ceil(needed) if needed <= MOST_SAMPLES else 0
