"""How many different things a generator makes, and how far they are from real ones.

A reward can rise because a generator always makes the same thing. Both are measured by embeddings of clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from music.clips import read_clip
from music.command import split_names
from music.durable import write_bytes
from music.errors import InputError
from music.hashing import sha256_file, sha256_text
from music.intervals import Array
from music.paths import files_in
from music.processes import Processes
from reward import load_scorer
from reward.baselines.similarity import JointEmbedding, Similarity
from reward.plug_ins import unwrapped


def load_encoders(names: str, device: str, dtype: str) -> list[JointEmbedding]:
    """Return what stands behind similarities such as ``mulan:lab-mulan,clap``, each with a name of its own.

    Raises
    ------
    InputError
        If one is no similarity, or two have the same name.
    """
    found: list[JointEmbedding] = []
    for name in split_names(names):
        scorer = unwrapped(load_scorer(name, device, dtype))
        if not isinstance(scorer, Similarity):
            raise InputError(f"--encoders needs joint embeddings such as mulan:lab-mulan or clap, got {name}")
        if scorer.embedding.name in [one.name for one in found]:
            raise InputError(f"--encoders {names}: two are called {scorer.embedding.name}")
        found.append(scorer.embedding)
    return found


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files below a folder, by name; `InputError` for fewer than two."""
    known = {f".{kind.lower()}" for kind in soundfile.available_formats()} - {".raw"}
    found = [path for path in files_in(folder, "**/*") if path.suffix.lower() in known]
    if len(found) < 2:
        raise InputError(f"--real {folder} holds {len(found)} audio files: a distance needs at least 2")
    return found


class ClipEmbeddings:
    """Embeddings of audio files by one encoder, kept on disk, a file a clip.

    A file is named after the bytes of the audio and what embeds how much of it, so that it is never another clip's, and
    no clip is embedded twice, whichever pool it comes from.

    Parameters
    ----------
    folder
        Folder that they are kept in.
    encoder
        What embeds.
    seconds
        Length of the beginning of a file that is heard, s.
    """

    def __init__(self, folder: Path, encoder: JointEmbedding, seconds: float) -> None:
        self._encoder, self._seconds = encoder, min(seconds, encoder.max_seconds)
        self._folder = folder / sha256_text(f"{encoder.hash} {self._seconds}")[:16]

    @torch.no_grad()
    def embed(self, paths: Sequence[Path], processes: Processes) -> Array:
        """Return the embeddings `[n, D]` of files; the processes share what is missing.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        places = [self._folder / f"{sha256_file(path)}.float64" for path in paths]
        missing = {place: path for place, path in zip(places, paths, strict=True) if not place.exists()}
        processes.barrier()  # all have looked before anybody writes
        for place, path in processes.shard(list(missing.items())):
            embedded = self._encoder.embed_audio(read_clip(path, self._seconds))
            write_bytes(place, embedded.double().cpu().numpy().tobytes(), processes.rank)
        processes.barrier()
        return np.stack([np.frombuffer(place.read_bytes()) for place in places])


def vendi_score(embeddings: Array) -> float:
    """Return the Vendi score (arXiv 2210.02410): how many entirely different clips would be as diverse as these.

    It is exp(-sum_i l_i log l_i) over the eigenvalues l of K / n, with K the cosines of all pairs.

    Parameters
    ----------
    embeddings
        `[n, D]`, of any length but 0.

    Returns
    -------
    float
        Score from 1, all the same, to n.
    """
    unit = _unit(embeddings)
    # the eigenvalues of K / n that are not 0 are those of the smaller of unit unit' and unit' unit
    gram = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    values = np.linalg.eigvalsh(gram / len(unit)).clip(min=0.0)
    values = values[values > 0] / values.sum()
    return float(np.exp(-(values * np.log(values)).sum()))


def distance_within(embeddings: Sequence[Array]) -> list[float]:
    """Return the mean cosine distance between two clips of each prompt.

    Parameters
    ----------
    embeddings
        `[n, D]` of each prompt, n at least 2.
    """
    found = []
    for rows in embeddings:
        unit = _unit(rows)
        cosines = unit @ unit.T
        count = len(unit)
        found.append(float(1 - (cosines.sum() - np.trace(cosines)) / (count * (count - 1))))
    return found


def kernel_audio_distance(made: Array, real: Array) -> float:
    """Return the kernel audio distance (KAD, arXiv 2502.15602): 1,000 times the unbiased squared MMD.

    The kernel is Gaussian, as wide as the median distance between two real clips. About 0 where both are of one
    distribution, and below it by chance.

    Parameters
    ----------
    made, real
        Embeddings `[n, D]` and `[m, D]`, at least two each.
    """
    width = np.median(np.sqrt(_squares(real, real)[np.triu_indices(len(real), 1)]))

    def kernel(one: Array, other: Array) -> Array:
        return np.exp(-_squares(one, other) / (2 * width**2))

    def mean_of_others(of: Array) -> float:
        return float((of.sum() - np.trace(of)) / (len(of) * (len(of) - 1)))

    within = mean_of_others(kernel(made, made)) + mean_of_others(kernel(real, real))
    return 1_000 * (within - 2 * float(kernel(made, real).mean()))


def _squares(one: Array, other: Array) -> Array:
    """Return the squared distance of each row of one to each of the other."""
    found = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return found.clip(min=0.0)


def _unit(embeddings: Array) -> Array:
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
