import numpy as np
import pytest
from scipy import stats

from privsynth.privacy import SystemNoise


@pytest.mark.statistical
def test_discrete_gaussian_has_its_variance_and_no_bias():
    # 20,000 draws: the mean lies within 5 standard errors except once in 1.7 million runs.
    noise = SystemNoise().discrete_gaussian(np.full(20_000, 7, dtype=np.int64), 4.0) - 7
    assert abs(noise.mean()) < 5 * 4 / np.sqrt(20_000)
    assert abs(noise.var() / 16 - 1) < 5 * np.sqrt(2 / 20_000)


@pytest.mark.statistical
def test_discrete_laplace_follows_its_law():
    # Chi-square over 9 cells; fails once in 100,000 runs.
    scale, n = 1.5, 20_000
    noise = SystemNoise().discrete_laplace(np.zeros(n, dtype=np.int64), scale)
    values = np.arange(-4, 5)
    law = np.exp(-np.abs(values) / scale) * (1 - np.exp(-1 / scale)) / (1 + np.exp(-1 / scale))
    observed = np.array([(noise == value).sum() for value in values])
    statistic = ((observed - n * law) ** 2 / (n * law)).sum() + ((n - observed.sum()) - n * (1 - law.sum())) ** 2 / (n * (1 - law.sum()))
    assert stats.chi2.sf(statistic, len(values)) > 1e-5


@pytest.mark.statistical
def test_noisy_max_is_the_exponential_mechanism():
    # P(i) ∝ exp(epsilon * score / (2 * sensitivity)); each share within 5 standard errors.
    scores, n = np.array([0.0, 1.0, 2.0]), 5_000
    noise = SystemNoise()
    picked = np.bincount([noise.noisy_max(scores, epsilon=2.0, sensitivity=1.0) for _ in range(n)], minlength=3) / n
    law = np.exp(scores) / np.exp(scores).sum()
    assert np.all(np.abs(picked - law) < 5 * np.sqrt(law * (1 - law) / n) + 2e-3)


@pytest.mark.statistical
def test_coins_show_their_rate():
    # 5 standard errors.
    assert abs(SystemNoise().coins(40_000, 0.3).mean() - 0.3) < 5 * np.sqrt(0.21 / 40_000)


def test_noise_keeps_the_shape():
    assert SystemNoise().discrete_gaussian(np.zeros((3, 4), dtype=np.int64), 2.0).shape == (3, 4)


def test_coins_of_rate_zero_and_one_are_certain():
    assert not SystemNoise().coins(100, 0.0).any()
    assert SystemNoise().coins(100, 1.0).all()


@pytest.mark.statistical
def test_normals_follow_the_normal_law():
    """Kolmogorov-Smirnov over 100,000 values and the fourth moment; false-alarm rate 1e-6 each."""
    from scipy.stats import kstest

    values = SystemNoise().normals(100_001)
    assert len(values) == 100_001
    assert kstest(values, "norm").pvalue > 1e-6
    assert abs((values**4).mean() - 3) < 4.9 * np.sqrt(96 / len(values))


def test_normals_are_fresh_and_not_repeated_between_chunks(monkeypatch):
    monkeypatch.setattr("privsynth.privacy.noise.NORMAL_CHUNK", 8)
    values = np.concatenate([SystemNoise().normals(50), SystemNoise().normals(50)])
    assert len(np.unique(values)) == 100
