from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hasten import stats


def test_median_and_spread_of_normal_noise() -> None:
    values = np.random.default_rng(0).normal(5, 2, 20_000)
    assert stats.median(values) == pytest.approx(5, abs=0.05)
    assert stats.spread(values) == pytest.approx(2, rel=0.03)


# --- speed ----------------------------------------------------------------------------------------


def signed_rank_tail(rounds: int, cut: int) -> float:
    """P(rank sum <= cut) by listing all signs."""
    ranks = np.arange(1, rounds + 1)
    sums = [ranks @ np.array(signs) for signs in itertools.product((0, 1), repeat=rounds)]
    return float(np.mean(np.array(sums) <= cut))


@pytest.mark.parametrize("rounds", [6, 9, 12])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_signed_rank_cut_is_the_largest_allowed(rounds: int, alpha: float) -> None:
    cut = stats._signed_rank_cut(rounds, alpha)
    assert cut is not None
    assert signed_rank_tail(rounds, cut) <= alpha / 2 < signed_rank_tail(rounds, cut + 1)


def test_signed_rank_cut_has_no_step_where_it_becomes_normal() -> None:
    last, first = (
        stats._signed_rank_cut(stats.EXACT_ROUNDS, 0.05),
        stats._signed_rank_cut(stats.EXACT_ROUNDS + 1, 0.05),
    )
    assert last is not None
    assert first is not None
    assert 0 < first - last < stats.EXACT_ROUNDS / 2


@pytest.mark.parametrize(("confidence", "rounds"), [(0.95, 6), (0.75, 3), (0.5, 2), (0.998, 10)])
def test_least_rounds(confidence: float, rounds: int) -> None:
    assert stats.least_rounds(confidence) == rounds
    assert 1 - 2.0 ** (1 - rounds) >= confidence > 1 - 2.0 ** (2 - rounds)


def test_ratio_says_how_many_times_faster() -> None:
    candidate = np.linspace(1.0, 1.2, 20)
    found = stats.ratio((2 * candidate).tolist(), candidate.tolist())
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    assert (found.rounds, found.confidence) == (20, 0.95)


def test_swapping_both_inverts_the_ratio() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.lognormal(0, 0.1, 15).tolist(), rng.lognormal(0.2, 0.1, 15).tolist()
    forth, back = stats.ratio(one, other), stats.ratio(other, one)
    assert forth.value == pytest.approx(1 / back.value)
    assert (forth.low, forth.high) == pytest.approx((1 / back.high, 1 / back.low))


def test_too_few_rounds_say_how_little_they_hold() -> None:
    found = stats.ratio([2.0, 3.0, 4.0], [1.0, 1.0, 1.0])
    assert found.confidence == 0.75
    assert (found.low, found.high) == pytest.approx((2, 4))
    assert stats.ratio([2.0], [1.0]).confidence == 0


@pytest.mark.parametrize(("one", "other"), [([], []), ([1.0], [1.0, 2.0])])
def test_ratio_refuses_unpaired_rounds(one: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError, match="equally many rounds"):
        stats.ratio(one, other)


