"""Goes on training the lab's MuQ-MuLan (`mulan.py`) on songs that its generator plays: towers that know its sound.

Towers that have heard only songs hear little of what a generator makes, and a head over frozen towers can learn no more
than they hear. Here half of the songs are played by the lab's MusicGen (`regenerated.py`), which leaves true what is
known of them. The contrast and the probes of the first training go on together, and two probes more: one for what
sounds in each frame (`notes.py`), one for the key. A mode can be told only by who hears the notes and knows the tonic;
a probe for two modes alone never finds it. Towers compute in bfloat16, losses in float32.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.mulan import DAMAGED, SECONDS, Lessons, mel_of_wave, save_towers
from experiments.lab.training.mulan_model import Contrast, build
from experiments.lab.training.notes import NOTES, notes_of
from experiments.lab.training.regenerated import Player
from experiments.lab.world.coded_audio import through_codec
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.facts import draw_facts
from music.durable import claim_work
from reward.cmi_rm.weights import hash_tensors, load_strictly, read_tensors

SONGS = {"train": 12_000, "validation": 400}
SUNG = 0.2  # share of songs
#: how songs are heard, with their shares; the generator knows no singing, so a sung song is coded instead
SOUNDS = {"clean": 0.2, "coded": 0.2, "played": 0.6}
KEYS = 24
KEY_WEIGHT = 2.0  # weight of the key's cross-entropy beside a fact's
SCHEDULE = Schedule(steps=1_500, batch_size=32, learning_rate=1e-3, seed=30)


class HalfContrast(Contrast):
    """A `Contrast` whose towers compute in bfloat16."""

    def audio(self, mels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what `Contrast.audio` returns."""
        with torch.autocast("cpu", torch.bfloat16):
            latents, pooled, frames = super().audio(mels)
        return latents.float(), pooled.float(), frames.float()

    def text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return what `Contrast.text` returns."""
        with torch.autocast("cpu", torch.bfloat16):
            return super().text(ids, mask).float()


def training_song(split: str, index: int) -> Song:
    """Return song `index` of this training."""
    sung = bool(stream(split, "mulan played", index, "sung").random() < SUNG)
    facts = draw_facts(stream(split, "mulan played", index, "facts"), vocals=sung)
    return song(split, "mulan played", index, SECONDS, facts, damaged=DAMAGED)


def sound_of(one: Song, player: Player) -> np.ndarray:
    """Return a song's waveform as it is heard: clean, coded or played."""
    drawn = str(stream(*one.key, "sound").choice(list(SOUNDS), p=list(SOUNDS.values())))
    if drawn == "clean":
        return one.waveform()
    if drawn == "played" and not one.facts.vocals:
        return player.play(one)
    return through_codec(player.codec, one.waveform())


def mels_of_songs(mulan: Any, player: Player, split: str, work: Path) -> torch.Tensor:
    """Return MuQ's normalised mels float16 [songs, 128, N], from `work` if they were made before."""
    front = mulan.mulan.audio.model.model

    def mel(index: int) -> np.ndarray:
        return mel_of_wave(front, sound_of(training_song(split, index), player))

    return torch.from_numpy(cached_rows(mel, SONGS[split], work, f"mels_{split}"))


def train_mulan_played(
    output: Path, work: Path, first: Path, player: Player, schedule: Schedule = SCHEDULE
) -> None:
    """Train the towers of `first` on, then save `mulan`, `muq` and `xlm-roberta` under `output`."""
    from transformers import AutoTokenizer

    weights = read_tensors(first / "model.safetensors")
    claim_work(
        work,
        first=hash_tensors(weights),
        player=hash_tensors(player.model.state_dict()),
        songs={**SONGS, **SOUNDS},
        schedule=asdict(schedule),
    )
    tokenizer = AutoTokenizer.from_pretrained(
        first.parent / "xlm-roberta"
    )  # whose tokens the first towers know
    torch.manual_seed(schedule.seed)
    model = HalfContrast(build(work / "inner", tokenizer), KEYS, NOTES)
    load_strictly(model.mulan, {name: values.float() for name, values in weights.items()}, str(first))
    mels = {split: mels_of_songs(model.mulan, player, split, work) for split in SONGS}
    songs = {split: [training_song(split, index) for index in range(SONGS[split])] for split in SONGS}
    notes = torch.from_numpy(np.stack([notes_of(one) for one in songs["train"]]))
    lessons = Lessons(model, tokenizer, songs, mels, KEY_WEIGHT, notes)

    def step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        return lessons.contrast_step(rng, batch_size, probes_weight=1.0)

    train("played", model, schedule, step, lessons.validate, work)
    save_towers(model.mulan, work / "inner", output)
