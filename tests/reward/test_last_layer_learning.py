"""A last layer that learns alone: it finds what answers tell, keeps what they do not, and stays the same model else."""

import math

import numpy as np
import pytest
import torch

from music.errors import InputError
from music.prompts import Prompt
from reward import load_scorer
from reward.judgements import Preference
from reward.training.last_layer import fit, learn_last_layer

WIDTH, PROMPTS, PAIRS = 12, 40, 25


@pytest.fixture
def answers():
    """Return differences of what a last layer is given, the true weights, and the prompt of each row."""
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(PROMPTS * PAIRS, WIDTH))
    return differences, rng.normal(size=WIDTH), [f"prompt {row // PAIRS}" for row in range(len(differences))]


def answered(differences, truth, sharpness=3.0, seed=1):
    chances = 1 / (1 + np.exp(-sharpness * differences @ truth))
    return (np.random.default_rng(seed).random(len(chances)) < chances).astype(float)


def test_it_finds_what_the_answers_tell(answers):
    differences, truth, prompts = answers
    before = np.ones(WIDTH)
    found = fit(differences, answered(differences, truth), prompts, before, np.ones(WIDTH))
    assert np.corrcoef(found.weights, truth)[0, 1] > 0.97
    assert found.cross_entropy < 0.3
    assert found.answers == len(prompts)


def test_answers_that_tell_nothing_leave_the_order_as_it_was(answers):
    differences, _, prompts = answers
    before = np.random.default_rng(3).normal(size=WIDTH)
    coins = np.random.default_rng(4).integers(0, 2, len(prompts)).astype(float)
    found = fit(differences, coins, prompts, before, np.ones(WIDTH))
    assert abs(found.cross_entropy - math.log(2)) < 0.01
    assert np.linalg.norm(found.weights) < 0.2 < np.linalg.norm(before)
    agreeing = answered(differences, before, sharpness=0.3)
    kept = fit(differences, agreeing, prompts, before, np.ones(WIDTH))
    assert np.corrcoef(kept.weights, before)[0, 1] > 0.95


def test_which_clip_is_called_a_makes_no_difference_and_a_tie_is_half_of_both(answers):
    differences, truth, prompts = answers
    before, targets = np.ones(WIDTH), answered(differences, truth)
    targets[::7] = 0.5
    one = fit(differences, targets, prompts, before, np.ones(WIDTH))
    turned = fit(-differences, 1 - targets, prompts, before, np.ones(WIDTH))
    np.testing.assert_allclose(one.weights, turned.weights, rtol=1e-3, atol=1e-4)
    equal = fit(differences, np.full(len(prompts), 0.5), prompts, before, np.ones(WIDTH))
    assert np.linalg.norm(equal.weights) < 0.1 * np.linalg.norm(before)
    assert equal.weights @ before > 0  # small, but not turned round


def test_the_unit_of_a_feature_makes_no_difference(answers):
    differences, truth, prompts = answers
    targets, units = answered(differences, truth), np.geomspace(1e-3, 1e3, WIDTH)
    one = fit(differences, targets, prompts, np.ones(WIDTH), np.ones(WIDTH))
    other = fit(differences * units, targets, prompts, 1 / units, units)
    np.testing.assert_allclose(other.weights * units, one.weights, rtol=1e-3, atol=1e-4)


def test_one_prompt_is_not_enough(answers):
    differences, truth, _ = answers
    with pytest.raises(InputError, match="all answers are about 'one'"):
        fit(differences, answered(differences, truth), ["one"] * len(differences), truth, np.ones(WIDTH))


def rows_about(requests):
    """Return preferences between neighbours, the first of them always the better music."""
    pairs = [(requests[place], requests[place + 1]) for place in range(0, len(requests) - 1, 2)]
    return [
        Preference(
            id=f"{number}",
            prompt=Prompt(f"{number}", f"prompt {number % 3}"),
            audio_a=one.audio,
            audio_b=other.audio,
            musicality="a",
            alignment="",
        )
        for number, (one, other) in enumerate(pairs)
    ]


def test_only_the_row_of_the_scores_that_were_judged_moves(heads, golden):
    _, places = heads
    scorer = load_scorer(places[0], device="cpu")
    before = {name: values.clone() for name, values in scorer.head.state_dict().items()}
    head, fits = learn_last_layer(scorer, rows_about(golden("sa_conv")[0]))
    assert set(fits) == {"musicality"}
    moved = [name for name, values in head.state_dict().items() if not torch.equal(values, before[name])]
    assert moved == ["score_projector.3.weight"]
    assert torch.equal(head.score_projector[-1].weight[0], before[moved[0]][0])  # alignment


def test_an_ensemble_is_refused(heads):
    folder, _ = heads
    with pytest.raises(InputError, match="name a CMI-RM of one head"):
        learn_last_layer(load_scorer(f"ensemble:{folder}", device="cpu"), [])
