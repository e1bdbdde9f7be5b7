"""Audiobox-Aesthetics gives what the package's own predictor gives."""

import json
import shutil

import pytest
import torch

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from tests.tiny_audiobox import CHECKPOINT

RATE = 16_000


@pytest.fixture(scope="module")
def wave(scoring):
    """Return 23 s of a real file in changing levels, at the model's rate."""
    found = read_clip(scoring / "audio" / "a0.flac").mono().resampled(RATE).waveform
    return torch.cat([found * level for level in (1.0, 0.5, 0.2)] * 3, dim=1)[:, : 23 * RATE]


@pytest.mark.parametrize("seconds", [23.0, 20.0, 4.5, 0.1])
def test_it_gives_what_the_predictor_gives(audiobox_folder, wave, seconds):
    pytest.importorskip("rich", reason="the package's predictor imports it")
    from audiobox_aesthetics.infer import AesPredictor

    clip = Clip(wave, RATE).first(seconds)
    predictor = AesPredictor(str(audiobox_folder / CHECKPOINT))
    (expected,) = predictor.forward([{"path": clip.waveform, "sample_rate": RATE}])
    scorer = load_scorer(f"audiobox:{audiobox_folder}", device="cpu")
    (found,) = scorer.score([ScoreRequest(clip, Prompt("p", ""))])
    assert scorer.metrics == ("CE", "CU", "PC", "PQ")
    assert found == pytest.approx(expected, abs=1e-4)


def test_weights_must_fit_and_ratings_have_a_scale(audiobox_folder, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(audiobox_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "proj_num_layer": 1}))
    with pytest.raises(InputError, match=r"does not fit.*proj_layer"):
        load_scorer(f"audiobox:{folder}", device="cpu")
    (folder / "config.json").write_text(json.dumps({**config, "target_transform": {"CE": {"mean": 1.0}}}))
    with pytest.raises(InputError, match="target_transform must give mean and std"):
        load_scorer(f"audiobox:{folder}", device="cpu")
