"""Trains the lab's MuQ-MuLan (`mulan_model.py`) by contrast of songs and words.

The towers of the published model come pretrained, and so do these: first the audio tower learns to hear, by linear
probes of its pooled frames for every fact and for the severity of the damage, and the text tower to read
(`text_pretraining.py`). Then comes the contrast: a song must be nearer to its own words than to the words of the other
songs in the batch and than to words in which one fact is changed, and the words nearer to their song than to others
(InfoNCE in both directions). The words are a caption, half of the time with a remark on the quality, or the lyrics. The
probes are trained on, so that frames remain informative, and are thrown away in the end. Half of the songs are damaged,
and a quarter have been through the generator's codec.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.mulan_model import DIM, Contrast, build, configs
from experiments.lab.training.text_pretraining import SCHEDULE as READING
from experiments.lab.training.text_pretraining import Captions, named_values, pretrain_text
from experiments.lab.world.coded_audio import through_codec
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.facts import HEARD, LYRICS_FACTS, Facts, change_facts, fact_index
from experiments.lab.world.rendering import SAMPLE_RATE
from experiments.lab.world.vocabulary import xlm_roberta_tokenizer
from experiments.lab.world.wording import caption, lyrics, quality
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip
from music.durable import claim_work, finished_folder
from reward.cmi_rm.weights import hash_tensors

SECONDS = 5.0
SONGS = {"train": 8_000, "validation": 400}
DAMAGED, CODED, LYRICS, REMARK = 0.5, 0.25, 0.3, 0.5
CROP = 320  # mel frames of a training item, 3.2 s
PROBES_WEIGHT = 0.3  # weight of the probes' loss beside the contrast
NOTES_WEIGHT = 10.0  # weight of the cross-entropy of what sounds in a frame
SEVERITY_WEIGHT = 40 / 3  # weight of the severity's squared error beside a fact's cross-entropy
HEARING = Schedule(steps=900, batch_size=32, learning_rate=1.5e-3)
SCHEDULE = Schedule(steps=1_400, batch_size=32, learning_rate=1e-3)


def words_of(facts: Facts, one: Song, turn: int) -> str:
    """Return words of a song as if it had the given facts; what they name, and how, depends on the turn alone."""
    rng = stream(*one.key, "words", turn)
    if one.facts.vocals and rng.random() < LYRICS:
        return lyrics(facts, one.seconds, rng)
    text = caption(facts, one.named_facts(turn), rng)
    return f"{text}, {quality(one.damage, rng)}" if rng.random() < REMARK else text


def other_words(one: Song, turn: int) -> str:
    """Return words that are wrong in one fact that they name."""
    rng = stream(*one.key, "words", turn)
    if one.facts.vocals and rng.random() < LYRICS:
        named: tuple[str, ...] = tuple(LYRICS_FACTS)
    else:
        named = tuple(name for name in one.named_facts(turn) if name != "vocals")
    wrong = change_facts(one.facts, (str(rng.choice(named)),), rng)
    return words_of(wrong, one, turn)


def training_song(split: str, index: int) -> Song:
    """Return song `index` of this training."""
    return song(split, "mulan", index, SECONDS, damaged=DAMAGED)


def mel_of_wave(front: Any, wave: np.ndarray) -> np.ndarray:
    """Return MuQ's normalised mel float16 [128, N] of a waveform at the songs' rate."""
    audio = Clip(torch.from_numpy(wave)[None], SAMPLE_RATE).resampled(24_000).waveform
    found = front.normalize(front.preprocessing(audio, features=["melspec_2048"]))
    return found["melspec_2048"][0].half().numpy()


def mels_of_songs(mulan: Any, codec: SpectralCodecModel, split: str, work: Path) -> torch.Tensor:
    """Return MuQ's normalised mels float16 [songs, 128, N], from `work` if they were made before."""
    front = mulan.mulan.audio.model.model

    def mel(index: int) -> np.ndarray:
        wave = training_song(split, index).waveform()
        if stream(split, "mulan", index, "coded").random() < CODED:
            wave = through_codec(codec, wave)
        return mel_of_wave(front, wave)

    return torch.from_numpy(cached_rows(mel, SONGS[split], work, f"mels_{split}"))


