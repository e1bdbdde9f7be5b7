"""Train a CMI-RM head on preferences and ratings.

    accelerate launch reward/train.py --config C.yaml
    torchrun --nproc-per-node 2 reward/train.py --config C.yaml       (several processes on CPUs)

1. The frozen towers encode every distinct audio, text and lyrics once, into a cache on disk that runs share. A tower
   of which a part learns too (--text_encoder_tune, --lora_r, --train_muq_depth) encodes them anew in every step.
2. Bradley-Terry on both heads: the loss of a pair is the cross-entropy between the smoothed label and
   sigmoid(score of a - score of b); that of a rating is its error, after a learned map from scores to ratings
   (`reward.training.objective`). They are averaged over the rows that a head has a label for, then over heads. Ties
   are left out. In each step every row may lose its text, lyrics or reference (modality dropout).
   --init_from starts from the head of another folder, as stage 2 does from stage 1.
3. AdamW, linear warm-up, cosine decay, gradient clipping. After every `evaluate_every` steps: validation loss
   and accuracy of each head with its 95 % Wilson interval. The model of the lowest validation loss is kept,
   and training stops after `patience` validations without a better one.

OUTPUT holds the best model so far in the published format (``config.yaml``, ``model.safetensors``; head-only, or full
if its towers are no longer those that it names), so `load_scorer(OUTPUT)` works at any time; ``log.jsonl`` with a row a
step and a row a validation; ``curves.png``, drawn at the end; ``run.json``; and ``training.pt``. A killed run continues
from there: the weights are bit for bit those of a run never killed (one device type, library set, thread and process
count). Order, modality dropout and the noise of dropout depend on seed, step and row only, so another
number of processes changes sums in their last digits only, and so does --gradient_accumulation_steps.
"""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from music.command import run
from music.devices import find_device
from music.errors import InputError
from music.hashing import sha256_file
from music.processes import Processes
from music.provenance import write_run_record
from music.training_state import TrainLog, TrainState
from reward.cmi_rm.checkpoint import WEIGHTS, load_head, load_towers, save_checkpoint
from reward.cmi_rm.head import ALIGNMENT, MUSICALITY, RewardHead
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import Towers
from reward.cmi_rm.tuning import tower_weights, unfreeze
from reward.judgements import HEADS, audio_of, load_judgements, texts_of
from reward.train_curves import draw_curves
from reward.training.batches import JudgementData, drops_of_step, indices_of_step
from reward.training.config import TrainConfig
from reward.training.embeddings import EmbeddingStore, audio_keys, fill_store, text_key
from reward.training.live_frames import LiveFrames
from reward.training.objective import Objective, RatingMap
from reward.training.validation import validate

_LAST = "training.pt"


def main(config: TrainConfig) -> int:
    """Train as the config says; see the module."""
    from accelerate import Accelerator, DistributedDataParallelKwargs

    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # projectors that only old files need
    device = find_device(config.device)
    output = Path(config.output)
    _check_tracker(config.tracker)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        kwargs_handlers=[unused],
        log_with=config.tracker or None,
        project_dir=str(output / "tracker"),
    )
    processes = Processes()
    if config.batch_size < processes.world_size:
        raise InputError(
            f"--batch_size {config.batch_size} leaves some of {processes.world_size} processes without a "
            "pair: make it at least as large, or start fewer"
        )
    towers = starting_towers(config).to(accelerator.device)
    frames, train, held_out = prepare_data(config, processes, towers)
    trainer = Trainer(config, accelerator, processes, output, towers, frames)
    trainer.run(train, held_out)
    if processes.is_main:
        state = trainer.state
        facts = {"best_step": state.best_step, "last_step": state.step, "validation": state.best}
        write_run_record(output, config, towers=towers.hash, **facts)
        draw_curves([output], output / "curves.png")
        print(json.dumps({"output": str(output), **facts}))
    processes.close()
    return 0


def starting_towers(config: TrainConfig) -> Towers:
    """Load the towers of the model that training starts from, or those that the config names, all of them frozen."""
    weights = load_head(Path(config.init_from))[1] if config.init_from else {}
    return load_towers(config.towers, Locator(), weights or None, max_seconds=config.max_seconds)


