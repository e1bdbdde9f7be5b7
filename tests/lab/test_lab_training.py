"""The lab's trainings resume to the bit and learn."""

import json

import numpy as np
import pytest
import torch
from experiments.lab.workers import spread

from experiments.lab.training.loop import Schedule, train
from experiments.lab.world.prompts import SHIPPED, write_prompts
from music.prompts import load_prompts


class StoppedError(Exception):
    """Stands for a kill."""


def run_training(folder, stop_at=None):
    """Fit a line with dropout, and return the weights."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(4, 1))
    seen = []

    def loss_of_step(rng, batch_size):
        seen.append(1)
        if stop_at is not None and len(seen) > stop_at:
            raise StoppedError
        inputs = torch.from_numpy(rng.standard_normal((batch_size, 4))).float()
        return (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    schedule = Schedule(steps=12, batch_size=8, check_every=4, warmup=2)
    train("line", model, schedule, loss_of_step, lambda: {"weight": model[1].weight.sum().item()}, folder)
    return model[1].weight.detach().clone()


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    whole = run_training(tmp_path / "whole")
    with pytest.raises(StoppedError):
        run_training(tmp_path / "killed", stop_at=6)
    assert torch.equal(run_training(tmp_path / "killed"), whole)
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()
    ]
    assert steps == [4, 8, 12]


def test_a_loss_that_learns_falls(tmp_path):
    schedule = Schedule(steps=60, batch_size=32, check_every=60, learning_rate=0.05, warmup=2)
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)

    def loss_of_step(rng, batch_size):
        inputs = torch.from_numpy(rng.standard_normal((batch_size, 3))).float()
        return (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()

    first = loss_of_step(np.random.default_rng(0), 256).item()
    train("line", model, schedule, loss_of_step, dict, tmp_path)
    assert loss_of_step(np.random.default_rng(0), 256).item() < 0.2 * first


def test_an_error_in_a_worker_ends_the_work():
    with pytest.raises(ZeroDivisionError):
        spread((1).__truediv__, [2, 0, 4], 2, "halves")


def test_shipped_prompts_are_those_that_the_script_writes(tmp_path):
    read = {}
    for (file, prompts), name in zip(SHIPPED.items(), ("lab", "lab-train", "lab-held-out"), strict=True):
        write_prompts(tmp_path / file, prompts)
        shipped, written = load_prompts(name), load_prompts(tmp_path / file)
        facts = [[(p.id, p.text, dict(p.facts)) for p in some] for some in (shipped, written)]
        assert facts[0] == facts[1]
        read[name] = {prompt.id for prompt in shipped}
    assert [len(ids) for ids in read.values()] == [24, 256, 128]
    assert len(set().union(*read.values())) == 24 + 256 + 128
