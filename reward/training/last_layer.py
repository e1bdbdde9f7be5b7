"""Lets a reward learn by its last layer alone, exactly: Bradley-Terry with a Gaussian prior, and nothing to tune.

Some hundred answers are too few for a whole head, which learns them by heart. Of the last layer alone the score of a
clip is linear in what that layer is given, h, so that

    P(a is preferred to b) = sigmoid(w . (h_a - h_b)),    w = c w_0 + v,

with w_0 the weights before and c above 0. What maximises the likelihood less (|v|^2 s + c^2) / 2, with h and w_0 . h at
unit variance, is found by L-BFGS; a tie counts half for either side. The strength s of the prior is that of the highest
likelihood in cross-validation over prompts, so it grows as answers are few or contradict each other. The two scores of
a CMI-RM have a row of weights each, and learn apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from music.errors import InputError
from music.intervals import Array
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.cmi_rm.last_layer import heads_of, last_layer
from reward.judgements import HEADS, Preference
from reward.protocol import Scorer, ScoreRequest

STRENGTHS = (10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
FOLDS = 5
LEAST = 0.05  # log-odds that a difference of one standard deviation of the score before counts at least
TARGETS = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True, eq=False)
class Fit:
    """What one score has learned.

    Attributes
    ----------
    weights
        Its row of the last layer, `[D]`.
    strength
        Strength of the prior.
    cross_entropy
        Cross-entropy of answers about prompts that were left out, nats; of as many coins it is log 2.
    answers
        Number of answers, ties included.
    """

    weights: Array
    strength: float
    cross_entropy: float
    answers: int


def learn_last_layer(scorer: Scorer, rows: Sequence[Preference]) -> tuple[RewardHead, dict[str, Fit]]:
    """Let the last layer of a CMI-RM learn preferences.

    Parameters
    ----------
    scorer
        The CMI-RM; its head learns in place.
    rows
        Preferences.

    Returns
    -------
    head, fits
        The head, and what it has learned of each score that there are answers for.

    Raises
    ------
    InputError
        If the scorer has no last layer of two scores, or all answers are about one prompt.
    """
    head = head_of(scorer)
    requests = [ScoreRequest(path, row.prompt) for row in rows for path in row.audio]
    features = last_layer(scorer, requests).features
    differences = features[::2] - features[1::2]
    spread = features.std(axis=0) + 1e-6
    layer = head.score_projector[-1]
    assert isinstance(layer, torch.nn.Linear)
    weights = layer.weight.detach().double().cpu().numpy().copy()
    fits = {}
    for name in HEADS:
        targets = [TARGETS.get(getattr(row, name)) for row in rows]
        known = [place for place, target in enumerate(targets) if target is not None]
        if not known:
            continue
        prompts = [rows[place].prompt.text for place in known]
        fits[name] = fit(
            differences[known],
            np.array([targets[place] for place in known], dtype=float),
            prompts,
            weights[COLUMNS[name]],
            spread,
        )
        weights[COLUMNS[name]] = fits[name].weights
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
    return head, fits


def head_of(scorer: Scorer) -> RewardHead:
    """Return the one head of a reward whose last layer gives the two scores; `InputError` if it has no such head."""
    heads = heads_of(scorer)
    if len(heads) != 1 or heads[0].ratings is not None:
        raise InputError(
            f"{scorer.name} has no last layer that can learn alone: name a CMI-RM of one head of scores"
        )
    return heads[0]


def fit(differences: Array, targets: Array, prompts: Sequence[str], before: Array, spread: Array) -> Fit:
    """Return what one score learns.

    Parameters
    ----------
    differences
        What the last layer is given for a less that for b, `[R, D]`.
    targets
        Chance that a is preferred, `[R]`: 1, 0 or one half.
    prompts
        Prompt of each row; a fold has all rows of a prompt.
    before
        Weights before, `[D]`.
    spread
        Standard deviation of each of the D values over clips.

    Raises
    ------
    InputError
        If there is one prompt alone.
    """
    names = list(dict.fromkeys(prompts))
    if len(names) < 2:
        raise InputError(
            f"all answers are about {names[0]!r}: ask about a second prompt, to see what can be learned"
        )
    fold_of = {name: place % FOLDS for place, name in enumerate(names)}
    folds = np.array([fold_of[name] for name in prompts])
    lead = differences @ before
    scale = float(lead.std()) or 1.0
    known = np.column_stack([differences / spread, lead / scale])

    def left_out(strength: float) -> float:
        losses = np.empty(len(targets))
        for one in range(min(FOLDS, len(names))):
            held = folds == one
            learned = _solve(known[~held], targets[~held], strength)
            odds = known[held] @ learned
            losses[held] = np.logaddexp(0, odds) - targets[held] * odds
        return float(losses.mean())

    losses = {strength: left_out(strength) for strength in STRENGTHS}
    strength = min(losses, key=losses.__getitem__)
    learned = _solve(known, targets, strength)
    weights = learned[:-1] / spread + learned[-1] / scale * before
    return Fit(weights, strength, losses[strength], len(targets))


def _solve(known: Array, targets: Array, strength: float) -> Array:
    from scipy.optimize import minimize
    from scipy.special import expit

    penalty = np.full(known.shape[1], strength)
    penalty[-1] = 1.0
    # the score before is never turned round: some answers that contradict it by chance must not do that
    bounds = [(None, None)] * (known.shape[1] - 1) + [(LEAST, None)]

    def loss(learned: Array) -> tuple[float, Array]:
        odds = known @ learned
        value = np.logaddexp(0, odds).sum() - targets @ odds + penalty @ learned**2 / 2
        return float(value), known.T @ (expit(odds) - targets) + penalty * learned

    start = np.append(np.zeros(known.shape[1] - 1), LEAST)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return np.asarray(found.x)
