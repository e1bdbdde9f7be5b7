"""The loop that trains a head: steps, validations, the best model so far, and the state to resume from."""

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from music.errors import InputError
from music.hashing import sha256_file
from music.interruption import StopAfterStep
from music.paths import is_folder
from music.processes import Processes
from music.progress import progress
from music.training_state import TrainLog, TrainState
from reward.cmi_rm.checkpoint import WEIGHTS, load_head, save_checkpoint
from reward.cmi_rm.head import COLUMNS, RewardHead
from reward.cmi_rm.towers import Towers
from reward.cmi_rm.tuning import merged_weights
from reward.training.batches import JudgementData, drops_of_step, indices_of_step
from reward.training.config import TrainConfig
from reward.training.embeddings import EmbeddingStore
from reward.training.live_frames import LiveFrames
from reward.training.objective import Objective, RatingMap
from reward.training.several_heads import STATE, centred
from reward.training.validation import validate

#: options that change nothing of what is learned, as states hold them
_FREE = {"output": "", "embeddings": "", "in_memory": False, "device": "", "tracker": ""}


class Trainer:
    """Trains a head, and the parts of its towers that require gradients.

    Parameters
    ----------
    config
        Options of the training.
    accelerator
        An `accelerate.Accelerator`.
    processes
        Processes that share every step.
    towers
        Towers, moved to the device already.
    frames
        Outputs of the towers, stored or made anew.

    Raises
    ------
    InputError
        If the output folder holds a run with other options, or `init_from` a head of another shape.
    """

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Any,
        processes: Processes,
        towers: Towers,
        frames: EmbeddingStore | LiveFrames,
    ) -> None:
        self.config, self.accelerator, self.processes = config, accelerator, processes
        self.towers, self.frames, self.output = towers, frames, Path(config.output)
        self.tuned = [parameter for parameter in towers.parameters() if parameter.requires_grad]
        torch.manual_seed(config.seed)
        self.head = RewardHead(config.head(towers.dim, model_name(config)))
        self.own_towers = bool(self.tuned)
        if config.init_from:
            self.own_towers |= _start_from(Path(config.init_from), self.head)
        # moved before the optimiser, whose restored state follows it
        ratings = RatingMap("none" if config.rating_levels else config.rating_map)
        self.objective = Objective(self.head, ratings).to(accelerator.device)
        # eps: Bradley-Terry leaves directions free (such as the last bias), which rounding must not move
        optimiser = torch.optim.AdamW(self._groups(), lr=config.learning_rate, eps=1e-6)
        files = [*(path for path, _ in config.training_files()), config.validation]
        identity = {
            **dataclasses.asdict(config),
            **_FREE,
            "ensemble": None if config.ensemble is None else "a head of it",  # however many there are
            "init_from": sha256_file(Path(config.init_from) / WEIGHTS) if config.init_from else "",
            "towers": towers.hash,
            "data": {path: sha256_file(path) for path in files},
        }
        self.state = TrainState(self.output / STATE, identity)
        #: all that learns
        self.learning: nn.Module = self.objective
        if self.tuned:
            self.learning = nn.ModuleList([self.objective, nn.ParameterList(self.tuned)])
        self.state.restore(self.learning, optimiser)
        self.model, self.optimiser = accelerator.prepare(self.objective, optimiser)

    def run(self, train: JudgementData, held_out: JudgementData) -> None:
        """Train until the schedule ends or patience does; `Stopped` after a signal, with the state saved."""
        with StopAfterStep(self.processes) as stop:
            self._run(train, held_out, stop)

    def _run(self, train: JudgementData, held_out: JudgementData, stop: StopAfterStep) -> None:
        config, state = self.config, self.state
        if config.tracker != "none":
            self.accelerator.init_trackers("reward", dataclasses.asdict(config))
        log = TrainLog(self.output / "log.jsonl", state.step) if self.processes.is_main else None
        bar = progress(total=config.steps, initial=state.step, desc="train", disable=log is None)
        while state.step < config.steps and not state.stopped:
            started = time.perf_counter()
            losses = self._step(train)
            state.step += 1
            bar.update()
            self.accelerator.log({f"train/{name}": value for name, value in losses.items()}, state.step)
            if log is not None:
                log.add({"step": state.step, **losses, "seconds": round(time.perf_counter() - started, 4)})
            if state.step % config.evaluate_every == 0 or state.step == config.steps:
                self._draw_from(None)
                found = validate(self.objective, held_out, config.batch_size)
                accuracies = {head: found[head]["accuracy"] for head in COLUMNS}
                bar.set_postfix({head: round(x, 3) for head, x in accuracies.items() if x is not None})
                self._keep_if_best(found, held_out)
                self.accelerator.log(_flat(found), state.step)
                if log is not None:
                    log.add({"step": state.step, "validation": found})
            ends = state.step == config.steps or state.stopped
            asked = stop.after(state.step) and not ends
            if ends or asked or state.step % config.checkpoint_every == 0:
                if log is not None:
                    log.flush()
                    state.save(self.learning, self.optimiser)
                self.processes.barrier()
            if asked:
                raise stop.stopped(state.step, config.steps)
        bar.close()

    def _step(self, data: JudgementData) -> dict[str, float]:
        """Take one step; return its losses and learning rate."""
        config, step = self.config, self.state.step
        rate = learning_rate(config, step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        indices = indices_of_step(config.seed, step, config.batch_size, data.mixture)
        chances = (config.text_dropout, config.lyrics_dropout, config.reference_dropout)
        dropped = drops_of_step(config.seed, step, indices, chances)
        counts = data.judged(indices).to(self.accelerator.device)  # of all processes
        seed = ((config.seed + 1) * 1_000_003 + step) % 2**63
        self.model.train()
        self._draw_from(seed)
        self.optimiser.zero_grad()
        means = torch.zeros_like(counts)
        parts = self._parts(data, indices)
        for number, places in enumerate(parts, start=1):
            batch = data.batch(indices, dropped, places, padded_as_step=config.dropout > 0)
            batch = batch.to(self.accelerator.device)
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model):
                with self._autocast():
                    sums = self.model(batch, seed)
                shares = sums / counts.clamp(min=1)
                # DistributedDataParallel averages over processes what is to be summed
                loss = shares.sum() / (counts > 0).sum().clamp(min=1) * self.processes.world_size
                self.accelerator.backward(loss)
            means += shares.detach()
        self._average_tuned()
        self.accelerator.clip_grad_norm_([*self.model.parameters(), *self.tuned], config.clip_norm)
        self.optimiser.step()
        means = self.accelerator.reduce(means, "sum")
        if not torch.isfinite(means).all():
            raise InputError(f"the loss is not finite at step {step + 1}: lower --learning_rate")
        return {**{head: means[column].item() for head, column in COLUMNS.items()}, "learning_rate": rate}

    def _groups(self) -> list[dict[str, Any]]:
        """Return what learns: matrices and kernels decay; gains, biases, null embeddings, limits of ratings do not."""
        decays: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, value in self.head.named_parameters():
            decays[value.ndim > 1 and not name.startswith(("null_", "ratings."))].append(value)
        decays[False] += self.objective.ratings.parameters()
        rates = {True: self.config.weight_decay, False: 0.0}
        groups: list[dict[str, Any]] = [{"params": decays[one], "weight_decay": rates[one]} for one in rates]
        scale = self.config.tower_learning_rate / self.config.learning_rate
        for matrices, decay in rates.items():
            part = [value for value in self.tuned if (value.ndim > 1) == matrices]
            groups += [{"params": part, "weight_decay": decay, "scale": scale}] if part else []
        return groups

    def _draw_from(self, seed: int | None) -> None:
        if isinstance(self.frames, LiveFrames):
            self.frames.draw_from(seed)

    def _average_tuned(self) -> None:
        """Average over processes the gradients of the towers, which DistributedDataParallel does not hold."""
        if self.tuned and self.processes.world_size > 1:
            own = [torch.zeros_like(one) if one.grad is None else one.grad for one in self.tuned]
            mean = self.accelerator.reduce(parameters_to_vector(own), "mean")
            for one, part in zip(self.tuned, mean.split([one.numel() for one in own]), strict=True):
                one.grad = part.view_as(one).clone()

    def _autocast(self) -> torch.autocast:
        half = self.config.mixed_precision == "bf16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=half)

    def _parts(self, data: JudgementData, indices: Sequence[int]) -> list[list[int]]:
        """Return the places in a step of the rows of this process, in as many parts as gradients are summed over.

        Prompts of like length come together, as a part is padded to its longest.
        """
        own = self.processes.shard(range(self.config.batch_size))
        own = sorted(own, key=lambda place: data.prompt_length(indices[place]))
        size = -(-len(own) // self.config.gradient_accumulation_steps)
        return [own[start : start + size] for start in range(0, len(own), size)]

    def _keep_if_best(self, found: Mapping[str, Any], held_out: JudgementData) -> None:
        """Save the model if none was better before; otherwise patience may end."""
        state = self.state
        if state.best is None or found["loss"] < state.best["loss"]:
            state.best, state.best_step, state.waited = dict(found), state.step, 0
            if self.processes.is_main:
                weights = merged_weights(self.towers) if self.own_towers else None
                save_checkpoint(self.output, self.head.config, self._saved(held_out), weights)
        else:
            state.waited += 1
        state.stopped = 0 < self.config.patience <= state.waited

    def _saved(self, held_out: JudgementData) -> RewardHead:
        """Return what is saved of the head: itself, or centred where others of an ensemble stand beside it."""
        config = self.config
        if config.ensemble is None or config.rating_levels or config.rating_map == "none":
            return self.head
        return centred(self.head, held_out, config.batch_size)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of a step (from 0): linear warm-up, then a cosine to 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


def model_name(config: TrainConfig) -> str:
    """Return the name of the towers in the saved config."""
    if config.model_name or not is_folder(config.towers):
        return config.model_name or config.towers
    return os.path.relpath(Path(config.towers).resolve(), Path(config.output).resolve().parent)


def _start_from(folder: Path, head: RewardHead) -> bool:
    """Give a head the weights of that in a folder, of the same shape, and return whether towers lie there too."""
    before, towers = load_head(folder)
    wanted, found = ({"rating_levels": None} | one.config.acting() for one in (head, before))
    if changed := [
        f"{name} is {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]
    ]:
        raise InputError(f"--init_from {folder} holds a head of another shape: {', '.join(changed)}")
    head.load_state_dict(before.state_dict())
    return bool(towers)


def _flat(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a validation as a tracker takes them."""
    flat = {f"{head}/{name}": value for head in COLUMNS for name, value in found[head].items()}
    numbers = {"loss": found["loss"], **flat}
    return {f"validation/{name}": value for name, value in numbers.items() if value is not None}
