"""The loop that trains the lab's generator and towers: AdamW, cosine schedule, log, atomic checkpoints, exact resume.

Everything random in step `i` is drawn from a generator seeded by (seed, i), dropout included, so a run that was
killed and continued ends with the same weights as one that was not.
"""

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from music.durable import write_bytes, writing
from music.progress import progress
from music.torch_files import read_torch_file


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    steps, batch_size
        Number of optimiser steps, and of items in each.
    learning_rate
        Highest learning rate, reached after `warmup` steps; it then falls along a cosine to a twentieth.
    weight_decay
        Weight decay of AdamW.
    check_every
        Number of steps between validations, each with a checkpoint.
    seed
        Seed of everything random.
    """

    steps: int
    batch_size: int
    learning_rate: float = 6e-4
    warmup: int = 100
    weight_decay: float = 0.01
    check_every: int = 100
    seed: int = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        decay = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * decay


def train(
    name: str,
    model: nn.Module,
    schedule: Schedule,
    loss_of_step: Callable[[np.random.Generator, int], torch.Tensor],
    validate: Callable[[], dict[str, float]],
    work: Path,
) -> None:
    """Train `model` in place.

    Parameters
    ----------
    loss_of_step
        Function that draws a batch, given a random generator and the batch size, and returns its scalar loss.
    validate
        Function that returns named numbers; the model is in evaluation mode and no gradients are kept.
    work
        Folder for `checkpoint.pt` and `log.jsonl`; a run continues from what is there.
    """
    work.mkdir(parents=True, exist_ok=True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, schedule.learning_rate, betas=(0.9, 0.95), weight_decay=schedule.weight_decay
    )
    checkpoint, first = work / "checkpoint.pt", 0
    state: dict[str, Any] = {}
    if checkpoint.exists():
        state = read_torch_file(checkpoint, "state of a training")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    spent, mean = state.get("seconds", 0.0), state.get("loss")
    began = time.monotonic() - spent
    bar = progress(range(first, schedule.steps), initial=first, total=schedule.steps, desc=name)
    for step in bar:
        model.train()
        torch.manual_seed(hash((schedule.seed, step)))
        loss = loss_of_step(np.random.default_rng((schedule.seed, step)), schedule.batch_size)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        bar.set_postfix(loss=f"{mean:.3f}")
        if (step + 1) % schedule.check_every == 0 or step + 1 == schedule.steps:
            model.eval()
            with torch.no_grad():
                numbers = validate()
            row = {"step": step + 1, "loss": mean, "seconds": time.monotonic() - began, **numbers}
            with writing(work), (work / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            state |= {"seconds": row["seconds"], "loss": mean}
            buffer = io.BytesIO()
            torch.save(state, buffer)
            write_bytes(checkpoint, buffer.getvalue())
    model.eval()
