"""Stable Audio learns from judged candidates of a pool: a low-rank update of its transformer, trained with Accelerate.

Latents come from the pool, as they were sampled; nothing is encoded again. In each step every clip of a batch gets a
noise level and noise, which hang on seed, step and place alone, so that neither a kill nor another number of processes
changes what is learned; the two clips of a pair share them. `rlhf.stable_audio.losses` says what is asked of the
transformer.

What imitates does so with guidance, as it samples: without, it would learn what guidance had added to its clips, its
next clips would be guided twice, and so on. The other losses ask how clips differ that were all guided alike; they are
computed without guidance, as is usual, at half the cost, and one clip in ten is shown without its text, so that
guidance keeps something to lead away from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from generators.stable_audio.diffusers.conditioning import StableAudioConditioner
from generators.stable_audio.diffusers.loading import StableAudioParts
from generators.stable_audio.velocity_target import draw_sigmas, noisy_and_target, times_of
from music.errors import InputError
from music.processes import Processes
from music.training_state import TrainLog, TrainState
from rlhf.choosing import turns_of
from rlhf.options import LOG, Optimisation
from rlhf.stable_audio.losses import error, forward_process, preference

_STATE = "training.pt"
_HIDDEN = 0.1  # share of clips whose text is not shown where velocities are not guided
_TARGETS = r"transformer_blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.(0\.proj|2))"


@dataclass(frozen=True, eq=False)
class Example:
    """What is learned from at a time.

    Attributes
    ----------
    text
        What the clip was made for.
    latents
        Of the clip, `[channels, frames]`.
    loser
        Of a worse one; None outside of preferences.
    good
        r of `rlhf.stable_audio.losses.forward_process`.
    """

    text: str
    latents: torch.Tensor
    loser: torch.Tensor | None = None
    good: float = 1.0


@dataclass(frozen=True, eq=False)
class Noised:
    """Clips of a step with noise.

    Attributes
    ----------
    noisy, target
        What the transformer is shown and shall say, `[B, channels, frames]`.
    sigmas
        Noise levels, `[B]`.
    attended, prepended
        What it is conditioned on; see `generators.stable_audio.diffusers.conditioning.Conditions`.
    """

    noisy: torch.Tensor
    target: torch.Tensor
    sigmas: torch.Tensor
    attended: torch.Tensor
    prepended: torch.Tensor


class VelocityModel(nn.Module):
    """A transformer with an update that can be switched off.

    Parameters
    ----------
    transformer
        A `StableAudioDiTModel`.
    rank
        Of the update.
    seed
        Of its first values.
    guidance
        Scale with which velocities are guided away from those without a text; 1 is without.
    """

    def __init__(self, transformer: Any, rank: int, seed: int, guidance: float = 1.0) -> None:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed
        from peft import LoraConfig, get_peft_model

        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS)
            self.transformer: Any = get_peft_model(transformer, config)
        own = transformer.config
        self._rotary = get_1d_rotary_pos_embed(
            own.attention_head_dim // 2, own.sample_size + 1, use_real=True, repeat_interleave_real=False
        )
        self._guidance = guidance

    def forward(self, clips: Noised) -> torch.Tensor:
        """Return the velocities of clips, `[B, channels, frames]`."""
        attended, rows = clips.attended, [clips]
        if self._guidance != 1:
            attended, rows = torch.cat([torch.zeros_like(attended), attended]), [clips, clips]
        found = self.transformer(
            torch.cat([row.noisy for row in rows]),
            times_of(torch.cat([row.sigmas for row in rows])),
            encoder_hidden_states=attended,
            global_hidden_states=torch.cat([row.prepended for row in rows]),
            rotary_embedding=tuple(part.to(clips.noisy.device) for part in self._rotary),
            return_dict=False,
        )[0]
        if self._guidance == 1:
            return found
        away, towards = found.chunk(2)
        return torch.lerp(away, towards, self._guidance)

    @torch.no_grad()
    def before(self, clips: Noised) -> torch.Tensor:
        """Return the velocities of the transformer without its update."""
        with self.transformer.disable_adapter():
            return self(clips)

    def update(self) -> dict[str, torch.Tensor]:
        """Return what learns, by name."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}


