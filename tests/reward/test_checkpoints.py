"""Folders: full and head-only, strict, movable, written as they are read."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from music.errors import InputError
from reward import load_scorer
from reward.cmi_rm.checkpoint import load_checkpoint, load_towers, save_checkpoint
from reward.cmi_rm.config import CMIRMConfig, DownsamplerConfig
from reward.cmi_rm.head import RewardHead
from reward.cmi_rm.locations import Locator

TOWERS = ("mulan-tiny", "muq-tiny", "xlm-roberta-tiny")


@pytest.fixture
def place(scoring, tmp_path):
    """Return a folder with the towers and a copy of one golden checkpoint."""
    for name in (*TOWERS, "sa_conv"):
        shutil.copytree(scoring / name, tmp_path / "models" / name)
    return tmp_path / "models"


def edit(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def scores(folder, golden, count=3, **options):
    requests, _ = golden("sa_conv")
    return load_scorer(folder, device="cpu", **options).score(requests[:count])


def test_head_only_takes_the_towers_from_model_name(place, golden, scorer):
    expected = scores(place / "sa_conv", golden)

    def keep_head(tensors):
        for key in [key for key in tensors if key.startswith(("audio_module.", "text_module."))]:
            del tensors[key]

    edit(place / "sa_conv" / "model.safetensors", keep_head)
    # the golden towers differ from the published mulan-tiny in nothing
    assert scores(place / "sa_conv", golden) == expected
    assert load_scorer(place / "sa_conv").hash == scorer.hash


def test_full_checkpoint_needs_no_tower_weights(place, golden):
    expected = scores(place / "sa_conv", golden)
    for name in TOWERS:
        (place / name / "model.safetensors").unlink()
    assert scores(place / "sa_conv", golden) == expected


def test_names_are_looked_up_at_the_working_directory_first(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.move(place / "mulan-tiny", tmp_path / "mulan-tiny")
    for name in TOWERS[1:]:
        shutil.move(place / name, tmp_path / name)
    assert load_checkpoint(place / "sa_conv").towers.dim == 24
    (tmp_path / "mulan-tiny" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="not the config of a MuQ-MuLan"):
        load_checkpoint(place / "sa_conv")


def test_towers_that_moved_along_are_found_beside(place, towers):
    edit_config(place / "sa_conv", model_name="../../somewhere/mulan-tiny")
    assert load_checkpoint(place / "sa_conv").towers.hash == towers.hash


def test_missing_towers_are_named(place, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.rmtree(place / "muq-tiny")
    with pytest.raises(InputError, match=r"muq-tiny.*hub"):
        load_checkpoint(place / "sa_conv")
    edit_config(place / "sa_conv", model_name="/nowhere/mulan")
    with pytest.raises(InputError, match="no folder /nowhere/mulan"):
        load_checkpoint(place / "sa_conv")


def edit_config(folder, **changes):
    fields = yaml.safe_load((folder / "config.yaml").read_text())
    fields["model"].update(changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(fields))


@pytest.mark.parametrize(
    "key",
    [
        "score_projector.0.weight",
        "null_text_embedding",
        "audio_module.proj.weight",
        "text_module.model.pooler.dense.bias",
    ],
)
def test_missing_and_unexpected_keys_are_named(place, key):
    weights = place / "sa_conv" / "model.safetensors"

    def rename(tensors):
        tensors[key + "_v2"] = tensors.pop(key)

    edit(weights, rename)
    with pytest.raises(InputError) as error:
        load_checkpoint(place / "sa_conv")
    assert f"lacks {key}" in str(error.value)
    if key.endswith(("weight", "embedding")):
        assert f"unexpected {key}_v2" in str(error.value)


def test_a_wrong_shape_is_named(place):
    edit_config(place / "sa_conv", mlp_dim=17)
    with pytest.raises(
        InputError, match=r"score_projector.1.bias is \[16\], the config asks for \[17\]|projector|head"
    ):
        load_checkpoint(place / "sa_conv")


def test_damaged_and_absent_files_are_named(place):
    weights = place / "sa_conv" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.safetensors is not a whole"):
        load_checkpoint(place / "sa_conv")
    weights.unlink()
    with pytest.raises(InputError, match="holds no scorer"):
        load_scorer(place / "sa_conv")


def test_unknown_config_field_is_named(place):
    edit_config(place / "sa_conv", warmth=3)
    with pytest.raises(InputError, match=r"config\.yaml: unknown field model\.warmth"):
        load_checkpoint(place / "sa_conv")


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("mode", ["SA", "CA"])
def test_a_saved_folder_scores_the_same(place, golden, towers, mode, full):
    config = CMIRMConfig("mulan-tiny", 24, mode, mlp_dim=8, heads=2, dim_head=8, joint_tf_depth=1)
    glu, mlp = DownsamplerConfig("gluconv*2+pw", 6), DownsamplerConfig("mean+mlp", 4, pre_mlp=True)
    config = replace(config, eval_downsampler=glu, reference_downsampler=mlp)
    head = RewardHead(config)
    save_checkpoint(place / "new", config, head, towers.state_dict() if full else None)
    assert (
        any(key.startswith("audio_module.") for key in load_file(place / "new" / "model.safetensors")) is full
    )
    loaded = load_checkpoint(place / "new")
    assert loaded.config == config
    first = scores(place / "new", golden, 6)
    save_checkpoint(place / "again", loaded.config, loaded.head, loaded.towers.state_dict())
    assert scores(place / "again", golden, 6) == first
    assert load_scorer(place / "again").hash == load_scorer(place / "new").hash


def test_older_names_of_weight_normalisation_are_understood(place):
    expected = load_checkpoint(place / "sa_conv").towers.hash

    def rename(tensors):
        for key in [key for key in tensors if ".parametrizations.weight.original" in key]:
            base, _, number = key.partition(".parametrizations.weight.original")
            tensors[f"{base}.weight_{'gv'[int(number)]}"] = tensors.pop(key)
        tensors["text_module.model.embeddings.position_ids"] = torch.arange(520)[None]

    edit(place / "sa_conv" / "model.safetensors", rename)
    assert load_checkpoint(place / "sa_conv").towers.hash == expected


def test_towers_with_other_weights_have_another_hash(place, towers):
    def change(tensors):
        tensors["mulan.text.proj.bias"][0] += 1e-3

    edit(place / "mulan-tiny" / "model.safetensors", change)
    assert load_towers(str(place / "mulan-tiny"), Locator()).hash != towers.hash


def test_width_of_head_and_towers_must_agree(place):
    config = CMIRMConfig("mulan-tiny", 16, mlp_dim=8, heads=2, dim_head=8)
    save_checkpoint(place / "narrow", config, RewardHead(config))
    with pytest.raises(InputError, match="dim is 16, but the towers mulan-tiny have 24"):
        load_checkpoint(place / "narrow")


def test_another_text_model_is_refused(place):
    path = place / "xlm-roberta-tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "qwen2"}))
    with pytest.raises(InputError, match="XLM-RoBERTa, got model_type 'qwen2'"):
        load_checkpoint(place / "sa_conv")


def test_importing_reward_stays_light():
    heavy = ["transformers", "muq", "torchaudio", "accelerate", "huggingface_hub"]
    heavy += ["trl", "diffusers", "matplotlib"]
    code = f"import sys, reward, reward.registry; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr
