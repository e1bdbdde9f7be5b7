"""Maps from scores to ratings: values, ranges and what they cannot do."""

import math

import pytest
import torch

from music.errors import InputError
from reward.training.objective import KINDS, RatingMap

SCORES = torch.linspace(-60, 60, 41)[:, None].repeat(1, 2)


def test_the_published_map_and_its_error():
    ratings = RatingMap()
    score, truth = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 1.0]])
    expected = [2 * math.tanh(0.2) + 3, 2 * math.tanh(-0.4) + 3]
    assert ratings.predicted(score)[0].tolist() == pytest.approx(expected)
    assert ratings.losses(score, truth)[0].tolist() == pytest.approx(
        [(expected[0] - 3) ** 2, (expected[1] - 1) ** 2]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_score_is_a_higher_rating(kind):
    ratings = RatingMap(kind).predicted(SCORES)
    assert (ratings.diff(dim=0) >= 0).all()
    assert (ratings[20] < ratings[22]).all()
    if kind in ("tanh", "ordinal"):
        assert ratings.min() >= 1
        assert ratings.max() <= 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("truth", [1.0, 2.4, 5.0])
def test_the_loss_is_least_where_the_rating_is_met(kind, truth):
    ratings = RatingMap(kind)
    losses = ratings.losses(SCORES, torch.full_like(SCORES, truth))
    best = ratings.predicted(SCORES)[losses[:, 0].argmin(), 0]
    spacing = 1.6  # of predictions between the scores tried
    assert abs(best - truth) <= spacing
    assert (losses >= 0).all()


def test_heads_have_maps_of_their_own_that_learn():
    for kind in ("tanh", "linear", "ordinal"):
        ratings = RatingMap(kind)
        losses = ratings.losses(torch.tensor([[1.0, 1.0]]), torch.tensor([[5.0, 3.0]]))
        losses[0, 0].backward()
        for value in ratings.parameters():
            assert value.grad[..., 0].abs().sum() > 0
            assert value.grad[..., 1].abs().sum() == 0
    assert not list(RatingMap("none").parameters())


def test_an_unknown_map_is_refused():
    with pytest.raises(
        InputError, match="--rating_map must be one of tanh, linear, none, ordinal, got 'cubic'"
    ):
        RatingMap("cubic")