def prepare_data(
    config: TrainConfig, processes: Processes, towers: Towers
) -> tuple[EmbeddingStore | LiveFrames, JudgementData, JudgementData]:
    """Read the rows, encode what the cache lacks, let parts of the towers learn, and return frames and data.

    Returns
    -------
    frames, train, held_out
        What the towers give, and the rows with it.

    Raises
    ------
    InputError
        If a row is bad, or training and validation share audio.
    """
    files = [(load_judgements(path, config.limit), weight) for path, weight in config.training_files()]
    for (path, weight), (rows, _) in zip(config.training_files(), files, strict=True):
        if round(weight * len(rows)) < 1:
            raise InputError(
                f"--train: {len(rows)} rows of {path} at a weight of {weight:g} are none in an epoch"
            )
    train = [row for rows, _ in files for row in rows]
    held_out = load_judgements(config.validation, config.limit)
    rows = [*train, *held_out]
    folder = config.embeddings or Path(config.output) / "embeddings"
    keys, texts = audio_keys(audio_of(rows), folder), texts_of(rows)
    heard = {keys[path] for row in train for path in row.audio}
    for row in held_out:
        if any(keys[path] in heard for path in row.audio):
            raise InputError(f"{config.validation}: the audio of row {row.id!r} is also in {config.train}")
    frames: EmbeddingStore | LiveFrames
    frames = store = EmbeddingStore(folder, towers.hash, config.embedding_dtype, config.in_memory)
    learning = config.tuning.kinds
    fill_store(
        store, towers, {} if "audio" in learning else keys, [] if "text" in learning else texts, processes
    )
    if learning:
        if config.mixed_precision == "bf16":
            towers.dtype_name = "bfloat16"  # what is frozen was encoded in float32
        unfreeze(towers, config.tuning, config.seed)
        sources = {text_key(text): text for text in texts} | {key: path for path, key in keys.items()}
        frames = LiveFrames(store, towers, {key: sources[key] for key in sources if key[0] in learning})
    smoothing = config.label_smoothing
    return (
        frames,
        JudgementData(train, frames, keys, smoothing, [(len(rows), weight) for rows, weight in files]),
        JudgementData(held_out, frames, keys, smoothing),
    )


