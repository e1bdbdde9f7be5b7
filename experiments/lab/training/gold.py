"""Trains the gold judges on songs of their own (`gold_judge/songs.py`), some heard through the generator's codec.

Every fact, the key, the strength of each kind of damage and the severity are learned together. Now and then a batch is
cut short, so that clips of two seconds can be judged too.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.stats import spearmanr
from torch.nn import functional

from experiments.lab.gold import CONFIG, WEIGHTS, config_of_model
from experiments.lab.gold_judge.features import MEL_HOP, PITCH_HOP, SAMPLE_RATE, spectrograms
from experiments.lab.gold_judge.model import GoldModel
from experiments.lab.gold_judge.songs import CODED, SECONDS, gold_song, heard_wave, is_coded
from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.loop import Schedule, train
from experiments.lab.world.corpus import Song
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import HEARD, fact_index
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.durable import claim_work, finished_folder
from reward.cmi_rm.weights import hash_tensors

SONGS = {"train": 22_000, "validation": 400}
SCHEDULE = Schedule(steps=5_000, batch_size=32, learning_rate=3e-3, seed=20)
SHORT, SHORTEST = 0.2, 2.0  # share of batches that are cut short, and to how many s at least
KEY_WEIGHT, DAMAGE_WEIGHT, SEVERITY_WEIGHT = 2.0, 3.0, 4.0  # beside a fact's loss


class Heard(NamedTuple):
    """Songs as the networks hear them, and what is true of them, a song a row."""

    mel: torch.Tensor
    pitch: torch.Tensor
    facts: dict[str, torch.Tensor]
    tonic: torch.Tensor
    damage: torch.Tensor
    severity: torch.Tensor

    def rows(self, chosen: torch.Tensor, seconds: float = SECONDS) -> Heard:
        """Return the first seconds of some of the songs."""
        mels = round(seconds * SAMPLE_RATE / MEL_HOP) + 1
        pitches = round(seconds * SAMPLE_RATE / PITCH_HOP) + 1
        return Heard(
            self.mel[chosen, :, :mels].float(),
            self.pitch[chosen, :, :pitches].float(),
            {name: values[chosen] for name, values in self.facts.items()},
            self.tonic[chosen],
            self.damage[chosen],
            self.severity[chosen],
        )


def heard_songs(split: str, work: Path, codec: SpectralCodecModel) -> Heard:
    """Return the songs of a split; their sound comes from `work` where it was made before."""

    def wave(index: int) -> np.ndarray:
        return heard_wave(gold_song(split, index), codec if is_coded(split, index) else None)

    waves = cached_rows(wave, SONGS[split], work, f"waves_{split}")
    parts = [
        [found.half() for found in spectrograms(torch.from_numpy(part / np.float32(32767)))]
        for part in (waves[start : start + 50] for start in range(0, len(waves), 50))
    ]
    songs = [gold_song(split, index) for index in range(SONGS[split])]
    facts = {name: torch.tensor([fact_index(name, one.facts) for one in songs]) for name in HEARD}
    damage = torch.tensor([[one.damage.get(kind, 0.0) for kind in KINDS] for one in songs])
    return Heard(
        torch.cat([part[0] for part in parts]),
        torch.cat([part[1] for part in parts]),
        facts,
        torch.tensor([tonic_of(one) for one in songs]),
        damage,
        torch.tensor([one.severity for one in songs]),
    )


def tonic_of(one: Song) -> int:
    """Return the pitch class of the key: every progression begins on it, in the bass."""
    return one.composition().parts["bass"][0].pitch % 12


def loss_on(model: GoldModel, songs: Heard) -> torch.Tensor:
    """Return the loss of all judges together."""
    found = model(songs.mel, songs.pitch)
    keys = songs.facts["mode"] * 12 + songs.tonic
    loss = KEY_WEIGHT * functional.cross_entropy(found["key"].flatten(1), keys)
    for name, truth in songs.facts.items():
        if name != "mode":
            loss = loss + functional.cross_entropy(found[name], truth)
    strengths = functional.binary_cross_entropy_with_logits(found["damage"], songs.damage)
    severity = functional.binary_cross_entropy_with_logits(found["severity"], songs.severity)
    return loss + DAMAGE_WEIGHT * strengths + SEVERITY_WEIGHT * severity


def train_gold(output: Path, work: Path, codec: SpectralCodecModel, schedule: Schedule = SCHEDULE) -> None:
    """Train, then save the judges' config and weights to `output`, in half precision."""
    claim_work(
        work,
        codec=hash_tensors(codec.state_dict()),
        songs={**SONGS, "coded": CODED},
        schedule=asdict(schedule),
    )
    torch.manual_seed(schedule.seed)
    model = GoldModel()
    songs, held = (heard_songs(split, work, codec) for split in ("train", "validation"))

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        rows = torch.from_numpy(rng.choice(len(songs.mel), size=batch_size, replace=False))
        seconds = rng.uniform(SHORTEST, SECONDS) if rng.random() < SHORT else SECONDS
        return loss_on(model, songs.rows(rows, seconds))

    def validate() -> dict[str, float]:
        held_parts = (held.rows(rows) for rows in torch.arange(len(held.mel)).split(50))
        parts = [model(part.mel, part.pitch) for part in held_parts]
        numbers = {
            name: (torch.cat([part[name] for part in parts]).argmax(1) == truth).float().mean().item()
            for name, truth in held.facts.items()
        }
        severity = torch.cat([part["severity"] for part in parts])
        return {**numbers, "severity_srcc": float(spearmanr(severity, held.severity).statistic)}

    train("gold", model, schedule, loss_of_step, validate, work)
    with finished_folder(output) as folder:
        save_file(model.half().state_dict(), folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(config_of_model(), indent=1) + "\n")
