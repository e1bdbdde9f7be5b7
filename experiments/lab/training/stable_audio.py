"""Trains the lab's Stable Audio: a small `StableAudioDiTModel` over the lab's autoencoder, with a small T5.

It learns the songs that MusicGen learns (`musicgen.training_song`), as latents. The T5 first learns to read captions
(`text_pretraining.py`), then it, the `StableAudioProjectionModel` and the transformer are trained together: noise of a
random level is added to latents, and the transformer learns to tell it from the song
(`generators.stable_audio.velocity_target`).

- **Guidance** is learned by hiding one caption in ten, as the sampler does for the branch that it leads away from: text
  and seconds are zeros where the transformer attends to them, and the seconds at the position before the first frame
  stay.
- **Seconds**: the model makes its full length, of which a clip is the beginning. A quarter of the songs end early;
  latents of silence follow, and the seconds say when.

The result is a folder of diffusers' `StableAudioPipeline`.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.dit_start import DitShape, build_dit
from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.musicgen import (
    CAPTIONS,
    HIDDEN_CAPTIONS,
    RECIPE,
    SECONDS,
    SONGS,
    captions_of_songs,
    training_song,
)
from experiments.lab.training.text_pretraining import SCHEDULE as READING
from experiments.lab.training.text_pretraining import pretrain_text, small_t5
from experiments.lab.training.vae import load_vae
from experiments.lab.training.vae_start import encoded, put_back_units, set_aside_idle_units, thin_encoder
from experiments.lab.world.vocabulary import t5_tokenizer
from generators.diffusion.pipeline_folder import LIBRARIES
from generators.stable_audio.diffusers.conditioning import Conditions
from generators.stable_audio.velocity_target import (
    CENTRE,
    EVENLY,
    SPREAD,
    draw_sigmas,
    noisy_and_target,
    times_of,
)
from music.durable import claim_work, finished_folder
from music.progress import without_bars_of_transformers
from reward.cmi_rm.weights import hash_tensors

SHAPE = DitShape()
TEXT_WIDTH = 128  # of `small_t5`
ENDS_EARLY, SHORTEST = 0.25, 1.0  # share of songs, and seconds
GROUPS = {"fine": (0.3, 1.0), "middle": (1.0, 5.0), "coarse": (5.0, 500.0)}  # noise levels of a validation
HELD_OUT = 96  # songs of a validation
MAX_TEXT = 96  # tokens
#: each goes on from the weights of the one before, with a learning rate that rises anew (Loshchilov & Hutter 2017)
ROUNDS = (
    Schedule(steps=3_500, batch_size=16, learning_rate=1e-3, check_every=250),
    Schedule(steps=2_600, batch_size=16, learning_rate=1e-3, check_every=200, seed=1),
)


class StableAudioParts(nn.Module):
    """What is trained together.

    Parameters
    ----------
    transformer
        A `StableAudioDiTModel`.
    vocabulary
        Number of tokens of the T5.
    """

    def __init__(self, transformer: Any, vocabulary: int):
        super().__init__()
        from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
        from transformers import T5EncoderModel

        self.text_encoder: Any = T5EncoderModel(small_t5(vocabulary))
        # as wide as the text, so the text passes unchanged
        self.projection: Any = StableAudioProjectionModel(
            text_encoder_dim=TEXT_WIDTH, conditioning_dim=TEXT_WIDTH, min_value=0, max_value=round(SECONDS)
        )
        self.transformer: Any = transformer

    def conditions(
        self, ids: torch.Tensor, mask: torch.Tensor, seconds: torch.Tensor, hidden: torch.Tensor
    ) -> Conditions:
        """Return what the transformer is conditioned on.

        Parameters
        ----------
        ids, mask
            Text tokens and their mask, [B, L] of at most `MAX_TEXT`, to which it is padded with zeros.
        seconds
            Moments at which the songs end, s, [B].
        hidden
            Captions that the model does not see, boolean [B].
        """
        states = self.text_encoder(input_ids=ids, attention_mask=mask)[0]
        found = self.projection(
            text_hidden_states=states, start_seconds=torch.zeros_like(seconds), end_seconds=seconds
        )
        text = functional.pad(found.text_hidden_states * mask[..., None], (0, 0, 0, MAX_TEXT - ids.shape[1]))
        moments = (found.seconds_start_hidden_states, found.seconds_end_hidden_states)
        attended = torch.cat([text, *moments], dim=1) * ~hidden[:, None, None]
        return Conditions(attended, torch.cat(moments, dim=2))

    def predict(self, noisy: torch.Tensor, sigmas: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        """Return the transformer's prediction about noisy latents [B, channels, frames] at noise levels [B]."""
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        rotary = get_1d_rotary_pos_embed(
            self.transformer.config.attention_head_dim // 2,
            noisy.shape[2] + 1,
            use_real=True,
            repeat_interleave_real=False,
        )
        return self.transformer(
            noisy,
            times_of(sigmas),
            encoder_hidden_states=conditions.attended,
            global_hidden_states=conditions.prepended,
            rotary_embedding=rotary,
            return_dict=False,
        )[0]


def latents_of_songs(vae: Any, split: str, work: Path) -> torch.Tensor:
    """Return latents float16 [songs, channels, frames] of a split, from `work` if they were made before."""
    encoder = thin_encoder(vae)

    @torch.no_grad()
    def latents(index: int) -> np.ndarray:
        wave = torch.from_numpy(training_song(split, index).waveform())
        return encoder(wave[None, None])[0].chunk(2)[0].half().numpy()

    return torch.from_numpy(cached_rows(latents, SONGS[split], work, f"latents_{split}"))