@dataclass(frozen=True)
class Objective:
    """What is asked of the transformer; see `rlhf.stable_audio.losses`.

    Attributes
    ----------
    algorithm
        expert_iteration, dpo or nft.
    loss, beta, winner
        As in `rlhf.options.PostTraining`.
    guidance
        Scale with which clips are sampled.
    """

    algorithm: str
    loss: str
    beta: float
    winner: float
    guidance: float

    @property
    def own_guidance(self) -> float:
        """Scale with which velocities are guided as they learn."""
        return self.guidance if self.algorithm == "expert_iteration" else 1.0

    def __call__(
        self, model: Callable[[Noised], torch.Tensor], before: Callable[[Noised], torch.Tensor], step: Step
    ) -> dict[str, torch.Tensor]:
        """Return the loss of each example of a step, and what else is worth a look, each `[B]`."""
        clips = step.clips
        predicted, old = model(clips), before(clips)
        moved = error(predicted, old).detach()
        own = error(predicted, clips.target)
        if self.algorithm == "nft":
            loss = forward_process(predicted, old, clips.target, step.good, self.beta)
            return {"loss": loss, "error": own.detach(), "moved": moved}
        if self.algorithm == "expert_iteration":
            return {"loss": own, "moved": moved}
        (winner, loser), (winner_old, loser_old) = own.chunk(2), error(old, clips.target).chunk(2)
        loss = preference(winner, loser, winner_old, loser_old, self.loss, self.beta, self.winner)
        margin = ((loser - loser_old) - (winner - winner_old)).detach()
        return {
            "loss": loss,
            "winner": (winner - winner_old).detach(),
            "margin": margin,
            "right": (margin > 0).float(),
            "moved": moved.chunk(2)[0],
        }


@dataclass(frozen=True, eq=False)
class Step:
    """A step's share of a process: clips (winners, then losers, of preferences) and how good they are."""

    clips: Noised
    good: torch.Tensor


class Batches:
    """The examples of each step, with their noise.

    Parameters
    ----------
    examples
        All.
    parts
        Of the pipeline, for texts and noise levels.
    seconds
        Length of the clips.
    how
        Of the optimiser.
    hidden
        Share of clips whose text is not shown.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        parts: StableAudioParts,
        seconds: float,
        how: Optimisation,
        hidden: float = 0.0,
    ) -> None:
        self._examples, self._how, self._hidden = examples, how, hidden
        self._turns = turns_of(range(len(examples)), how.steps * how.batch_size, how.seed)
        self._conditioner = StableAudioConditioner(
            parts.tokenizer, parts.text_encoder, parts.projection_model
        )
        self._seconds, self._device = seconds, parts.transformer.device
        config = parts.scheduler.config
        self._levels = (config.sigma_min, config.sigma_max)

    def of(self, step: int, places: Sequence[int]) -> Step:
        """Return some places of a step's batch."""
        how = self._how
        chosen = [self._examples[self._turns[step * how.batch_size + place]] for place in places]
        drawn = draw_sigmas(np.random.default_rng([how.seed, step]), how.batch_size, *self._levels)[
            list(places)
        ]
        streams = [np.random.default_rng([how.seed, step, place]) for place in places]
        hidden = torch.tensor([stream.random() < self._hidden for stream in streams])
        noise = torch.stack(
            [
                torch.from_numpy(stream.standard_normal(tuple(one.latents.shape), dtype=np.float32))
                for stream, one in zip(streams, chosen, strict=True)
            ]
        )
        found = self._conditioner.batch([one.text for one in chosen], self._seconds, "", guided=False)
        attended = found.attended.clone() * ~hidden[:, None, None].to(self._device)
        prepended = found.prepended.clone()
        clean = torch.stack([one.latents.float() for one in chosen])
        losers = [one.loser.float() for one in chosen if one.loser is not None]
        if losers:
            clean, noise, drawn = (
                torch.cat([clean, torch.stack(losers)]),
                noise.repeat(2, 1, 1),
                drawn.repeat(2),
            )
            attended, prepended = attended.repeat(2, 1, 1), prepended.repeat(2, 1, 1)
        noisy, target = noisy_and_target(clean, noise, drawn)
        good = torch.tensor([one.good for one in chosen], device=self._device)
        noisy, target, drawn = (part.to(self._device) for part in (noisy, target, drawn))
        return Step(Noised(noisy, target, drawn, attended, prepended), good)


