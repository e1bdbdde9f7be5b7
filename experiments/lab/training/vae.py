"""Trains the autoencoder of the lab's Stable Audio, an `AutoencoderOobleck`, on the songs of the lab's generators.

It starts as a lapped cosine transform (`vae_start.py`) that keeps what lies below about 1,000 Hz, and learns the rest
from crops of the songs that MusicGen learns too. Its losses are two distances of short-time spectra at three
resolutions, the error of the waveform itself, which keeps pitches exact, and a small divergence of the latents from
N(0, 1). There is no discriminator: it would double the work of a step.

The residual units next to the audio stay idle, which saves most of the arithmetic: a crop of a second costs about
3 GFLOP forwards and backwards instead of 30.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.musicgen import RECIPE, SECONDS, SONGS, training_song
from experiments.lab.training.vae_start import (
    VaeShape,
    build_vae,
    encoded,
    normalise_latents,
    put_back_units,
    set_aside_idle_units,
)
from generators.diffusion.pipeline_folder import LIBRARIES
from music.durable import claim_work, finished_folder
from music.errors import InputError
from music.library_repairs import repair_torchaudio

RESOLUTIONS = (2048, 512, 128)  # samples of a window; the hop is a quarter
FLOOR = 1e-3  # amplitude below which nothing is heard: 60 dB under full scale


def spectral_distances(found: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean distance of log magnitudes, in nats, and the relative distance of magnitudes.

    These are the two distances of Yamamoto et al. (2020), averaged over `RESOLUTIONS`: faint overtones count in the
    first, loud notes in the second.

    Parameters
    ----------
    found, truth
        Waveforms, [B, samples].
    """
    logs, magnitudes = [], []
    for size in RESOLUTIONS:
        a, b = _magnitudes(found, size), _magnitudes(truth, size)
        logs.append(((a + FLOOR).log() - (b + FLOOR).log()).abs().mean())
        magnitudes.append((a - b).square().sum().sqrt() / (b.square().sum().sqrt() + FLOOR))
    return torch.stack(logs).mean(), torch.stack(magnitudes).mean()


def _magnitudes(wave: torch.Tensor, size: int) -> torch.Tensor:
    """Return magnitudes [B, bins, frames], a sine of amplitude 1 being 1."""
    window = torch.hann_window(size)
    spectrum = torch.stft(wave, size, size // 4, window=window / (0.5 * window.sum()), return_complex=True)
    # the square root has no slope at 0
    return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()


SHAPE = VaeShape()
CROP = 64  # latent frames of a training item, 1.28 s
START_SONGS = 200  # songs whose principal components it starts from, and whose latents are N(0, 1) in the end
HELD_OUT = 16  # songs of a validation
WAVEFORM, DIVERGENCE = 0.5, 1e-3  # weights of these losses beside the two spectral ones
SCHEDULE = Schedule(steps=4_000, batch_size=8, learning_rate=1e-3, check_every=250)


def songs_audio(split: str, indices: list[int], shape: VaeShape) -> torch.Tensor:
    """Return songs of the generators' corpus, [N, samples], cut to whole latent frames."""
    waves = torch.from_numpy(np.stack([training_song(split, index).waveform() for index in indices]))
    return waves[:, : waves.shape[1] // shape.hop * shape.hop]


def losses_on(vae: Any, audio: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the four losses of waveforms [B, samples], unweighted.

    `log_spectrum` is in nats; `spectrum` and `waveform` are relative errors; `divergence` is that of a latent number
    from N(0, 1), in nats.
    """
    latents = vae.encode(audio[:, None]).latent_dist
    found = vae.decode(latents.sample()).sample[:, 0]
    log_spectrum, spectrum = spectral_distances(found, audio)
    waveform = (found - audio).square().sum().sqrt() / (audio.square().sum().sqrt() + FLOOR)
    divergence = 0.5 * (latents.mean.square() + latents.var - latents.logvar - 1).mean()
    spectra = {"log_spectrum": log_spectrum, "spectrum": spectrum}
    return {**spectra, "waveform": waveform, "divergence": divergence}


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the weighted sum that is minimised."""
    spectra = losses["log_spectrum"] + losses["spectrum"]
    return spectra + WAVEFORM * losses["waveform"] + DIVERGENCE * losses["divergence"]


def train_vae(output: Path, work: Path, shape: VaeShape = SHAPE, schedule: Schedule = SCHEDULE) -> None:
    """Train, bring the latents to N(0, 1) channel by channel, and save to `output` in half precision."""
    LIBRARIES.check()
    claim_work(
        work,
        shape=asdict(shape),
        schedule=asdict(schedule),
        songs={
            **SONGS,
            **RECIPE,
            "seconds": SECONDS,
            "start": START_SONGS,
            "crop": CROP,
            "held_out": HELD_OUT,
        },
        losses={"waveform": WAVEFORM, "divergence": DIVERGENCE, "resolutions": RESOLUTIONS, "floor": FLOOR},
    )
    torch.manual_seed(schedule.seed)
    start = songs_audio("train", list(range(min(START_SONGS, SONGS["train"]))), shape)
    held_out = songs_audio("validation", list(range(min(HELD_OUT, SONGS["validation"]))), shape)
    vae = build_vae(shape, start)
    idle = set_aside_idle_units(vae)
    crop = min(CROP * shape.hop, start.shape[1])

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        songs = songs_audio("train", rng.integers(SONGS["train"], size=batch_size).tolist(), shape)
        starts = rng.integers(songs.shape[1] - crop + 1, size=batch_size)
        crops = [wave[start : start + crop] for wave, start in zip(songs, starts, strict=True)]
        return total(losses_on(vae, torch.stack(crops)))

    def validate() -> dict[str, float]:
        torch.manual_seed(schedule.seed)  # for the noise of the latents; each step seeds anew
        found = [losses_on(vae, part) for part in held_out.split(4)]
        numbers = {name: float(np.mean([losses[name].item() for losses in found])) for name in found[0]}
        latents = encoded(vae, held_out)
        numbers["latent_mean"] = latents.mean((0, 2)).abs().max().item()
        numbers["latent_deviation"] = latents.std((0, 2)).mean().item()
        return {**numbers, "signal_to_noise_db": -20 * float(np.log10(numbers["waveform"]))}

    train("vae", vae, schedule, loss_of_step, validate, work)
    normalise_latents(vae, encoded(vae, start))
    put_back_units(vae, idle)
    with finished_folder(output) as folder:
        vae.half().save_pretrained(folder)


def load_vae(folder: Path) -> Any:
    """Load the trained autoencoder in single precision, for evaluation.

    Raises
    ------
    InputError
        If it has not been trained yet.
    """
    if not (folder / "config.json").exists():
        raise InputError(
            f"no autoencoder in {folder}: train it first with `python -m experiments.lab.train vae`"
        )
    repair_torchaudio()
    from diffusers import AutoencoderOobleck

    return AutoencoderOobleck.from_pretrained(folder, torch_dtype=torch.float32).eval().requires_grad_(False)
