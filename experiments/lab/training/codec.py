"""Fits the lab's spectral codec: residual k-means over log-mel frames of training songs; a minute on two cores."""

from pathlib import Path

import numpy as np
import torch

from experiments.lab.world.corpus import song
from generators.musicgen.spectral_codec import SpectralCodecConfig, SpectralCodecModel
from music.durable import finished_folder
from music.errors import InputError
from music.progress import progress, without_bars_of_transformers

SONGS = 1_600
FRAMES = 80_000


def k_means(points: torch.Tensor, clusters: int, iterations: int, generator: torch.Generator) -> torch.Tensor:
    """Return centres [clusters, D] of points [N, D] (Lloyd 1982); an empty cluster restarts at a random point."""
    centres = points[torch.randperm(len(points), generator=generator)[:clusters]].clone()
    for _ in range(iterations):
        nearest = torch.cat(
            [(part @ centres.T - 0.5 * centres.square().sum(1)).argmax(1) for part in points.split(8192)]
        )
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=clusters)[:, None]
        restart = points[torch.randint(len(points), (clusters,), generator=generator)]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), restart)
    return centres


def train_codec(
    output: Path, songs: int = SONGS, config: SpectralCodecConfig | None = None
) -> SpectralCodecModel:
    """Fit the codec on training songs, half of them damaged, and save it in half precision."""
    codec = SpectralCodecModel(config or SpectralCodecConfig())
    generator = torch.Generator().manual_seed(0)
    batches = []
    for index in progress(range(songs), desc="codec: songs"):
        wave = song("train", "codec", index, damaged=0.5).waveform()
        batches.append(codec.frames(torch.from_numpy(np.asarray(wave))[None])[0])
    points = torch.cat(batches)
    points = points[torch.randperm(len(points), generator=generator)[:FRAMES]]
    codec.mean.data = points.mean(0)
    residual = points - codec.mean
    for stage in progress(range(codec.config.num_codebooks), desc="codec: codebooks"):
        book = k_means(residual, codec.config.codebook_size, 20, generator)
        codec.codebooks.data[stage] = book
        nearest = (residual @ book.T - 0.5 * book.square().sum(1)).argmax(1)
        residual = residual - book[nearest]
    with finished_folder(output) as folder, without_bars_of_transformers():
        codec.half().save_pretrained(folder)
    return codec.float()


def load_codec(folder: Path) -> SpectralCodecModel:
    """Load the fitted codec in single precision.

    Raises
    ------
    InputError
        If it has not been fitted yet.
    """
    if not (folder / "config.json").exists():
        raise InputError(f"no codec in {folder}: fit it first with `python -m experiments.lab.train codec`")
    with without_bars_of_transformers():
        return SpectralCodecModel.from_pretrained(folder, dtype=torch.float32).eval()
