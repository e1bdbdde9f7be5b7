"""Goes on training the lab's MuQ-MuLan (`mulan.py`) on songs that its generator plays: towers that know its sound.

Towers that have heard only songs hear little of what a generator makes, and a head over frozen towers can learn no more
than they hear. Here half of the songs are played by the lab's MusicGen (`regenerated.py`), which leaves true what is
known of them. The contrast and the probes of the first training go on together, and two probes more: one for what
sounds in each frame (`notes.py`), one for the key. A mode can be told only by who hears the notes and knows the tonic;
a probe for two modes alone never finds it. Towers compute in bfloat16, losses in float32.

Then they hear whole songs and, beside them, what the generator makes by itself (`generated.py`): contrast and probes
learn what its captions ask for, as far as it gives that as a rule.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.generated import NAMED, TRUSTED, facts_of_clip, generated_clips
from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.mulan import DAMAGED, SECONDS, Lessons, mel_of_wave, save_towers
from experiments.lab.training.mulan_model import Contrast, build
from experiments.lab.training.notes import NOTES, notes_of
from experiments.lab.training.regenerated import Player
from experiments.lab.world.coded_audio import through_codec
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.facts import Facts, change_facts, draw_facts, fact_index
from experiments.lab.world.wording import caption
from music.clips import read_clip
from music.durable import claim_work, write_bytes
from reward.cmi_rm.weights import hash_tensors, load_strictly, read_tensors

SONGS = {"train": 12_000, "validation": 400}
SUNG = 0.2  # share of songs
#: how songs are heard, with their shares; the generator knows no singing, so a sung song is coded instead
SOUNDS = {"clean": 0.2, "coded": 0.2, "played": 0.6}
KEYS = 24
KEY_WEIGHT = 2.0  # weight of the key's cross-entropy beside a fact's
SCHEDULE = Schedule(steps=1_500, batch_size=32, learning_rate=1e-3, seed=30)
CLIPS = {"train": 6_000, "validation": 400}
WHOLE = 480  # mel frames of an item of the second training, 4.8 s
CHANCE = 0.75  # chance that a caption of a clip names a fact beside the instrument
GENERATED = 0.375  # share of its items that the generator makes by itself
SCHEDULE_ON = Schedule(steps=1_500, batch_size=32, learning_rate=7e-4, seed=31)


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


def mels_of_clips(mulan: Any, folder: Path, split: str, generator: Path) -> torch.Tensor:
    """Return MuQ's normalised mels float16 [clips, 128, N] of what the generator makes."""
    front = mulan.mulan.audio.model.model
    paths = generated_clips(folder / f"generated_{split}", split, CLIPS[split], generator)

    def mel(index: int) -> np.ndarray:
        return mel_of_wave(front, read_clip(paths[index]).waveform[0].numpy())

    return torch.from_numpy(cached_rows(mel, CLIPS[split], folder, f"mels_generated_{split}"))


