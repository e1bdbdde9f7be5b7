"""What a training step is a function of: order, modality dropout, learning rate, settings."""

import dataclasses

import pytest
import torch

from music.errors import InputError
from reward.training.batches import drops_of_step, indices_of_step
from reward.training.config import TrainConfig
from reward.training.trainer import learning_rate

CONFIG = TrainConfig("train.jsonl", "validation.jsonl", "run")


def test_every_epoch_has_every_pair_once():
    seen = [index for step in range(6) for index in indices_of_step(3, step, 4, [(12, 1.0)])]
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12))
    assert seen[:12] != seen[12:]
    assert indices_of_step(3, 1, 4, [(12, 1.0)]) == seen[4:8]
    assert indices_of_step(4, 1, 4, [(12, 1.0)]) != seen[4:8]


def test_a_weight_is_how_often_a_row_comes_in_an_epoch():
    mixture = [(4, 2.5), (6, 1.0), (8, 0.25)]  # 10 + 6 + 2
    epochs = [indices_of_step(0, epoch, 18, mixture) for epoch in range(40)]
    counts = torch.stack([torch.bincount(torch.tensor(epoch), minlength=18) for epoch in epochs])
    assert (counts[:, :4].sum(dim=1) == 10).all()
    assert (counts[:, :4] >= 2).all()
    assert (counts[:, 4:10] == 1).all()
    assert (counts[:, 10:].sum(dim=1) == 2).all()
    assert (counts.sum(dim=0)[10:] > 0).all()  # other rows in each epoch


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("a.jsonl", [("a.jsonl", 1.0)]),
        ("a.jsonl:2, b.jsonl", [("a.jsonl", 2.0), ("b.jsonl", 1.0)]),
        ("c:/a.jsonl", [("c:/a.jsonl", 1.0)]),
        ("c:/a.jsonl:0.5", [("c:/a.jsonl", 0.5)]),
    ],
)
def test_files_to_learn_from_and_their_weights(text, files):
    assert dataclasses.replace(CONFIG, train=text).training_files() == files


@pytest.mark.parametrize("text", ["a.jsonl:0", "a.jsonl:-1", "a.jsonl:nan", "a.jsonl,a.jsonl:2"])
def test_weights_that_make_no_sense_are_refused(text):
    with pytest.raises(InputError, match="--train"):
        dataclasses.replace(CONFIG, train=text)


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
        ({"dropout": 1.0}, "--dropout must be below 1"),
        ({"prompt_depth": -1}, "--prompt_depth must be at least 0, got -1"),
        ({"dim_head": -1}, "--dim_head"),
        ({"warmup_steps": -1}, "--warmup_steps"),
        ({"weight_decay": -0.1}, "--weight_decay must be at least 0, got -0.1"),
        ({"ff_mult": 0}, "--ff_mult"),
        ({"downsample": "max"}, "kind 'max'"),
        ({"heads": 5}, "--heads 5"),
        ({"limit": 0}, "--limit"),
        ({"device": "cuda:1"}, "--device must be auto, cpu or cuda, got 'cuda:1'"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **change).head(24, "x")
