"""SongEval's head gives what its authors' code gives, on the frames that muq gives."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines.songeval import SongEvalHead
from reward.cmi_rm.weights import load_strictly
from tests.tiny_songeval import DATA, MUQ, build_muq

GOLDEN = DATA / "songeval"  # weights of random numbers, frames, and what the published head makes of them


@pytest.fixture(scope="module")
def head():
    head = SongEvalHead(width=32, hidden=48, layers=3, scales=5)
    load_strictly(head, load_file(GOLDEN / "ckpt" / "model.safetensors"), "the golden head")
    return head.eval()


@pytest.fixture
def copy(songeval_folder, tmp_path) -> Path:
    return shutil.copytree(songeval_folder, tmp_path / "copy")


@torch.no_grad()
def test_the_head_gives_the_authors_numbers(head):
    golden = load_file(GOLDEN / "expected.safetensors")
    for case in range(3):
        found = head(golden[f"frames_{case}"][None])[0]
        assert found.tolist() == pytest.approx(golden[f"scores_{case}"].tolist(), abs=1e-5)


def test_it_scores_the_sixth_layer_of_the_whole_song(head, songeval_folder, scoring):
    muq = build_muq(json.loads((songeval_folder / MUQ / "config.json").read_text()))
    wave = torch.cat(
        [read_clip(scoring / "audio" / "a1.flac").mono().waveform] * 4, dim=1
    )  # more than a chunk
    with torch.no_grad():
        expected = head(muq(wave, output_hidden_states=True).hidden_states[6])[0].tolist()
    scorer = load_scorer(f"songeval:{songeval_folder}", device="cpu")
    (found,) = scorer.score([ScoreRequest(Clip(wave, 24_000), Prompt("p", ""))])
    assert list(found) == [
        "songeval_coherence",
        "songeval_musicality",
        "songeval_memorability",
        "songeval_clarity",
        "songeval_naturalness",
    ]
    assert list(found.values()) == pytest.approx(expected, abs=1e-5)


def test_what_is_missing_or_does_not_fit_is_named(songeval_folder, copy, tmp_path):
    with pytest.raises(InputError, match="git clone"):
        load_scorer(f"songeval:{tmp_path}", device="cpu")
    config = (copy / "config.yaml").read_text()
    for change, message in (
        (config.replace("num_classes: 5", "num_classes: 4"), "num_classes is 4, expected 5"),
        (config.replace("attn_layer_num: 3", "attn_layer_num: 4"), r"lacks attn\.3"),
        ("generator: 5", "expected generator with in_features"),
    ):
        (copy / "config.yaml").write_text(change)
        with pytest.raises(InputError, match=message):
            load_scorer(f"songeval:{copy}", device="cpu")


def test_the_muq_must_have_the_layer(copy, scoring):
    shutil.rmtree(copy / MUQ)
    shutil.copytree(scoring / "muq-tiny", copy / MUQ)  # of two layers
    with pytest.raises(InputError, match="has 2 layers of width 32; SongEval stands on layer 6"):
        load_scorer(f"songeval:{copy}", device="cpu")


def test_too_short_a_clip_is_an_error(songeval_folder):
    scorer = load_scorer(f"songeval:{songeval_folder}", device="cpu")
    with pytest.raises(InputError, match=r"0\.043 s is too short"):
        scorer.score([ScoreRequest(Clip(torch.zeros(1, 1024), 24_000), Prompt("p", ""))])
