"""A training that goes on from a head: it has its shape and towers, wherever the folder of the next one lies."""

import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from music.errors import InputError
from music.shipped_files import asset
from reward import load_scorer
from reward import train as reward_training
from reward.cmi_rm.checkpoint import load_head
from reward.registry import model_folder
from reward.training.continuing import continued
from tests.reward.training_runs import write_pairs


@pytest.fixture
def rows(tmp_path):
    """Return the options of a short training."""
    for name, count, seed in (("train", 4, 1), ("validation", 2, 2)):
        write_pairs(tmp_path / name / f"{name}.jsonl", count, seed)
    return {
        **{name: str(tmp_path / name / f"{name}.jsonl") for name in ("train", "validation")},
        "output": str(tmp_path / "deep" / "er" / "model"),
        "embeddings": str(tmp_path / "embeddings"),
        "steps": 1,
        "evaluate_every": 1,
        "batch_size": 2,
        "device": "cpu",
    }


@pytest.mark.parametrize(
    ("folder", "towers"), [("lab/cmi_rm", "lab-mulan"), ("lab/played/cmi_rm", "lab-mulan-played")]
)
def test_it_has_the_shape_of_the_head_and_names_the_towers_so_that_it_may_lie_anywhere(rows, folder, towers):
    config = continued(asset(folder), **rows)
    head, _ = load_head(asset(folder))
    assert config.head(head.config.dim, "x").acting() == head.config.acting()
    assert config.model_name == towers
    assert config.dropout == head.config.attn_dropout


def test_towers_beside_a_head_are_named_by_their_whole_path(rows, scoring):
    config = continued(scoring / "sa_conv", **rows)
    assert config.model_name == str((scoring / "mulan-tiny").resolve())
    reward_training.main(config)
    load_scorer(config.output, device="cpu")


def test_a_head_of_a_shape_that_no_option_gives_is_refused(rows, tmp_path):
    folder = shutil.copytree(asset("lab/cmi_rm"), tmp_path / "own" / "cmi_rm")
    shutil.copytree(asset("lab/mulan"), tmp_path / "own" / "mulan")
    fields = yaml.safe_load((folder / "config.yaml").read_text())
    fields["model"]["downsample"]["configs"]["eval"]["kernel_size"] = 3
    (folder / "config.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(InputError, match="cannot be trained further: no option gives its eval_downsampler"):
        continued(folder, **rows)


def test_each_head_of_an_ensemble_goes_on_from_its_own(rows, tmp_path):
    before = asset("lab/cmi_rm")
    for number in range(2):
        head = shutil.copytree(before, tmp_path / "two" / "ab"[number])
        weights = load_file(head / "model.safetensors")
        weights["score_projector.3.weight"] += number
        save_file(weights, head / "model.safetensors", metadata={"format": "pt"})
        fields = yaml.safe_load((head / "config.yaml").read_text())
        fields["model"]["model_name"] = "lab-mulan"
        (head / "config.yaml").write_text(yaml.safe_dump(fields))
    config = continued(tmp_path / "two", ensemble=2, **rows)
    reward_training.main(config)
    learned = [
        load_file(f"{config.output}/head-0{number}/model.safetensors")["score_projector.3.weight"]
        for number in range(2)
    ]
    assert torch.allclose(learned[1] - learned[0], torch.ones_like(learned[0]), atol=0.01)


def test_names_of_rewards_that_can_be_trained_further(tmp_path):
    assert model_folder("lab-cmi-rm") == asset("lab/played/taught")
    assert model_folder("lab-cmi-rm-first") == asset("lab/cmi_rm")
    assert model_folder(str(tmp_path)) == tmp_path
    assert model_folder("ensemble:runs/four").name == "four"
    with pytest.raises(InputError, match="--reward mean:a\\+b is no CMI-RM"):
        model_folder("mean:a+b")