def captions_of_songs(songs: list[Song], tokenizer: Any) -> Captions:
    """Return one caption of each song."""
    named = [one.named_facts() for one in songs]
    texts = [one.caption(names) for one, names in zip(songs, named, strict=True)]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    facts = [named_values(one.facts, names) for one, names in zip(songs, named, strict=True)]
    return Captions(batch["input_ids"], batch["attention_mask"], torch.tensor(facts))


class Lessons:
    """What the towers learn by: losses of steps over songs, and what they get right of songs held out.

    Parameters
    ----------
    model
        Towers and probes.
    tokenizer
        Tokenizer of the text tower.
    songs
        Songs of each split.
    mels
        Normalised mels [songs, 128, N] of each split.
    key_weight
        Weight of the key's cross-entropy beside a fact's; 0 if the probes have none.
    notes
        What sounds in each frame of each training song [songs, N / 4, NOTES] (`notes.py`), if that is learned.
    crop
        Number of mel frames of a training item.
    """

    def __init__(
        self,
        model: Contrast,
        tokenizer: Any,
        songs: Mapping[str, list[Song]],
        mels: Mapping[str, torch.Tensor],
        key_weight: float = 0.0,
        notes: torch.Tensor | None = None,
        crop: int = CROP,
    ) -> None:
        self.model, self.tokenizer, self.songs, self.mels = model, tokenizer, songs, mels
        self.key_weight, self.notes, self._crop = key_weight, notes, crop
        self.truths = {split: truths_of(some, key_weight > 0) for split, some in songs.items()}

    def hearing_step(self, rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        """Return the probes' loss on a batch."""
        rows, _, waves = self._draw(rng, batch_size)
        return self._probes_loss(self.model.audio(waves)[1], rows)

    def contrast_step(
        self, rng: np.random.Generator, batch_size: int, probes_weight: float = PROBES_WEIGHT
    ) -> torch.Tensor:
        """Return the loss of songs and words in both directions, and with it the probes'."""
        rows, start, waves = self._draw(rng, batch_size)
        audio, pooled, frames = self.model.audio(waves)
        turns = rng.integers(1 << 30, size=batch_size)
        words = self._text(
            [(self.songs["train"][row], int(turn)) for row, turn in zip(rows, turns, strict=True)]
        )
        loss = self.model.contrast(audio, words) + probes_weight * self._probes_loss(pooled, rows)
        if self.notes is not None:
            truth = self.notes[rows, start // 4 : start // 4 + frames.shape[1]].float()
            found = functional.binary_cross_entropy_with_logits(self.model.notes(frames), truth)
            loss = loss + NOTES_WEIGHT * found
        return loss

    def validate_hearing(self) -> dict[str, float]:
        """Return what the probes get right of the validation songs."""
        parts = self.mels["validation"].split(100)
        return self._probed(torch.cat([self.model.audio(part.float())[1] for part in parts]))

    def validate(self) -> dict[str, float]:
        """Return how often a validation song is nearer to its own words than to wrong ones, and what probes hear."""
        found = [self.model.audio(part.float()) for part in self.mels["validation"].split(100)]
        audio, pooled, _ = (torch.cat(parts) for parts in zip(*found, strict=True))
        own, other = self._text(list(zip(self.songs["validation"], range(len(audio)), strict=True))).chunk(2)
        right = (audio * own).sum(1) > (audio * other).sum(1)
        return {"right_words": right.float().mean().item(), **self._probed(pooled)}

    def _draw(self, rng: np.random.Generator, batch_size: int) -> tuple[np.ndarray, int, torch.Tensor]:
        mels = self.mels["train"]
        rows = rng.choice(len(mels), size=batch_size, replace=False)
        step = 1 if self.notes is None else 4  # mel frames in a frame of the tower
        start = step * int(rng.integers((mels.shape[-1] - self._crop) // step + 1))
        return rows, start, mels[torch.from_numpy(rows), :, start : start + self._crop].float()

    def _probes_loss(self, pooled: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        severity = torch.tensor([self.songs["train"][row].severity for row in rows])
        loss = SEVERITY_WEIGHT * functional.mse_loss(self.model.severity(pooled)[:, 0], severity)
        for name, truth in self.truths["train"].items():
            found = functional.cross_entropy(self.model.probes[name](pooled), truth[rows])
            loss = loss + (self.key_weight if name == "key" else 1.0) * found
        return loss

    def _text(self, chosen: list[tuple[Song, int]]) -> torch.Tensor:
        texts = [words_of(one.facts, one, turn) for one, turn in chosen]
        texts += [other_words(one, turn) for one, turn in chosen]
        return self.model.words(self.tokenizer, texts)

    def _probed(self, pooled: torch.Tensor) -> dict[str, float]:
        numbers = {}
        for name, truth in self.truths["validation"].items():
            numbers[name] = (self.model.probes[name](pooled).argmax(1) == truth).float().mean().item()
        severity = np.array([one.severity for one in self.songs["validation"]])
        if severity.std() > 0:  # a handful of songs may all be undamaged
            heard = self.model.severity(pooled)[:, 0].numpy()
            numbers["severity_r"] = float(np.corrcoef(severity, heard)[0, 1])
        return numbers


def truths_of(songs: list[Song], keys: bool) -> dict[str, torch.Tensor]:
    """Return what the probes are to say of each song: every fact and, if asked, the key (12 major, then 12 minor)."""
    truths = {name: torch.tensor([fact_index(name, one.facts) for one in songs]) for name in HEARD}
    if keys:
        truths["key"] = truths["mode"] * 12 + torch.tensor([one.tonic for one in songs])
    return truths


def train_mulan(
    output: Path,
    work: Path,
    codec: SpectralCodecModel,
    schedule: Schedule = SCHEDULE,
    hearing: Schedule = HEARING,
    reading: Schedule = READING,
) -> None:
    """Train, then save `mulan`, `muq` and `xlm-roberta` (configs and tokenizer) under `output`."""
    schedules = {"contrast": asdict(schedule), "hearing": asdict(hearing), "reading": asdict(reading)}
    claim_work(work, codec=hash_tensors(codec.state_dict()), songs=SONGS, schedule=schedules)
    tokenizer = xlm_roberta_tokenizer()
    torch.manual_seed(schedule.seed)
    model = Contrast(build(work / "inner", tokenizer))
    mels = {split: mels_of_songs(model.mulan, codec, split, work) for split in SONGS}
    songs = {split: [training_song(split, index) for index in range(SONGS[split])] for split in SONGS}
    lessons = Lessons(model, tokenizer, songs, mels)
    train("hearing", model, hearing, lessons.hearing_step, lessons.validate_hearing, work / "hearing")
    captions = {split: captions_of_songs(songs[split], tokenizer) for split in SONGS}
    encoder = model.mulan.mulan.text.model
    pretrain_text(encoder, DIM, captions["train"], captions["validation"], work / "reading", reading)
    train("contrast", model, schedule, lessons.contrast_step, lessons.validate, work)
    save_towers(model.mulan, work / "inner", output)


def save_towers(mulan: Any, inner: Path, output: Path) -> None:
    """Save the towers in half precision, and of the inner models only what is needed to build them."""
    for name in ("muq", "xlm-roberta"):
        with finished_folder(output / name) as folder:
            unneeded = shutil.ignore_patterns("*.safetensors", "README.md")
            shutil.copytree(inner / name, folder, ignore=unneeded, dirs_exist_ok=True)
    with finished_folder(output / "mulan") as folder:
        mulan.half().save_pretrained(folder, config=configs()[1])
        (folder / "README.md").unlink(missing_ok=True)
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()), indent=2, sort_keys=True) + "\n")
