"""Teaches a small T5 to read captions before a decoder listens to it; MusicGen's T5 comes pretrained as well.

Linear readouts of the mean of its states learn each fact that the caption names (cross-entropy; facts that are not
named do not count), and are thrown away. Without this the decoder spends most of its training on learning to read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.lab.training.loop import Schedule, train
from experiments.lab.world.facts import CAPTION_FACTS, Facts

NOT_NAMED = -100  # what cross_entropy ignores
SCHEDULE = Schedule(steps=400, batch_size=64, learning_rate=1e-3)


def small_t5(vocabulary: int) -> Any:
    """Return the config of the lab's text encoders: 2 layers x 128 for a number of tokens."""
    from transformers import T5Config

    return T5Config(
        vocab_size=vocabulary, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4, dropout_rate=0.0
    )


@dataclass(frozen=True)
class Captions:
    """Captions and the facts that they name."""

    ids: torch.Tensor  # tokens [N, L]
    mask: torch.Tensor  # their mask [N, L]
    facts: torch.Tensor  # index of the value that is named of each of `CAPTION_FACTS`, or `NOT_NAMED`, [N, F]


def named_values(facts: Facts, named: tuple[str, ...]) -> list[int]:
    """Return the index of the value of each of `CAPTION_FACTS`, `NOT_NAMED` for those not named."""
    return [
        values.index(getattr(facts, name)) if name in named else NOT_NAMED
        for name, values in CAPTION_FACTS.items()
    ]


class _Reader(nn.Module):
    def __init__(self, encoder: nn.Module, dimension: int):
        super().__init__()
        self.encoder = encoder
        self.readouts = nn.ModuleList(
            [nn.Linear(dimension, len(values)) for values in CAPTION_FACTS.values()]
        )

    def forward(self, captions: Captions, rows: torch.Tensor) -> list[torch.Tensor]:
        longest = int(captions.mask[rows].sum(1).max())
        ids, mask = captions.ids[rows, :longest], captions.mask[rows, :longest]
        states = self.encoder(input_ids=ids, attention_mask=mask)[0] * mask[..., None]
        mean = states.sum(1) / mask.sum(1, keepdim=True)
        return [readout(mean) for readout in self.readouts]


def pretrain_text(
    encoder: nn.Module,
    dimension: int,
    captions: Captions,
    held_out: Captions,
    work: Path,
    schedule: Schedule = SCHEDULE,
) -> None:
    """Train `encoder` in place; checkpoints and the share of held-out facts read right go to `work`."""
    reader = _Reader(encoder, dimension)

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(captions.ids), size=batch_size))
        read, truth = reader(captions, rows), captions.facts[rows]
        losses = [
            functional.cross_entropy(one, truth[:, column], ignore_index=NOT_NAMED, reduction="sum")
            for column, one in enumerate(read)
        ]
        return torch.stack(losses).sum() / batch_size

    def validate() -> dict[str, float]:
        read = reader(held_out, torch.arange(len(held_out.ids)))
        right = torch.stack([one.argmax(1) for one in read], 1) == held_out.facts
        named = held_out.facts != NOT_NAMED
        return {
            name: (right[:, column] & named[:, column]).sum().item() / max(1, named[:, column].sum().item())
            for column, name in enumerate(CAPTION_FACTS)
        }

    train("text", reader, schedule, loss_of_step, validate, work)