class Trainer:
    """The loop and what it keeps: head, parts of the towers that learn, optimiser, state, log."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Any,
        processes: Processes,
        output: Path,
        towers: Towers,
        frames: EmbeddingStore | LiveFrames,
    ) -> None:
        self.config, self.accelerator, self.processes, self.output = config, accelerator, processes, output
        self.towers, self.frames = towers, frames
        self.tuned = [parameter for parameter in towers.parameters() if parameter.requires_grad]
        torch.manual_seed(config.seed)
        self.head = head = RewardHead(config.head(towers.dim, _model_name(config)))
        self.own_towers = bool(self.tuned)
        if config.init_from:
            self.own_towers |= _start_from(Path(config.init_from), head)
        # moved before the optimiser, whose restored state follows it
        self.objective = Objective(head, RatingMap(config.rating_map)).to(accelerator.device)
        groups = _groups(self.objective, config.weight_decay)
        if self.tuned:
            scale = config.tower_learning_rate / config.learning_rate
            for decay, chosen in ((config.weight_decay, True), (0.0, False)):
                part = [one for one in self.tuned if (one.ndim > 1) == chosen]
                groups += [{"params": part, "weight_decay": decay, "scale": scale}] if part else []
        # eps: Bradley-Terry leaves directions free (such as the last bias), which rounding shall not move
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, eps=1e-6)
        elsewhere = {"output": "", "embeddings": "", "in_memory": False, "device": "", "tracker": ""}
        files = [*(path for path, _ in config.training_files()), config.validation]
        data = {path: sha256_file(path) for path in files}
        start = sha256_file(Path(config.init_from) / WEIGHTS) if config.init_from else ""
        identity = {
            **dataclasses.asdict(config),
            **elsewhere,
            "init_from": start,
            "towers": towers.hash,
            "data": data,
        }
        self.state = TrainState(output / _LAST, identity)
        #: everything that learns
        self.learning: nn.Module = self.objective
        if self.tuned:
            self.learning = nn.ModuleList([self.objective, nn.ParameterList(self.tuned)])
        self.state.restore(self.learning, self.optimiser)
        self.model, self.optimiser = accelerator.prepare(self.objective, self.optimiser)

    def run(self, train: JudgementData, held_out: JudgementData) -> None:
        """Train until the schedule ends or patience does."""
        from tqdm import tqdm

        config, state = self.config, self.state
        if config.tracker:
            self.accelerator.init_trackers("reward", dataclasses.asdict(config))
        log = TrainLog(self.output / "log.jsonl", state.step) if self.processes.is_main else None
        bar = tqdm(total=config.steps, initial=state.step, desc="train", disable=log is None)
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
                accuracies = {name: found[name]["accuracy"] for name in ("musicality", "alignment")}
                bar.set_postfix({name: round(x, 3) for name, x in accuracies.items() if x is not None})
                self._judge(found)
                self.accelerator.log(_flat(found), state.step)
                if log is not None:
                    log.add({"step": state.step, "validation": found})
            if state.step % config.checkpoint_every == 0 or state.step == config.steps or state.stopped:
                if log is not None:
                    log.flush()
                    state.save(self.learning, self.optimiser)
                self.processes.barrier()
        bar.close()
        self.accelerator.end_training()

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
        seed = (config.seed + 1) * 1_000_003 + step
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
        return {
            "musicality": means[MUSICALITY].item(),
            "alignment": means[ALIGNMENT].item(),
            "learning_rate": rate,
        }

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
        """Return which rows of a step this process works on, in as many parts as gradients are summed over.

        Prompts of like length come together, for a part is padded to its longest.
        """
        own = self.processes.shard(range(self.config.batch_size))
        own = sorted(own, key=lambda place: data.prompt_length(indices[place]))
        size = -(-len(own) // self.config.gradient_accumulation_steps)
        return [own[start : start + size] for start in range(0, len(own), size)]

    def _judge(self, found: Mapping[str, Any]) -> None:
        """Keep the model if it is the best so far; otherwise patience may end."""
        state = self.state
        if state.best is None or found["loss"] < state.best["loss"]:
            state.best, state.best_step, state.waited = dict(found), state.step, 0
            if self.processes.is_main:
                weights = tower_weights(self.towers) if self.own_towers else None
                save_checkpoint(self.output, self.head.config, self.head, weights)
        else:
            state.waited += 1
        state.stopped = 0 < self.config.patience <= state.waited


def _check_tracker(name: str) -> None:
    from accelerate.tracking import get_available_trackers

    known = [tracker.value for tracker in get_available_trackers()]
    if name and name not in known:
        have = ", ".join(known) or "none"
        raise InputError(
            f"--tracker {name} is not installed, or accelerate does not know it; there is {have}"
        )


def _flat(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a validation, as a tracker takes them."""
    flat = {"validation/loss": found["loss"]}
    for head in HEADS:
        flat |= {
            f"validation/{head}/{name}": value for name, value in found[head].items() if value is not None
        }
    return flat


def _start_from(folder: Path, head: RewardHead) -> bool:
    """Give a head the weights of that in a folder, of the same shape, and return whether towers lie there too."""
    before, towers = load_head(folder)
    wanted, found = head.config.acting(), before.config.acting()
    if changed := [
        f"{name} is {found[name]}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]
    ]:
        raise InputError(f"--init_from {folder} holds a head of another shape: {', '.join(changed)}")
    head.load_state_dict(before.state_dict())
    return bool(towers)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of a step (from 0): linear warm-up, then a cosine to 0."""
    import math

    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


def _groups(objective: Objective, decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, but not gains, biases, null embeddings and the map to ratings."""
    named = list(objective.scores.head.named_parameters())
    matrices = [value for name, value in named if value.ndim > 1 and not name.startswith("null_")]
    others = [value for name, value in named if value.ndim <= 1 or name.startswith("null_")]
    others += objective.ratings.parameters()
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _model_name(config: TrainConfig) -> str:
    """Return how the saved config names the towers."""
    if config.model_name or not Path(config.towers).is_dir():
        return config.model_name or config.towers
    return os.path.relpath(Path(config.towers).resolve(), Path(config.output).resolve().parent)


if __name__ == "__main__":
    run(main, TrainConfig)
