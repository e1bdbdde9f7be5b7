"""A text encoder learns to read the facts that captions name, and only those that they name."""

import json

import torch
from torch import nn

from experiments.lab.training.loop import Schedule
from experiments.lab.training.text_pretraining import NOT_NAMED, Captions, named_values, pretrain_text
from experiments.lab.world.facts import CAPTION_FACTS, Facts

FACTS = Facts("flute", "fast", "minor", True, "low", "melody")


class Embedding(nn.Module):
    """The smallest text encoder: it looks tokens up."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, 32)

    def forward(self, input_ids, attention_mask):
        return (self.table(input_ids),)


def test_facts_that_are_not_named_have_no_value():
    values = dict(zip(CAPTION_FACTS, named_values(FACTS, ("instrument", "drums")), strict=True))
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
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert all(last[name] > 0.95 for name in CAPTION_FACTS), last
