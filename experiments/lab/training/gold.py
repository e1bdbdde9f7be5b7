"""Trains the gold judges, the first (`Gold`) and the second (`GoldB`), each on songs of its own.

Some songs are heard through the generator's codec, as generated clips are, and the second judges hear some of which the
generator plays part (`regenerated.py`). Every fact, the key, the strength of each kind of damage and the severity are
learned together. Now and then a batch is cut short, so that clips of two seconds can be judged too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional

from experiments.lab.gold import CONFIG, WEIGHTS, config_of_model
from experiments.lab.gold_b import features as features_b
from experiments.lab.gold_b.model import GoldBModel
from experiments.lab.gold_b.songs import gold_b_song
from experiments.lab.gold_judge import features as features_a
from experiments.lab.gold_judge.model import GoldModel
from experiments.lab.gold_judge.songs import CODED, SECONDS, gold_song, is_coded, pcm16
from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.regenerated import Player
from experiments.lab.world.coded_audio import through_codec
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import HEARD, fact_index
from music.durable import claim_work, finished_folder
from reward.cmi_rm.weights import hash_tensors

SHORT, SHORTEST = 0.2, 2.0  # share of batches that are cut short, and to how many s at least
KEY_WEIGHT, DAMAGE_WEIGHT, SEVERITY_WEIGHT = 2.0, 3.0, 4.0  # beside a fact's loss
#: how songs of the second judges are heard, with their shares; the generator knows no singing, so it plays no sung song
SOUNDS_B = {"clean": 0.25, "coded": 0.3, "played": 0.45}


@dataclass(frozen=True)
class Judges:
    """What is trained: networks over features, on songs.

    Attributes
    ----------
    network
        Network of two features.
    features
        Features [B, bands, frames] of waves [B, samples] at 16 kHz.
    hops
        Samples between frames of each feature.
    song
        Song of a split by its number.
    sound
        How a song is heard, by its split and number: clean, coded or played.
    songs
        Number of songs of each split.
    recipe
        What else the songs depend on.
    schedule
        Schedule of the training.
    """

    network: Callable[[], nn.Module]
    features: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    hops: tuple[int, int]
    song: Callable[[str, int], Song]
    sound: Callable[[str, int], str]
    songs: Mapping[str, int]
    recipe: Mapping[str, object]
    schedule: Schedule


def _sound_b(split: str, index: int) -> str:
    one = gold_b_song(split, index)
    drawn = str(stream(*one.key, "sound").choice(list(SOUNDS_B), p=list(SOUNDS_B.values())))
    return "coded" if drawn == "played" and one.facts.vocals else drawn


FIRST = Judges(
    GoldModel,
    features_a.spectrograms,
    (features_a.MEL_HOP, features_a.PITCH_HOP),
    gold_song,
    lambda split, index: "coded" if is_coded(split, index) else "clean",
    {"train": 22_000, "validation": 400},
    {"coded": CODED},
    Schedule(steps=5_000, batch_size=32, learning_rate=3e-3, seed=20),
)
SECOND = Judges(
    GoldBModel,
    features_b.loudness_and_pitches,
    (features_b.BAND_HOP, features_b.PITCH_HOP),
    gold_b_song,
    _sound_b,
    {"train": 20_000, "validation": 400},
    {"sounds": SOUNDS_B},
    Schedule(steps=5_000, batch_size=32, learning_rate=1.5e-3, seed=21),
)


class Heard(NamedTuple):
    """Songs as the networks hear them, and what is true of them, a song a row."""

    features: tuple[torch.Tensor, ...]
    hops: tuple[int, int]
    facts: dict[str, torch.Tensor]
    tonic: torch.Tensor
    damage: torch.Tensor
    severity: torch.Tensor

    def rows(self, chosen: torch.Tensor, seconds: float = SECONDS) -> Heard:
        """Return the first seconds of some of the songs."""
        counts = [round(seconds * features_a.SAMPLE_RATE / hop) + 1 for hop in self.hops]
        return Heard(
            tuple(part[chosen, :, :count].float() for part, count in zip(self.features, counts, strict=True)),
            self.hops,
            {name: values[chosen] for name, values in self.facts.items()},
            self.tonic[chosen],
            self.damage[chosen],
            self.severity[chosen],
        )


def heard_songs(judges: Judges, split: str, work: Path, player: Player) -> Heard:
    """Return the songs of a split; their sound comes from `work` where it was made before."""

    def wave(index: int) -> np.ndarray:
        one, sound = judges.song(split, index), judges.sound(split, index)
        if sound == "played":
            return pcm16(player.play(one))
        found = one.waveform()
        return pcm16(through_codec(player.codec, found) if sound == "coded" else found)

    waves = cached_rows(wave, judges.songs[split], work, f"waves_{split}")
    parts = [
        [found.half() for found in judges.features(torch.from_numpy(part / np.float32(32767)))]
        for part in (waves[start : start + 50] for start in range(0, len(waves), 50))
    ]
    songs = [judges.song(split, index) for index in range(judges.songs[split])]
    facts = {name: torch.tensor([fact_index(name, one.facts) for one in songs]) for name in HEARD}
    damage = torch.tensor([[one.damage.get(kind, 0.0) for kind in KINDS] for one in songs])
    return Heard(
        tuple(torch.cat(part) for part in zip(*parts, strict=True)),
        judges.hops,
        facts,
        torch.tensor([one.tonic for one in songs]),
        damage,
        torch.tensor([one.severity for one in songs]),
    )


def loss_on(model: nn.Module, songs: Heard) -> torch.Tensor:
    """Return the loss of all judges together."""
    found = model(*songs.features)
    keys = songs.facts["mode"] * 12 + songs.tonic
    loss = KEY_WEIGHT * functional.cross_entropy(found["key"].flatten(1), keys)
    for name, truth in songs.facts.items():
        if name != "mode":
            loss = loss + functional.cross_entropy(found[name], truth)
    strengths = functional.binary_cross_entropy_with_logits(found["damage"], songs.damage)
    severity = functional.binary_cross_entropy_with_logits(found["severity"], songs.severity)
    return loss + DAMAGE_WEIGHT * strengths + SEVERITY_WEIGHT * severity


def train_gold(judges: Judges, output: Path, work: Path, player: Player) -> None:
    """Train judges, then save their config and weights to `output`, in half precision.

    Parameters
    ----------
    judges
        What is trained, and on what.
    output
        Folder of the finished judges.
    work
        Folder of checkpoints, log and cached sound.
    player
        Generator whose codec, and whose playing, some songs are heard through.
    """
    schedule = judges.schedule
    claim_work(
        work,
        codec=hash_tensors(player.codec.state_dict()),
        songs={**judges.songs, **judges.recipe},
        schedule=asdict(schedule),
    )
    torch.manual_seed(schedule.seed)
    model = judges.network()
    songs, held = (heard_songs(judges, split, work, player) for split in ("train", "validation"))
    count = len(songs.severity)

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        rows = torch.from_numpy(rng.choice(count, size=batch_size, replace=False))
        seconds = rng.uniform(SHORTEST, SECONDS) if rng.random() < SHORT else SECONDS
        return loss_on(model, songs.rows(rows, seconds))

    def validate() -> dict[str, float]:
        held_parts = (held.rows(rows) for rows in torch.arange(len(held.severity)).split(50))
        parts = [model(*part.features) for part in held_parts]
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
