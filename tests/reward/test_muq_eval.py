"""MuQ-Eval gives what its authors' code gives, on frames and on whole clips."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines.muq_eval import MuQEvalHead
from reward.cmi_rm.weights import load_strictly
from tests.tiny_muq_eval import BASE, DATA, MUQ, OWN

# random weights of a head, and what the authors' classes make of them: of frames, and of clips that they have cut
GOLDEN = DATA / "muq_eval"


@pytest.fixture(scope="module")
def expected():
    return load_file(GOLDEN / "expected.safetensors")


@pytest.fixture
def copy(muq_eval_folder, tmp_path) -> Path:
    return shutil.copytree(muq_eval_folder, tmp_path / "copy")


@torch.no_grad()
def test_the_head_gives_the_authors_numbers(expected):
    weights = {
        key.removeprefix("encoder.").removeprefix("heads.MI."): value
        for key, value in load_file(GOLDEN / "head.safetensors").items()
        if "TA" not in key
    }
    head = MuQEvalHead(width=32, hidden=24, layers=2)
    load_strictly(head, weights, "the golden head")
    for case in range(3):
        found = head(expected[f"frames_{case}"][None])
        assert found.tolist() == pytest.approx(expected[f"score_{case}"].tolist(), abs=1e-5)


@pytest.mark.parametrize("name", ["a0", "a1"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_clips_get_the_authors_numbers(name, repeats, expected, muq_eval_folder, scoring):
    clip = read_clip(scoring / "audio" / f"{name}.flac").mono()  # 3 and 10 s at 24 kHz
    scorer = load_scorer(f"muq-eval:{muq_eval_folder}", device="cpu")
    long = Clip(clip.waveform.repeat(1, repeats), clip.sample_rate)
    (found,) = scorer.score([ScoreRequest(long, Prompt("p", ""))])
    wanted = expected[f"clip_{name}_{repeats}"].tolist()
    assert found == {"muq_eval_impression": pytest.approx(wanted[0], abs=1e-5)}


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (OWN.replace("frozen", "lora"), r"model\.tuning_mode is 'lora', and only 'frozen' \(A1\)"),
        (OWN.replace("mse", "ordinal_ce"), r"loss\.type is 'ordinal_ce'"),
        ("experiment: {name: A1}", r"model\.encoder is None"),  # its base is not named
        ("- 5", "expected fields with values"),
        (OWN.replace("{tuning_mode: frozen}", "{tuning_mode: frozen, heads: [{name: TA}]}"), "found TA"),
        (OWN.replace("{tuning_mode: frozen}", "{tuning_mode: frozen, head_layers: many}"), "many"),
        (OWN.replace("{tuning_mode: frozen}", "{tuning_mode: frozen, head_layers: 3}"), r"lacks head\.mlp"),
        (OWN + "data: {clip_samples: 0}", "clip_samples is 0, expected over 1024"),
    ],
)
def test_a_config_of_another_kind_is_named(own, message, copy):
    (copy / "config.yaml").write_text(own)
    with pytest.raises(InputError, match=message):
        load_scorer(f"muq-eval:{copy}", device="cpu")


def test_a_config_that_holds_everything_needs_no_base(copy, muq_eval_folder):
    (copy / "base.yaml").unlink()
    everything = BASE.replace("lora", "frozen").replace("ordinal_ce", "mse")
    (copy / "config.yaml").write_text(everything)
    hashes = {load_scorer(f"muq-eval:{folder}", device="cpu").hash for folder in (copy, muq_eval_folder)}
    assert len(hashes) == 1


def test_damaged_weights_are_named(copy):
    (copy / "model_state_dict.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model_state_dict\.pt holds no weights of a MuQ-Eval"):
        load_scorer(f"muq-eval:{copy}", device="cpu")


def test_the_muq_must_fit(copy):
    config = (copy / MUQ / "config.json").read_text()
    (copy / MUQ / "config.json").write_text(config.replace('"encoder_depth": 2', '"encoder_depth": 3'))
    with pytest.raises(InputError, match="does not fit the MuQ-Eval"):
        load_scorer(f"muq-eval:{copy}", device="cpu")
