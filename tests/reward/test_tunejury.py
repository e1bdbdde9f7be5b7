"""TuneJury gives what its authors' code gives: laion_clap's, MERT's and its own, on random weights."""

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
from tests.tiny_tunejury import CLAP, DATA, MERT, ROBERTA


@pytest.fixture(scope="module")
def expected():
    return load_file(DATA / "expected.safetensors")


@pytest.fixture
def copy(tunejury_folder, tmp_path) -> Path:
    return shutil.copytree(tunejury_folder, tmp_path / "copy")


@pytest.fixture
def clip(scoring):
    """Return a real clip of 3 s, at the rate that CLAP hears."""
    return read_clip(scoring / "audio" / "a0.flac").mono().resampled(48_000)


def score(scorer, clip, text=""):
    (found,) = scorer.score([ScoreRequest(clip, Prompt("p", text))])
    return found["tunejury"]


@pytest.mark.parametrize("repeats", [1, 5])  # shorter and longer than the ten seconds of CLAP
def test_clips_get_the_authors_numbers(repeats, expected, clip, tunejury_folder):
    scorer = load_scorer(f"tunejury:{tunejury_folder}", device="cpu")
    heard = Clip(clip.waveform.repeat(1, repeats), clip.sample_rate)
    for text, case in (("slow piano", "text"), ("", "none"), (" ", "none")):
        wanted = float(expected[f"a0_{repeats}_{case}"])
        assert score(scorer, heard, text) == pytest.approx(wanted, abs=1e-5)


def test_sound_beyond_full_scale_is_cut_for_clap_alone(clip, tunejury_folder):
    scorer = load_scorer(f"tunejury:{tunejury_folder}", device="cpu")
    loud = Clip(clip.waveform * 1000, clip.sample_rate)  # MERT hears it at unit variance
    square = Clip(loud.waveform.clamp(-1, 1), clip.sample_rate)
    clap = scorer._model["clap"]
    assert torch.equal(*(clap.embed_audio(one.waveform[0]) for one in (loud, square)))
    assert score(scorer, loud) != score(scorer, square)


def test_a_variant_hears_what_its_file_says(copy, clip):
    """As ``input_ablation/A1_clap_audio_only`` of the authors, below the folder with CLAP."""
    variant = copy / "input_ablation"
    variant.mkdir()
    head = torch.load(copy / "tunejury.pt", weights_only=True)
    head["net.0.weight"] = head["net.0.weight"][:, :12]
    torch.save(head, variant / "A1.pt")
    shutil.rmtree(copy / MERT)
    shutil.move(copy / ROBERTA, variant)
    with pytest.raises(InputError, match="no folder m-a-p/MERT"):
        load_scorer(f"tunejury:{variant / 'A1.pt'}", device="cpu")
    (variant / "A1.json").write_text(json.dumps({"input_dim": 12, "exclude": ["mert", "text"]}))
    scorer = load_scorer(f"tunejury:{variant / 'A1.pt'}", device="cpu")
    assert (scorer.name, scorer.features) == ("A1", ("LAION-CLAP",))
    assert score(scorer, clip, "slow piano") == score(scorer, clip)


def test_what_does_not_fit_is_named(copy):
    (copy / "tunejury.json").write_text('{"exclude": ["text"]}')
    with pytest.raises(
        InputError, match=r"reads 40 features, and there are 28 \(12 of clap_audio \+ 16 of mert\)"
    ):
        load_scorer(f"tunejury:{copy}", device="cpu")
    (copy / "tunejury.json").write_text('{"exclude": ["words"]}')
    with pytest.raises(
        InputError, match=r"exclude must be a list of clap_audio, mert, text, got \['words'\]"
    ):
        load_scorer(f"tunejury:{copy}", device="cpu")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tunejury.pt", b"nothing", "holds no head of TuneJury"),
        (CLAP, b"nothing", "holds no CLAP of laion_clap"),
        (f"{MERT}/config.json", b'{"model_type": "hubert"}', "expected a MERT, got model_type 'hubert'"),
        (f"{MERT}/config.json", b'{"model_type": "mert_model", "deepnorm": true}', "MERT with deepnorm"),
        (f"{MERT}/config.json", b'{"model_type": "mert_model", "hidden_size": 18}', "MERT"),
        (f"{ROBERTA}/tokenizer.json", b"nothing", "holds no tokenizer"),
    ],
)
def test_damaged_files_are_named(name, content, message, copy):
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_scorer(f"tunejury:{copy}", device="cpu")


@pytest.mark.parametrize("keys", [("patch_embed.proj.weight",), ("relative_position_bias_table",)])
def test_a_clap_without_its_parts_is_named(keys, copy):
    saved = torch.load(copy / CLAP, weights_only=False)
    saved["state_dict"] = {key: value for key, value in saved["state_dict"].items() if not key.endswith(keys)}
    torch.save(saved, copy / CLAP)
    with pytest.raises(InputError, match="holds no CLAP of laion_clap: it lacks"):
        load_scorer(f"tunejury:{copy}", device="cpu")


def test_too_short_a_clip_is_an_error(tunejury_folder):
    scorer = load_scorer(f"tunejury:{tunejury_folder}", device="cpu")
    with pytest.raises(InputError, match="too short for MERT"):
        score(scorer, Clip(torch.zeros(1, 100), 24_000))
