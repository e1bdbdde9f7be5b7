"""What the last layer is given: scores are linear in it, and scoring goes on as before."""

import numpy as np
import pytest

from music.errors import InputError
from reward import load_scorer
from reward.cmi_rm.head import COLUMNS
from reward.cmi_rm.last_layer import heads_of, last_layer


def test_scores_are_linear_in_the_last_layer(scorer, golden):
    requests, _ = golden("sa_conv")
    before = scorer.score(requests[:3])
    found = last_layer(scorer, requests[:3])
    layer = scorer.head.score_projector[-1]
    outputs = found.features @ layer.weight.double().numpy().T + layer.bias.double().numpy()
    assert found.scores.shape == (1, 3, 2)
    for row, scores, one in zip(outputs, found.scores[0], before, strict=True):
        for name, column in COLUMNS.items():
            assert row[column] == pytest.approx(one[name], abs=1e-5)
            assert scores[column] == pytest.approx(one[name], abs=1e-5)
    assert scorer.score(requests[:3]) == before
    alone = last_layer(scorer, requests[2:3])
    assert np.allclose(alone.features[0], found.features[2], atol=1e-5)


def test_another_scorer_has_none():
    loudness = load_scorer("loudness")
    assert heads_of(loudness) == []
    with pytest.raises(InputError, match="loudness is no CMI-RM, whose last layer is needed"):
        last_layer(loudness, [])
