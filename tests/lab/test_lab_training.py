"""The lab's trainings resume to the bit and learn; its text encoders learn to read what captions name."""

import pytest
import torch

from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.text_pretraining import NOT_NAMED, Captions, named_values, pretrain_text
from experiments.lab.world.facts import CAPTION_FACTS, Facts
from experiments.lab.world.prompts import SHIPPED, write_prompts
from experiments.running import spread
from music.jsonl import read_jsonl
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
    assert [row["step"] for _, row in read_jsonl(tmp_path / "killed" / "log.jsonl")] == [4, 8, 12]


def test_an_error_in_a_worker_ends_the_work():
    with pytest.raises(ZeroDivisionError):
        spread((1).__truediv__, [2, 0, 4], 2, "halves")


def test_shipped_prompts_are_those_that_the_script_writes(tmp_path):
    read, asked = {}, {}
    names = ("lab", "lab-train", "lab-choosing", "lab-held-out")
    for (file, prompts), name in zip(SHIPPED.items(), names, strict=True):
        write_prompts(tmp_path / file, prompts)
        shipped, written = load_prompts(name), load_prompts(tmp_path / file)
        facts = [[(p.id, p.text, dict(p.facts)) for p in some] for some in (shipped, written)]
        assert facts[0] == facts[1]
        read[name] = {prompt.id for prompt in shipped}
        asked[name] = {tuple(sorted(prompt.facts.items())) for prompt in shipped}
    assert [len(ids) for ids in read.values()] == [24, 256, 64, 128]
    assert len(set().union(*read.values())) == 24 + 256 + 64 + 128
    learned = asked["lab-train"]
    assert not learned & (asked["lab"] | asked["lab-held-out"] | asked["lab-choosing"])
    assert not asked["lab-choosing"] & (asked["lab"] | asked["lab-held-out"])


class Embedding(torch.nn.Module):
    """The smallest text encoder: it looks tokens up."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(64, 32)

    def forward(self, input_ids, attention_mask):
        return (self.table(input_ids),)


def test_facts_that_are_not_named_have_no_value():
    facts = Facts("flute", "fast", "minor", True, "low", "melody")
    values = dict(zip(CAPTION_FACTS, named_values(facts, ("instrument", "drums")), strict=True))
    assert values.pop("instrument") == CAPTION_FACTS["instrument"].index("flute")
    assert values.pop("drums") == 0
    assert set(values.values()) == {NOT_NAMED}


def captions(count: int, seed: int) -> Captions:
    """Each fact has tokens of its own; padding holds tokens of other facts, which must not be read."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [len(values) for values in CAPTION_FACTS.values()]
    facts = torch.stack([torch.randint(size, (count,), generator=generator) for size in sizes], 1)
    ids = facts + 8 * torch.arange(len(sizes))
    named = torch.rand(ids.shape, generator=generator) < 0.7
    named[:, 0] = True
    order = torch.sort(named.int(), dim=1, descending=True, stable=True).indices
    mask = named.gather(1, order).long()
    noise = torch.randint(64, ids.shape, generator=generator)
    return Captions(
        ids.gather(1, order).where(mask.bool(), noise), mask, facts.masked_fill(~named, NOT_NAMED)
    )


def test_what_captions_name_is_read(tmp_path):
    torch.manual_seed(0)
    schedule = Schedule(steps=150, batch_size=32, check_every=75, learning_rate=0.02, warmup=5)
    pretrain_text(Embedding(), 32, captions(400, 0), captions(200, 1), tmp_path, schedule)
    _, last = read_jsonl(tmp_path / "log.jsonl")[-1]
    assert all(last[name] > 0.95 for name in CAPTION_FACTS), last
