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


def mels_of_songs(mulan: Any, codec: SpectralCodecModel, split: str, work: Path) -> torch.Tensor:
    """Return MuQ's normalised mels float16 [songs, 128, N], from `work` if they were made before."""
    front = mulan.mulan.audio.model.model

    def mel(index: int) -> np.ndarray:
        wave = training_song(split, index).waveform()
        if stream(split, "mulan", index, "coded").random() < CODED:
            wave = through_codec(codec, wave)
        audio = Clip(torch.from_numpy(wave)[None], SAMPLE_RATE).resampled(24_000).waveform
        found = front.normalize(front.preprocessing(audio, features=["melspec_2048"]))
        return found["melspec_2048"][0].half().numpy()

    return torch.from_numpy(cached_rows(mel, SONGS[split], work, f"mels_{split}"))


def captions_of_songs(songs: list[Song], tokenizer: Any) -> Captions:
    """Return one caption of each song."""
    named = [one.named_facts() for one in songs]
    texts = [one.caption(names) for one, names in zip(songs, named, strict=True)]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    facts = [named_values(one.facts, names) for one, names in zip(songs, named, strict=True)]
    return Captions(batch["input_ids"], batch["attention_mask"], torch.tensor(facts))


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

    def draw(rng: np.random.Generator, batch_size: int) -> tuple[np.ndarray, torch.Tensor]:
        rows = rng.choice(SONGS["train"], size=batch_size, replace=False)
        start = int(rng.integers(mels["train"].shape[-1] - CROP + 1))
        return rows, mels["train"][torch.from_numpy(rows), :, start : start + CROP].float()

    def probes_loss(pooled: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        chosen = [songs["train"][row] for row in rows]
        severity = torch.tensor([one.severity for one in chosen])
        loss = SEVERITY_WEIGHT * functional.mse_loss(model.severity(pooled)[:, 0], severity)
        for name in HEARD:
            truth = torch.tensor([fact_index(name, one.facts) for one in chosen])
            loss = loss + functional.cross_entropy(model.probes[name](pooled), truth)
        return loss

    def hearing_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        rows, waves = draw(rng, batch_size)
        return probes_loss(model.audio(waves)[1], rows)

    def text(chosen: list[tuple[Song, int]]) -> torch.Tensor:
        texts = [words_of(one.facts, one, turn) for one, turn in chosen]
        texts += [other_words(one, turn) for one, turn in chosen]
        batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        return model.text(batch["input_ids"], batch["attention_mask"])

    def contrast_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        rows, waves = draw(rng, batch_size)
        audio, pooled = model.audio(waves)
        turns = rng.integers(1 << 30, size=batch_size)
        words = text([(songs["train"][row], int(turn)) for row, turn in zip(rows, turns, strict=True)])
        scale = model.mulan.mulan.contrast.temperatures.exp().clamp(max=50).squeeze()
        own = torch.arange(batch_size)
        loss = functional.cross_entropy(scale * audio @ words.T, own)
        loss = loss + functional.cross_entropy(scale * words[:batch_size] @ audio.T, own)
        return loss + PROBES_WEIGHT * probes_loss(pooled, rows)

    def validate_hearing() -> dict[str, float]:
        pooled = torch.cat([model.audio(part.float())[1] for part in mels["validation"].split(100)])
        return _probed(model, pooled, songs["validation"])

    def validate() -> dict[str, float]:
        found = [model.audio(part.float()) for part in mels["validation"].split(100)]
        audio, pooled = (torch.cat(parts) for parts in zip(*found, strict=True))
        own, other = text(list(zip(songs["validation"], range(len(audio)), strict=True))).chunk(2)
        right = (audio * own).sum(1) > (audio * other).sum(1)
        return {"right_words": right.float().mean().item(), **_probed(model, pooled, songs["validation"])}

    train("hearing", model, hearing, hearing_step, validate_hearing, work / "hearing")
    captions = {split: captions_of_songs(songs[split], tokenizer) for split in SONGS}
    encoder = model.mulan.mulan.text.model
    pretrain_text(encoder, DIM, captions["train"], captions["validation"], work / "reading", reading)
    train("contrast", model, schedule, contrast_step, validate, work)
    _save(model.mulan, work / "inner", output)


def _probed(model: Contrast, pooled: torch.Tensor, songs: list[Song]) -> dict[str, float]:
    """Return what the probes get right of the pooled frames of songs."""
    numbers = {}
    for name in HEARD:
        truth = torch.tensor([fact_index(name, one.facts) for one in songs])
        numbers[name] = (model.probes[name](pooled).argmax(1) == truth).float().mean().item()
    severity = np.array([one.severity for one in songs])
    numbers["severity_r"] = float(np.corrcoef(severity, model.severity(pooled)[:, 0].numpy())[0, 1])
    return numbers


def _save(mulan: Any, inner: Path, output: Path) -> None:
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
