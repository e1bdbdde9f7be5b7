"""What a training step is a function of: order, modality dropout, learning rate, settings."""

import dataclasses

import pytest
import torch

from music.errors import InputError
from reward.batches import drops_of_step, indices_of_step
from reward.train import learning_rate
from reward.train_config import TrainConfig

CONFIG = TrainConfig("train.jsonl", "validation.jsonl", "run")


def test_every_epoch_has_every_pair_once():
    seen = [index for step in range(6) for index in indices_of_step(3, step, 4, 12)]
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]
    assert indices_of_step(3, 1, 4, 12) == seen[4:8]
    assert indices_of_step(4, 1, 4, 12) != seen[4:8]


def test_drops_depend_on_seed_step_and_pair_alone():
    rates = (0.2, 0.3, 0.5)
    together = drops_of_step(0, 5, [4, 9, 2], rates)
    assert torch.equal(together[1], drops_of_step(0, 5, [9], rates)[0])
    many = drops_of_step(0, 1, range(4000), rates).float().mean(dim=0)
    torch.testing.assert_close(many, torch.tensor(rates), atol=0.03, rtol=0)
    assert not torch.equal(drops_of_step(0, 1, range(50), rates), drops_of_step(0, 2, range(50), rates))
    assert not drops_of_step(0, 1, range(50), (0, 0, 0)).any()


def test_learning_rate_warms_up_and_decays():
    config = dataclasses.replace(CONFIG, steps=12, warmup_steps=2, learning_rate=3e-3)
    rates = [learning_rate(config, step) for step in range(12)]
    assert rates[:2] == [0.0015, 0.003]
    assert rates[2] == 0.003
    assert sorted(rates[2:], reverse=True) == rates[2:]
    assert 0 < rates[-1] < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps"),
        ({"text_dropout": 1.5}, "--text_dropout"),
        ({"learning_rate": 0.0}, "--learning_rate"),
        ({"downsample": "max"}, "kind 'max'"),
        ({"heads": 5}, "--heads 5"),
        ({"limit": 0}, "--limit"),
        ({"device": "cuda:1"}, "--device must be auto, cpu or cuda, got 'cuda:1'"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **change).head(24, "x")
