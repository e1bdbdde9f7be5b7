"""Bradley-Terry: targets, loss, accuracy, interval."""

import math

import numpy as np
import pytest
import torch

from music.intervals import wilson_interval
from reward.bradley_terry import (
    accuracy_of,
    calibration_error_of,
    cross_entropy_of,
    fit_strengths,
    losses_of,
    targets_of,
)


def test_targets_are_smoothed_and_ties_weigh_nothing():
    targets, weights = targets_of(["a", "b", "tie", ""], smoothing=0.2)
    torch.testing.assert_close(targets, torch.tensor([0.9, 0.1, 0.5, 0.5]))
    assert weights.tolist() == [1, 1, 0, 0]


def test_loss_is_the_log_loss_of_the_sigmoid():
    p = 1 / (1 + math.exp(-0.7))
    expected = -(0.9 * math.log(p) + 0.1 * math.log(1 - p))
    assert losses_of(torch.tensor([0.7]), torch.tensor([0.9])).item() == pytest.approx(expected)


def test_a_swapped_pair_has_the_same_loss():
    swapped = losses_of(torch.tensor([-0.7]), torch.tensor([0.1]))
    torch.testing.assert_close(losses_of(torch.tensor([0.7]), torch.tensor([0.9])), swapped)


def test_accuracy_counts_equal_scores_half_and_leaves_ties_out():
    found = accuracy_of([1.0, -1.0, 2.0, 0.0, 5.0, -3.0], ["a", "b", "b", "a", "tie", ""])
    assert (found.value, found.pairs, found.equal) == (2.5 / 4, 4, 1)
    assert found.low < found.value < found.high


def test_a_constant_scorer_is_right_half_of_the_time():
    found = accuracy_of([0.0] * 100, ["a", "b"] * 50)
    assert (found.value, found.equal) == (0.5, 100)
    assert found.low == pytest.approx(0.404, abs=1e-3)


def test_wilson_interval_of_known_cases():
    assert wilson_interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert math.isnan(accuracy_of([1.0], ["tie"]).value)


def test_cross_entropy_is_that_of_the_labels_as_they_are():
    expected = -(math.log(1 / (1 + math.exp(-2.0))) + math.log(1 / (1 + math.exp(-1.0)))) / 2
    assert cross_entropy_of([2.0, -1.0, 5.0], ["a", "b", "tie"]) == pytest.approx(expected)
    assert cross_entropy_of([1.0], ["tie"]) is None


def test_a_calibrated_model_has_no_error_and_a_boaster_has_one():
    sure = math.log(0.85 / 0.15)
    labels = ["a"] * 85 + ["b"] * 15
    assert calibration_error_of([sure] * 100, labels) == pytest.approx(0, abs=1e-9)
    assert calibration_error_of(
        [-sure] * 100, ["b" if one == "a" else "a" for one in labels]
    ) == pytest.approx(0, abs=1e-9)
    assert calibration_error_of([50.0] * 100, labels) == pytest.approx(0.15)
    # a coin that says so is right half of the time
    assert calibration_error_of([0.0] * 10, ["a"] * 10) == 0
    assert calibration_error_of([], []) is None


def test_strengths_are_the_log_odds_of_two_with_half_a_win_for_each():
    pytest.importorskip("choix")
    odds = math.log(300 / 100)
    np.testing.assert_allclose(
        fit_strengths(np.array([[0, 299.5], [99.5, 0]])), [odds / 2, -odds / 2], atol=1e-6
    )


def test_the_likelihood_has_no_slope_left_and_who_wins_all_stays_finite():
    pytest.importorskip("choix")
    wins = np.random.default_rng(1).random((4, 4)) * 30 * (1 - np.eye(4))
    wins[:, 3] = 0
    found = fit_strengths(wins)
    assert np.isfinite(found).all()
    assert found[3] == max(found)
    assert found.mean() == pytest.approx(0, abs=1e-9)
    meetings = wins + 0.5 * (1 - np.eye(4))
    expected = (meetings + meetings.T) / (1 + np.exp(found[None] - found[:, None]))
    np.testing.assert_allclose((meetings - expected).sum(axis=1), 0, atol=1e-4)
