"""Stable Audio learns from judged candidates of a pool: a low-rank update of its transformer, trained with Accelerate.

`rlhf.stable_audio.batches` says what is shown to the transformer, `rlhf.stable_audio.losses` what is asked of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from generators.stable_audio.diffusers.loading import StableAudioParts
from music.distributed.accelerating import make_accelerator
from music.errors import InputError
from music.interruption import StopAfterStep
from music.processes import Processes
from music.progress import progress
from music.training_state import TrainLog, TrainState
from rlhf.options import LOG, Optimisation
from rlhf.stable_audio.batches import Batches, Example
from rlhf.stable_audio.losses import VelocityLoss
from rlhf.stable_audio.model import VelocityModel
from rlhf.streams import Purpose, seed_of

_STATE = "training.pt"


def learn(
    parts: StableAudioParts,
    examples: Sequence[Example],
    seconds: float,
    optimisation: Optimisation,
    loss: VelocityLoss,
    folder: Path,
    processes: Processes,
) -> Any:
    """Train an update of a transformer and return the transformer with it in its weights.

    Parameters
    ----------
    parts
        Parts of the pipeline; the transformer is changed.
    examples
        Examples to learn from.
    seconds
        Length of the clips, s.
    optimisation
        How weights are learned.
    loss
        What is minimised.
    folder
        Folder for the state of the training and its log.
    processes
        Processes that share the work.

    Raises
    ------
    InputError
        If the batch does not divide, or the loss is not finite.
    Stopped
        After a signal, with the state saved.
    """
    optimisation.accumulation(processes.world_size)
    size, micro = optimisation.batch_size, optimisation.micro_batch_size
    steps = optimisation.steps
    device = parts.transformer.device
    tracker = None if optimisation.tracker == "none" else optimisation.tracker
    accelerator = make_accelerator(
        processes, device, optimisation.mixed_precision, log_with=tracker, project_dir=str(folder)
    )
    first = seed_of(optimisation.seed, Purpose.UPDATE)
    model = VelocityModel(parts.transformer, optimisation.lora_r, first, loss.own_guidance)
    model.to(device)
    if optimisation.gradient_checkpointing:
        parts.transformer.enable_gradient_checkpointing()
    update = nn.ParameterDict({name.replace(".", "/"): weight for name, weight in model.update().items()})
    optimiser = torch.optim.AdamW(update.parameters(), lr=optimisation.learning_rate, weight_decay=0.0)
    identity = {**optimisation.identity(), **asdict(loss), "examples": len(examples)}
    state = TrainState(folder / _STATE, identity)
    state.restore(update, optimiser)
    prepared = accelerator.prepare(model)
    batches = Batches(examples, parts, seconds, optimisation, loss.hidden)
    log = TrainLog(folder / LOG, state.step)
    places = processes.shard(range(size))
    chunks = [places[start : start + micro] for start in range(0, len(places), micro)]
    bar = progress(total=steps, initial=state.step, desc=loss.algorithm, disable=not processes.is_main)
    accelerator.init_trackers("runs", identity)  # in the folder where those of MusicGen's trainings lie
    with StopAfterStep(processes) as stop:
        while state.step < steps:
            for group in optimiser.param_groups:
                group["lr"] = optimisation.rate_at(state.step)
            sums: dict[str, torch.Tensor] = {}
            for number, chunk in enumerate(chunks, start=1):
                with accelerator.no_sync(prepared) if number < len(chunks) else nullcontext():
                    with accelerator.autocast():
                        found = loss(prepared, model.before, batches.of(state.step, chunk))
                    # processes' gradients are averaged, and should be summed
                    accelerator.backward(found["loss"].sum() / size * processes.world_size)
                for name, values in found.items():
                    sums[name] = sums.get(name, torch.zeros((), device=device)) + values.detach().sum()
            norm = torch.nn.utils.clip_grad_norm_(update.parameters(), 1.0)
            means = {name: float(accelerator.reduce(total, "sum")) / size for name, total in sums.items()}
            if not np.isfinite(means["loss"]):
                raise InputError(f"the loss is not finite at step {state.step + 1}: lower --learning_rate")
            optimiser.step()
            optimiser.zero_grad()
            state.step += 1
            bar.update()
            row = {**means, "grad_norm": float(norm)}
            log.add({"step": state.step, **row})
            accelerator.log({f"train/{name}": value for name, value in row.items()}, state.step)
            asked = stop.after(state.step) and state.step < steps
            if asked or state.step % optimisation.save_every == 0 or state.step == steps:
                if processes.is_main:
                    log.flush()
                    state.save(update, optimiser)
                processes.barrier()
            if asked:
                raise stop.stopped(state.step, steps)
    bar.close()
    for one in accelerator.trackers:
        one.finish()
    return model.transformer.merge_and_unload()
