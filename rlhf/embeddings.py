"""Embeddings of clips, for how diverse they are and how far from real ones; kept on disk, a file a clip.

A file is named after the bytes of the audio and what embeds how much of it, so that it is never another clip's, and no
clip is embedded twice, whichever pool it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from music.clips import read_clip
from music.durable import write_bytes
from music.errors import InputError
from music.hashing import sha256_file, sha256_text
from music.processes import Processes
from reward import load_scorer
from reward.baselines.similarity import JointEmbedding, Similarity
from scaling.estimators import Array
from scaling.judging import split_names


def load_encoders(names: str, device: str, dtype: str) -> list[JointEmbedding]:
    """Return what stands behind similarities such as ``mulan:lab-mulan,clap``, each with a name of its own.

    Raises
    ------
    InputError
        If one is no similarity, or two have the same name.
    """
    found: list[JointEmbedding] = []
    for name in split_names(names):
        scorer = load_scorer(name, device, dtype)
        if not isinstance(scorer, Similarity):
            raise InputError(f"--encoders needs joint embeddings such as mulan:lab-mulan or clap, got {name}")
        if scorer.embedding.name in [one.name for one in found]:
            raise InputError(f"--encoders {names}: two are called {scorer.embedding.name}")
        found.append(scorer.embedding)
    return found


def audio_files(folder: Path) -> list[Path]:
    """Return the audio files below a folder, by name; `InputError` for fewer than two."""
    known = {f".{kind.lower()}" for kind in soundfile.available_formats()} - {".raw"}
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in known)
    if len(found) < 2:
        raise InputError(f"--real {folder} holds {len(found)} audio files: a distance needs at least 2")
    return found


class EmbeddingStore:
    """Embeddings of audio files by one encoder.

    Parameters
    ----------
    folder
        Where they are kept.
    encoder
        What embeds.
    seconds
        Only so much of the beginning of a file is heard.
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
