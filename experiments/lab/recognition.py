"""Asks whether instrument, drums and tempo can be recognised in generated clips, by the simplest judge that can.

Ridge classifiers over statistics of log-mel frames (mean and spread of each band; the autocorrelation of the onset
envelope for the tempo) are fitted to training songs that went through the generator's codec, tried on held-out coded
songs, and then asked what they hear in clips whose prompts name the facts. They share nothing with the reward model.
The gold judges of the next version will be stronger; this one only says whether there is something to recognise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from experiments.lab.corpus import song, stream
from experiments.lab.facts import CAPTION_FACTS, draw_facts
from generators.spectral_codec import SpectralCodecModel
from music.clips import read_clip
from music.pool import Pool
from reward.bradley_terry import wilson_interval

JUDGED = ("instrument", "drums", "tempo")
SONGS = {"train": 1_500, "test": 300}
LAGS = 60  # frames of 40 ms


def features(frames: np.ndarray) -> np.ndarray:
    """Return what the judge hears in log-mel frames [T, D]."""
    rise = np.maximum(np.diff(frames, axis=0), 0)
    onsets = rise.mean(1) - rise.mean()
    beat = np.array([np.dot(onsets[lag:], onsets[: len(onsets) - lag]) for lag in range(LAGS)])
    return np.concatenate(
        [frames.mean(0), frames.std(0), rise.mean(0), rise.std(0), beat[1:] / max(beat[0], 1e-9)]
    )


def _coded(codec: SpectralCodecModel, split: str) -> tuple[np.ndarray, list]:
    rows, facts = [], []
    for index in tqdm(range(SONGS[split]), desc=f"recognition: {split} songs", disable=None):
        one = song(
            split, "recognition", index, 5.0, draw_facts(stream(split, "recognition", index), vocals=False)
        )
        with torch.no_grad():
            frames = codec.frames_of(codec.codes_of(codec.frames(torch.from_numpy(one.waveform())[None])))
        rows.append(features(frames[0].numpy()))
        facts.append(one.facts)
    return np.stack(rows), facts


def share_heard(right: Iterable[bool]) -> dict[str, Any]:
    """Return the share of True with its 95 % Wilson interval."""
    found = list(right)
    low, high = wilson_interval(sum(found), len(found))
    return {"share": sum(found) / len(found), "ci95": [low, high], "clips": len(found)}


def recognition(codec: SpectralCodecModel, pool: Pool) -> dict[str, dict[str, dict[str, Any]]]:
    """Return, for each fact, how often it is heard in held-out coded songs and in the clips of a pool."""
    inputs, facts = _coded(codec, "train")
    held, held_facts = _coded(codec, "test")
    centre, spread = inputs.mean(0), inputs.std(0) + 1e-6
    heard: list[np.ndarray] = []
    asked: list[dict] = []
    for candidate in pool:
        with torch.no_grad():
            heard.append(features(codec.frames(read_clip(pool.path(candidate)).waveform)[0].numpy()))
        asked.append(dict(pool.prompt(candidate).facts))

    def design(rows: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        scaled = (np.stack(list(rows)) - centre) / spread
        return np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)

    matrix = design(inputs)
    inverse = np.linalg.inv(matrix.T @ matrix + 100 * np.eye(matrix.shape[1])) @ matrix.T
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in JUDGED:
        values = CAPTION_FACTS[name]
        targets = np.array([[getattr(one, name) == value for value in values] for one in facts], dtype=float)
        weights = inverse @ targets
        truth = [getattr(one, name) for one in held_facts]
        real = [values[index] for index in (design(held) @ weights).argmax(1)]
        clips = [values[index] for index in (design(heard) @ weights).argmax(1)]
        found[name] = {
            "coded songs": share_heard(a == b for a, b in zip(real, truth, strict=True)),
            "generated": share_heard(a == b[name] for a, b in zip(clips, asked, strict=True) if name in b),
        }
    return found