class ClipLessons:
    """What the towers learn from generated clips, of which only what was asked for is known.

    Parameters
    ----------
    model
        Towers and probes.
    tokenizer
        Tokenizer of the text tower.
    mels
        Normalised mels [clips, 128, N] of each split.
    """

    def __init__(self, model: Contrast, tokenizer: Any, mels: Mapping[str, torch.Tensor]) -> None:
        self.model, self.tokenizer, self.mels = model, tokenizer, mels
        self.facts = {
            split: [facts_of_clip(split, index) for index in range(len(some))] for split, some in mels.items()
        }

    def step(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        """Return the loss of clips and words in both directions, and with it the probes'."""
        mels = self.mels["train"]
        rows = rng.choice(len(mels), size=batch_size, replace=False)
        start = int(rng.integers(mels.shape[-1] - WHOLE + 1))
        audio, pooled, _ = self.model.audio(mels[torch.from_numpy(rows), :, start : start + WHOLE].float())
        facts = [self.facts["train"][row] for row in rows]
        loss = self.model.contrast(audio, self._words(facts, rng))
        for name, truth in _asked(facts).items():
            loss = loss + functional.cross_entropy(self.model.probes[name](pooled), truth)
        return loss

    def validate(self) -> dict[str, float]:
        """Return how often a validation clip is nearer to its own words than to wrong ones, and what probes hear."""
        found = [self.model.audio(part.float()) for part in self.mels["validation"].split(100)]
        audio, pooled, _ = (torch.cat(parts) for parts in zip(*found, strict=True))
        facts = self.facts["validation"]
        own, other = self._words(facts, np.random.default_rng(0)).chunk(2)
        right = (audio * own).sum(1) > (audio * other).sum(1)
        heard = {
            f"generated_{name}": (self.model.probes[name](pooled).argmax(1) == truth).float().mean().item()
            for name, truth in _asked(facts).items()
        }
        return {"generated_right_words": right.float().mean().item(), **heard}

    def _words(self, facts: Sequence[Facts], rng: np.random.Generator) -> torch.Tensor:
        """Return latents of captions that name some of `TRUSTED`, and of as many that are wrong in one of these."""
        own, other = [], []
        for one in facts:
            named = ("instrument", *(name for name in TRUSTED[1:] if rng.random() < CHANCE))
            wrong = change_facts(one, (str(rng.choice(named)),), rng)
            own.append(caption(one, named, rng))
            other.append(caption(wrong, named, rng))
        return self.model.words(self.tokenizer, own + other)


def _asked(facts: Sequence[Facts]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([fact_index(name, one) for one in facts]) for name in TRUSTED}


def train_mulan_played(
    output: Path,
    work: Path,
    first: Path,
    generator: Path,
    schedule: Schedule = SCHEDULE,
    schedule_on: Schedule = SCHEDULE_ON,
) -> None:
    """Train the towers of `first` on, then save `mulan`, `muq` and `xlm-roberta` under `output`."""
    from transformers import AutoTokenizer

    weights, player = read_tensors(first / "model.safetensors"), Player(generator)
    claim_work(
        work,
        first=hash_tensors(weights),
        player=hash_tensors(player.model.state_dict()),
        songs={**SONGS, **SOUNDS},
        clips=CLIPS,
        schedule=[asdict(schedule), asdict(schedule_on)],
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

    train("played", model, schedule, step, lessons.validate, work / "played")
    clips = {split: mels_of_clips(model.mulan, work, split, generator) for split in CLIPS}
    _go_on(model, Lessons(model, tokenizer, songs, mels, KEY_WEIGHT, notes, WHOLE), clips, schedule_on, work)
    for split, some in clips.items():
        hear_clips(model, some, split, work)
    save_towers(model.mulan, work / "inner", output)


@torch.no_grad()
def hear_clips(model: Contrast, mels: torch.Tensor, split: str, folder: Path) -> None:
    """Write what the probes hear in generated clips: `read_heard` reads it."""
    pooled = torch.cat([model.audio(part.float())[1] for part in mels.split(100)])
    facts = [facts_of_clip(split, index) for index in range(len(mels))]
    odds = []
    for name in NAMED:
        asked = torch.tensor([fact_index(name, one) for one in facts])
        chances = model.probes[name](pooled).softmax(1)[torch.arange(len(mels)), asked]
        odds.append(torch.logit(chances, eps=1e-6))
    severity = model.severity(pooled)[:, 0]
    found = {"odds": torch.stack(odds, 1).numpy(), "severity": severity.numpy()}
    buffer = io.BytesIO()
    np.savez(buffer, **found)
    write_bytes(folder / f"heard_{split}.npz", buffer.getvalue())


def read_heard(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the log odds [clips, NAMED] of what was asked for in each generated clip, and its severity [clips]."""
    with np.load(folder / f"heard_{split}.npz") as found:
        return found["odds"], found["severity"]


def _go_on(
    model: Contrast, lessons: Lessons, clips: Mapping[str, torch.Tensor], schedule: Schedule, work: Path
) -> None:
    """Train on with whole songs and with clips that the generator makes by itself."""
    of_clips = ClipLessons(model, lessons.tokenizer, clips)

    def step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        made = round(GENERATED * batch_size)
        loss = lessons.contrast_step(rng, batch_size - made, probes_weight=1.0)
        return loss + of_clips.step(rng, made)

    def validate() -> dict[str, float]:
        return lessons.validate() | of_clips.validate()

    train("generated", model, schedule, step, validate, work)
