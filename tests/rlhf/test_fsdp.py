"""The config of MusicGen-large: weights shared by two processes give the model that one process makes alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from generators import load_generator
from music.command import parse_command
from rlhf.options import PostTraining
from rlhf.train import main
from tests.rlhf.trained_models import launched

CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
FSDP, OPTIONS = CONFIGS / "rlhf_fsdp.yaml", CONFIGS / "rlhf_musicgen_large.yaml"


def test_the_configs_are_of_a_training_and_of_the_command_in_them():
    options = parse_command(PostTraining, ["--config", str(OPTIONS)])
    assert options.generator == "facebook/musicgen-large"
    assert options.prompts != options.held_out
    assert yaml.safe_load(FSDP.read_text())["distributed_type"] == "FSDP"
    for path in (FSDP, OPTIONS):
        assert f"--config_file experiments/configs/{FSDP.name}" in path.read_text()
        assert f"--config experiments/configs/{OPTIONS.name}" in path.read_text()


@pytest.mark.slow
def test_two_processes_that_share_the_weights_learn_what_one_does(options, tiny, tmp_path, monkeypatch):
    published = parse_command(PostTraining, ["--config", str(OPTIONS)])
    alone = replace(options, algorithm=published.algorithm, rounds=1)
    main(alone)
    shared = replace(alone, output=tmp_path / "two", micro_batch_size=2)
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(FSDP), "--num_processes", "2"]
    cuts = tmp_path / "cuts"
    cuts.mkdir()
    monkeypatch.setenv("FSDP_CUTS", str(cuts))
    launched([*launcher, "--main_process_port", "29679", "tests/rlhf/fsdp_on_cpu.py"], shared)
    names = [(cuts / rank).read_text().split().count("MusicgenDecoderLayer") for rank in "01"]
    assert names == [2, 2]  # layers of the model, in each process
    before, one, two = (
        load_file(folder / "model.safetensors")
        for folder in (tiny, alone.output / "model", shared.output / "model")
    )
    assert before.keys() == one.keys() == two.keys()
    assert any(not torch.equal(before[name], two[name]) for name in before)
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=1e-5), name
    load_generator(shared.output / "model")
