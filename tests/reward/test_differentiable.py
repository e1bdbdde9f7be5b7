"""Scores with a gradient are the ordinary ones, and their gradient says how they change."""

import pytest
import torch

from music.clips import Clip, read_clip
from music.errors import InputError
from reward import load_scorer
from reward.differentiable import differentiable
from reward.protocol import ScoreRequest


@pytest.fixture
def stereo(golden):
    """Return requests of clips in memory, at a rate that is resampled: with text, lyrics, reference and without."""
    requests = []
    for one in golden("sa_conv")[0][:6]:
        wave = read_clip(one.audio, 1.5).waveform[:1]
        requests.append(ScoreRequest(Clip(torch.cat((wave, 0.5 * wave)), 32_000), one.prompt))
    assert {bool(one.prompt.reference) for one in requests} == {True, False}
    return requests


@pytest.mark.parametrize("kind", ["sa_plain", "sa_conv", "ensemble"])
def test_they_are_the_ordinary_scores(kind, stereo, scoring, heads):
    scorer = load_scorer(f"ensemble:{heads[0]}" if kind == "ensemble" else scoring / kind, device="cpu")
    for request, expected in zip(stereo, scorer.score(stereo), strict=True):
        clip = Clip(request.audio.waveform.clone().requires_grad_(), request.audio.sample_rate)
        found = differentiable(scorer).measure(ScoreRequest(clip, request.prompt))
        assert {name: value.item() for name, value in found.items()} == pytest.approx(expected, abs=1e-5)
        assert list(found) == list(scorer.metrics)


@pytest.mark.parametrize("metric", ["musicality", "alignment"])
def test_the_gradient_says_how_they_change(metric, stereo, scorer):
    request = stereo[0]
    wave = request.audio.waveform.clone().requires_grad_()

    def measured(waveform):
        return scorer.measure(ScoreRequest(Clip(waveform, 32_000), request.prompt))[metric]

    (gradient,) = torch.autograd.grad(measured(wave), wave)
    way = gradient / gradient.norm()
    rise = (measured(wave + 0.01 * way) - measured(wave - 0.01 * way)).item() / 0.02
    assert rise == pytest.approx(gradient.norm().item(), rel=0.05)


def test_what_has_no_gradient_is_refused():
    with pytest.raises(
        InputError, match="loudness gives scores without a gradient in the audio: choose one CMI-RM"
    ):
        differentiable(load_scorer("loudness"))