def heavy_bursts(rng: np.random.Generator, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of two places in a round: a random walk, long bursts, infinite variance."""
    places = 2 * rounds
    drift = np.cumsum(rng.normal(0, 0.02, places))
    burst = np.repeat(rng.random(places // 4 + 1) < 0.3, 4)[:places] * 0.7
    noise = 0.01 * rng.standard_t(1, places).clip(-300, 300)
    level = np.exp(drift + burst + noise).reshape(rounds, 2)
    swap = rng.random(rounds) < 0.5
    return np.where(swap, level[:, 1], level[:, 0]), np.where(swap, level[:, 0], level[:, 1])


@pytest.mark.parametrize("rounds", [8, 24])
def test_ratio_holds_95_percent_under_drift_bursts_and_outliers(rounds: int) -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1500):
        reference, candidate = heavy_bursts(rng, rounds)
        found = stats.ratio((1.3 * reference).tolist(), candidate.tolist())
        covered += found.low <= 1.3 <= found.high
    assert covered / 1500 > 0.938  # 95 % less two standard errors


# --- the beta distribution ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "a", "b", "wanted"),
    [
        (0.3, 1, 1, 0.3),
        (0.5, 7, 7, 0.5),
        (0.2, 1, 5, 1 - 0.8**5),
        (0.2, 5, 1, 0.2**5),
        (0.4, 2, 3, 0.5248),
        (0.0, 3, 4, 0.0),
        (1.0, 3, 4, 1.0),
    ],
)
def test_beta_cdf_where_it_is_known(x: float, a: float, b: float, wanted: float) -> None:
    assert float(stats.beta_cdf(x, a, b)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("successes", "n", "p"), [(3, 12, 0.31), (40, 90, 0.5), (1, 1000, 0.002)])
def test_beta_cdf_is_the_binomial_tail(successes: int, n: int, p: float) -> None:
    tail = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(successes, n + 1))
    assert float(stats.beta_cdf(p, successes, n - successes + 1)) == pytest.approx(tail, rel=1e-9)


def test_beta_quantile_inverts_the_cdf_for_large_counts() -> None:
    for a, b in ((1, 100_000), (500, 99_500), (9_900, 101)):
        x = stats.beta_quantile(0.95, a, b)
        assert float(stats.beta_cdf(x, a, b)) == pytest.approx(0.95, abs=1e-4)


# --- bounds of accuracy ---------------------------------------------------------------------------


def test_clopper_pearson_where_it_has_a_formula() -> None:
    assert stats.proportion_upper(0, 50, 0.05) == pytest.approx(1 - 0.05 ** (1 / 50), rel=1e-5)
    assert stats.proportion_lower(50, 50, 0.05) == pytest.approx(0.05 ** (1 / 50), rel=1e-5)
    assert stats.proportion_lower(0, 50, 0.05) == 0
    assert stats.proportion_upper(50, 50, 0.05) == 1
    low, high = stats.proportion_lower(45, 50, 0.05), stats.proportion_upper(45, 50, 0.05)
    assert (low, high) == pytest.approx((0.801167, 0.959763), abs=1e-5)


def missed(n: int, drop: float, gained: float, alpha: float) -> float:
    """P(bound below the true drop), over all outcomes that can happen."""
    lost = drop + gained
    total = 0.0
    for b in range(int(n * lost + 7 * (n * lost) ** 0.5) + 4):
        for c in range(int(n * gained + 7 * (n * gained) ** 0.5) + 4 if gained else 1):
            if b + c > n:
                continue
            ways = math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1)
            ways -= math.lgamma(n - b - c + 1)
            logs = b * math.log(lost) + (c * math.log(gained) if c else 0)
            chance = math.exp(ways + logs + (n - b - c) * math.log1p(-lost - gained))
            if chance > 1e-7 and stats.paired_drop_upper(b, c, n, alpha) < drop:
                total += chance
    return total


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
@pytest.mark.parametrize(
    ("n", "drop", "gained"),
    [(30, 0.1, 0.0), (100, 0.05, 0.0), (100, 0.01, 0.02), (300, 0.01, 0.005), (300, 0.02, 0.0)],
)
def test_paired_bound_errs_in_at_most_alpha(
    n: int, drop: float, gained: float, alpha: float
) -> None:
    assert missed(n, drop, gained, alpha) <= alpha


def test_paired_bound_without_discordant_samples_is_the_exact_one() -> None:
    assert stats.paired_drop_upper(0, 0, 300, 0.05) == stats.proportion_upper(0, 300, 0.05)


def test_paired_bound_knows_its_order() -> None:
    bounds = [stats.paired_drop_upper(lost, 5, 200, 0.05) for lost in range(6)]
    assert bounds == sorted(bounds)
    assert stats.paired_drop_upper(3, 6, 200, 0.05) < stats.paired_drop_upper(3, 5, 200, 0.05)
    assert stats.paired_drop_upper(5, 3, 8, 0.05) <= 1  # all samples are discordant


def test_paired_bound_of_many_samples_is_near_the_normal_one() -> None:
    normal = (60 - 50 + 1.6449 * 110**0.5) / 10_000
    assert stats.paired_drop_upper(60, 50, 10_000, 0.05) == pytest.approx(normal, rel=0.06)


def accuracy_harm(totals: np.ndarray) -> np.ndarray:
    return np.asarray((totals[..., 0] - totals[..., 1]) / totals[..., 2])


def test_sampled_bound_agrees_with_the_computed_one() -> None:
    rows = np.ones((400, 3))
    rows[:6, 1] = 0
    rows[6:10, 0] = 0
    found = stats.statistic_upper(accuracy_harm, rows, np.array([1.0, 0.0, 1.0]), 0.05)
    assert found == pytest.approx(stats.paired_drop_upper(6, 4, 400, 0.05), rel=0.04)


def test_sampled_bound_is_repeatable() -> None:
    rows = np.random.default_rng(1).random((50, 3))
    worst = np.array([1.0, 0.0, 1.0])
    first, second = (stats.statistic_upper(accuracy_harm, rows, worst, 0.05) for _ in range(2))
    assert first == second


def relative_rise(totals: np.ndarray) -> np.ndarray:
    return np.asarray(totals[..., 1] / totals[..., 0] - 1)


@pytest.mark.parametrize("n", [20, 100])
def test_sampled_bound_holds_for_skewed_errors_on_few_samples(n: int) -> None:
    rng = np.random.default_rng(11)
    true, below = np.exp(0.01 + 0.3**2 / 2) - 1, 0
    for _ in range(200):
        before = rng.lognormal(0, 1, n)
        rows = np.stack([before, before * rng.lognormal(0.01, 0.3, n)], axis=1)
        worst = rows[np.argmin(relative_rise(rows.sum(axis=0) - rows))]
        below += stats.statistic_upper(relative_rise, rows, worst, 0.05, copies=2) < true
    assert below / 200 < 0.05 + 0.03  # two standard errors of the simulation


# --- how many samples -----------------------------------------------------------------------------


def test_paired_samples_needed_settle_it() -> None:
    needed = stats.paired_samples_needed(2, 1, 200, 0.01, 0.05)
    scale = needed / 200
    assert needed > 200
    lost, gained = round(2 * scale), round(scale)
    assert stats.paired_drop_upper(lost, gained, needed, 0.05) == pytest.approx(0.01, rel=0.05)


def test_zero_discordant_samples_need_the_rule_of_three() -> None:
    assert stats.paired_samples_needed(0, 0, 50, 0.01, 0.05) == pytest.approx(299, abs=2)


def test_proportion_samples_needed_settle_it() -> None:
    needed = stats.proportion_samples_needed(199, 200, 0.99, 0.05)
    assert stats.proportion_lower(0.995 * needed, needed, 0.05) == pytest.approx(0.99, abs=2e-4)


def test_what_lies_beyond_the_limit_cannot_be_settled() -> None:
    assert stats.paired_samples_needed(3, 0, 100, 0.01, 0.05) == 0
    assert stats.proportion_samples_needed(95, 100, 0.99, 0.05) == 0
    assert stats.samples_needed(100, 0.02, 0.03, 0.01) == 0


def test_samples_needed_follows_the_square_root() -> None:
    assert stats.samples_needed(100, 0.0, 0.02, 0.01) == 400
    assert stats.samples_needed(100, 0.0, math.inf, 0.01) == 0
