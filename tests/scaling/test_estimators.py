"""The estimators against what they are meant to be: enumeration of all subsets, and repeated experiments."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music.intervals import bootstrap_means, percentile_interval
from scaling.estimators import ascending, best_of_n, count_ties, order_weights


def by_enumeration(rewards, metric, n):
    """Return the mean over all n-subsets of the metric of the subset's best; of equals the first wins."""
    values = []
    for subset in combinations(range(len(rewards)), n):
        best = max(subset, key=lambda index: (rewards[index], -index))
        values.append(metric[best])
    return np.mean(values)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32), st.booleans())
def test_it_is_the_mean_over_all_subsets(total, seed, with_ties):
    generator = np.random.default_rng(seed)
    rewards, metric = generator.standard_normal((2, 3, total))
    if with_ties:
        rewards = rewards.round()
    for n in range(1, total + 1):
        for measured in (rewards, metric):
            expected = [by_enumeration(*rows, n) for rows in zip(rewards, measured, strict=True)]
            np.testing.assert_allclose(best_of_n(rewards, measured, n), expected, atol=1e-12)


def test_the_mean_over_many_pools_is_the_expected_maximum():
    rewards = np.random.default_rng(1).standard_normal((20_000, 8))
    estimate = best_of_n(rewards, rewards, 3)
    assert estimate.mean() == pytest.approx(3 / (2 * np.sqrt(np.pi)), abs=0.015)  # of three normal variables
    assert estimate.std() < 0.8 * rewards[:, :3].max(axis=1).std()  # less noise than the first three alone


def test_weights_of_large_pools_are_exact_enough():
    for total, n in [(10, 3), (1000, 500), (1000, 1000), (5000, 64)]:
        assert order_weights(total, n).sum() == pytest.approx(1, abs=1e-12)
    assert order_weights(4, 2).tolist() == [0, 1 / 6, 2 / 6, 3 / 6]


@pytest.mark.parametrize(("total", "n"), [(3, 0), (3, 4), (0, 1)])
def test_impossible_numbers_are_refused(total, n):
    with pytest.raises(ValueError, match="best of"):
        order_weights(total, n)


def test_of_equals_the_lowest_index_wins():
    rewards = np.array([[1.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0]])
    assert ascending(rewards).tolist() == [[3, 0, 2, 1], [3, 2, 1, 0]]
    index = np.broadcast_to(np.arange(4.0), (2, 4))
    assert best_of_n(rewards, index, 4).tolist() == [1, 0]


def test_ties_at_the_top_are_counted():
    assert count_ties(np.array([[1.0, 2, 2], [2, 1, 1], [3, 3, 3], [1, 2, 3]])) == 2
    assert count_ties(np.array([[1.0], [2.0]])) == 0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(2)
    hits = 0
    for seed in range(300):
        low, high = percentile_interval(
            bootstrap_means(generator.exponential(1.0, (40, 1)), seed, resamples=400)
        )
        hits += bool(low[0] <= 1.0 <= high[0])
    assert 0.87 <= hits / 300 <= 0.98  # a little short of 0.95 on skewed data


def test_intervals_agree_with_the_normal_approximation():
    values = np.random.default_rng(3).standard_normal((2000, 2)) * [1.0, 3.0]
    low, high = percentile_interval(bootstrap_means(values, seed=0))
    np.testing.assert_allclose(high - low, 2 * 1.96 * values.std(axis=0) / np.sqrt(2000), rtol=0.05)
    np.testing.assert_allclose((high + low) / 2, values.mean(axis=0), atol=0.01)


def test_intervals_are_paired_and_repeat():
    values = np.random.default_rng(4).standard_normal((30, 1))
    pair = np.concatenate([values, values + 1.0, np.full((30, 1), 7.0)], axis=1)
    low, high = percentile_interval(bootstrap_means(pair, seed=5))
    np.testing.assert_allclose([low[1] - low[0], high[1] - high[0]], 1.0)
    assert low[2] == high[2] == pytest.approx(7.0)
    np.testing.assert_array_equal(percentile_interval(bootstrap_means(pair, seed=5)), (low, high))
    assert percentile_interval(bootstrap_means(pair, seed=6))[0][0] != low[0]


def test_one_prompt_has_nothing_to_resample():
    low, high = percentile_interval(bootstrap_means(np.array([[0.3, 2.0]]), seed=0))
    assert low.tolist() == high.tolist() == [0.3, 2.0]