def _tokenizer(folder: Path) -> Any:
    """Return the tokenizer in `folder`, trained at the first call: a second training may number words differently."""
    from transformers import PreTrainedTokenizerFast

    if not folder.exists():
        tokenizer = t5_tokenizer()
        tokenizer.model_max_length = MAX_TEXT
        with finished_folder(folder) as part:
            tokenizer.save_pretrained(part)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def end_early(latents: torch.Tensor, silence: torch.Tensor, seconds: torch.Tensor) -> torch.Tensor:
    """Return latents [B, channels, frames] that turn into silence [channels, frames] after some seconds [B]."""
    frames = torch.arange(latents.shape[2])
    over = frames >= seconds[:, None] / SECONDS * latents.shape[2]
    return torch.where(over[:, None], silence, latents)


def train_stable_audio(
    output: Path,
    work: Path,
    vae_folder: Path,
    shape: DitShape = SHAPE,
    rounds: Sequence[Schedule] = ROUNDS,
    reading: Schedule = READING,
) -> None:
    """Train over the autoencoder in `vae_folder`, then save the pipeline to `output` in half precision."""
    LIBRARIES.check()
    vae = load_vae(vae_folder)
    claim_work(
        work,
        vae=hash_tensors(vae.state_dict()),
        songs={**SONGS, **RECIPE, "seconds": SECONDS, "ends_early": ENDS_EARLY, "shortest": SHORTEST},
        captions={"phrasings": CAPTIONS, "longest": MAX_TEXT, "hidden": HIDDEN_CAPTIONS},
        levels={"centre": CENTRE, "spread": SPREAD, "evenly": EVENLY},
        shape=asdict(shape),
        text=asdict(reading),
    )
    idle = set_aside_idle_units(vae)
    from diffusers import CosineDPMSolverMultistepScheduler

    scheduler: Any = CosineDPMSolverMultistepScheduler()
    lowest, highest = scheduler.config.sigma_min, scheduler.config.sigma_max
    tokenizer = _tokenizer(work / "tokenizer")
    latents = {split: latents_of_songs(vae, split, work) for split in SONGS}
    captions = {split: captions_of_songs(tokenizer, split, MAX_TEXT) for split in SONGS}
    channels, frames = latents["train"].shape[1:]
    silence = encoded(vae, torch.zeros(1, frames * vae.hop_length))[0]

    torch.manual_seed(rounds[0].seed)
    transformer = build_dit(shape, channels, frames, TEXT_WIDTH)
    model = StableAudioParts(transformer, len(tokenizer))
    pretrain_text(
        model.text_encoder, TEXT_WIDTH, captions["train"], captions["validation"], work / "text", reading
    )

    def losses(
        split: str, songs: torch.Tensor, said: torch.Tensor, rng: np.random.Generator, sigmas: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean squared error of each song, [B]; captions are hidden in training alone."""
        count = len(songs)
        early = rng.random(count) < ENDS_EARLY
        seconds = np.where(early, rng.uniform(SHORTEST, SECONDS, count), SECONDS)
        ends = torch.from_numpy(seconds).float()
        clean = end_early(latents[split][songs].float(), silence, ends)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        hidden = torch.from_numpy(rng.random(count) < (HIDDEN_CAPTIONS if split == "train" else 0))
        ids, mask = captions[split].ids[said], captions[split].mask[said]
        longest = int(mask.sum(1).max())
        conditions = model.conditions(ids[:, :longest], mask[:, :longest], ends, hidden)
        noisy, target = noisy_and_target(clean, noise, sigmas)
        return (model.predict(noisy, sigmas, conditions) - target).square().mean((1, 2))

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        songs = torch.from_numpy(rng.integers(len(latents["train"]), size=batch_size))
        said = songs * CAPTIONS + torch.from_numpy(rng.integers(CAPTIONS, size=batch_size))
        return losses("train", songs, said, rng, draw_sigmas(rng, batch_size, lowest, highest)).mean()

    def validate() -> dict[str, float]:
        songs = torch.arange(min(HELD_OUT, len(latents["validation"])))
        numbers = {}
        for name, (low, high) in GROUPS.items():
            levels = np.exp(np.random.default_rng(0).uniform(np.log(low), np.log(high), len(songs)))
            sigmas = torch.from_numpy(levels).float()
            # the captions of other songs: what is lost without the right ones is what is read from them
            for said, suffix in ((songs, ""), (songs.roll(1), "_wrong_words")):
                rng = np.random.default_rng(1)
                found = [
                    losses("validation", part, words * CAPTIONS, rng, level)
                    for part, words, level in zip(
                        songs.split(25), said.split(25), sigmas.split(25), strict=True
                    )
                ]
                numbers[name + suffix] = torch.cat(found).mean().item()
        return numbers

    for number, schedule in enumerate(rounds, start=1):
        place = work / f"round_{number}"
        claim_work(place, schedules=[asdict(one) for one in rounds[:number]])
        train(f"stable_audio, round {number}", model, schedule, loss_of_step, validate, place)
    put_back_units(vae, idle)
    save_pipeline(output, model, vae, tokenizer, scheduler)


def save_pipeline(output: Path, model: StableAudioParts, vae: Any, tokenizer: Any, scheduler: Any) -> None:
    """Save all parts in half precision as a folder of diffusers' `StableAudioPipeline`."""
    from diffusers import StableAudioPipeline

    pipeline: Any = StableAudioPipeline(
        vae=vae.half(),
        text_encoder=model.text_encoder.half(),
        projection_model=model.projection.half(),
        tokenizer=tokenizer,
        transformer=model.transformer.half(),
        scheduler=scheduler,
    )
    vae.register_to_config(_name_or_path="")  # where it lay on this machine
    with finished_folder(output) as folder, without_bars_of_transformers():
        pipeline.save_pretrained(folder)