def learn(
    parts: StableAudioParts,
    examples: Sequence[Example],
    seconds: float,
    how: Optimisation,
    objective: Objective,
    folder: Path,
    processes: Processes,
) -> Any:
    """Train an update of a transformer and return the transformer with it in its weights.

    Parameters
    ----------
    parts
        Of the pipeline; the transformer is changed.
    examples
        What it learns from.
    seconds
        Length of the clips.
    how, objective
        Of the optimiser, and what is asked.
    folder
        For the state of the training and its log.
    processes
        Who shares the work.

    Raises
    ------
    InputError
        If the batch does not divide, or the loss is not finite.
    """
    from accelerate import Accelerator
    from tqdm import tqdm

    if how.batch_size % (how.micro_batch_size * processes.world_size):
        raise InputError(
            f"--batch_size {how.batch_size} must be a multiple of --micro_batch_size {how.micro_batch_size} "
            f"times the {processes.world_size} processes"
        )
    device = parts.transformer.device
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if how.bfloat16 else "no")
    guidance = objective.own_guidance
    model = VelocityModel(parts.transformer, how.lora_r, how.seed, guidance).to(device)
    if how.gradient_checkpointing:
        parts.transformer.enable_gradient_checkpointing()
    update = nn.ParameterDict({name.replace(".", "/"): weight for name, weight in model.update().items()})
    optimiser = torch.optim.AdamW(update.parameters(), lr=how.learning_rate, weight_decay=0.0)
    identity = {**asdict(how), **asdict(objective), "examples": len(examples), "save_every": 0}
    state = TrainState(folder / _STATE, identity)
    state.restore(update, optimiser)
    prepared = accelerator.prepare(model)
    batches = Batches(examples, parts, seconds, how, hidden=_HIDDEN if guidance == 1 else 0.0)
    log = TrainLog(folder / LOG, state.step)
    places = processes.shard(range(how.batch_size))
    chunks = [
        places[start : start + how.micro_batch_size] for start in range(0, len(places), how.micro_batch_size)
    ]
    bar = tqdm(total=how.steps, initial=state.step, desc=objective.algorithm, disable=not processes.is_main)
    while state.step < how.steps:
        for group in optimiser.param_groups:
            group["lr"] = how.learning_rate * min(1.0, (state.step + 1) / max(1, how.steps // 10))
        sums: dict[str, torch.Tensor] = {}
        for number, chunk in enumerate(chunks, start=1):
            with accelerator.no_sync(prepared) if number < len(chunks) else nullcontext():
                with accelerator.autocast():
                    found = objective(prepared, model.before, batches.of(state.step, chunk))
                # processes' gradients are averaged, and shall be summed
                accelerator.backward(found["loss"].sum() / how.batch_size * processes.world_size)
            for name, values in found.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + values.detach().sum()
        norm = torch.nn.utils.clip_grad_norm_(update.parameters(), 1.0)
        means = {
            name: float(accelerator.reduce(total, "sum")) / how.batch_size for name, total in sums.items()
        }
        if not np.isfinite(means["loss"]):
            raise InputError(f"the loss is not finite at step {state.step + 1}: lower --learning_rate")
        optimiser.step()
        optimiser.zero_grad()
        state.step += 1
        bar.update()
        log.add({"step": state.step, **means, "grad_norm": float(norm)})
        if state.step % how.save_every == 0 or state.step == how.steps:
            if processes.is_main:
                log.flush()
                state.save(update, optimiser)
            processes.barrier()
    bar.close()
    return model.transformer.merge_and_unload()
