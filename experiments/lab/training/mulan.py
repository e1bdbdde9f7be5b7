"""Trains the lab's MuQ-MuLan, built of the `muq` package's classes, by contrast of songs and words.

The towers of the published model come pretrained, and so do these: first the audio tower learns to hear, by linear
probes on its pooled frames for every fact and for the severity of the damage, and the text tower to read
(`text_pretraining.py`). Then the contrast: a song must be nearer to its own words than to the words of the other songs
in the batch and than to words in which one fact is changed, and the words nearer to their song than to others (InfoNCE
in both directions). The words are a caption, half of the time with a remark on the quality, or the lyrics. The probes
stay beside it, so that frames remain informative, and are thrown away. Half of the songs are damaged and a quarter has
been through the generator's codec.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.text_pretraining import SCHEDULE as READING
from experiments.lab.training.text_pretraining import Captions, named_values, pretrain_text
from experiments.lab.workers import cached_rows
from experiments.lab.world.coded_audio import through_codec
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.facts import CAPTION_FACTS, LYRICS_FACTS, Facts, change_facts
from experiments.lab.world.rendering import SAMPLE_RATE
from experiments.lab.world.vocabulary import xlm_roberta_tokenizer
from experiments.lab.world.wording import caption, lyrics, quality
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.clips import Clip
from music.durable import claim_work, finished_folder
from reward.cmi_rm.muq_import import import_muq
from reward.cmi_rm.towers import hash_tensors

SECONDS = 5.0
SONGS = {"train": 8_000, "validation": 400}
DAMAGED, CODED, LYRICS, REMARK = 0.5, 0.25, 0.3, 0.5
DIM = 128
CROP = 320  # mel frames of a training item, 3.2 s
PROBES_WEIGHT = 0.3  # of the probes' loss beside the contrast
SEVERITY_WEIGHT = 40 / 3  # of the severity's squared error beside a fact's cross-entropy
HEARING = Schedule(steps=900, batch_size=32, learning_rate=1.5e-3)
SCHEDULE = Schedule(steps=1_400, batch_size=32, learning_rate=1e-3)
PROBES = {**CAPTION_FACTS, **{name: (None, *values) for name, values in LYRICS_FACTS.items()}}


def configs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configs of MuQ and of MuQ-MuLan; names are those of folders beside each other."""
    conformer = {
        "activation_dropout": 0.0,
        "add_adapter": False,
        "attention_dropout": 0.0,
        "conformer_conv_dropout": 0.0,
        "conv_depthwise_kernel_size": 5,
        "feat_extract_activation": "gelu",
        "feat_proj_dropout": 0.0,
        "hidden_act": "swish",
        "hidden_dropout": 0.0,
        "hidden_size": DIM,
        "initializer_range": 0.02,
        "intermediate_size": 2 * DIM,
        "layer_norm_eps": 1e-5,
        "layerdrop": 0.0,
        "max_source_positions": 5000,
        "left_max_position_embeddings": 64,
        "num_conv_pos_embedding_groups": 16,
        "num_conv_pos_embeddings": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "position_embeddings_type": "rotary",
        "rotary_embedding_base": 10_000,
    }
    muq = {
        "codebook_dim": 8,
        "codebook_size": 64,
        "conv_dim": 8,
        "encoder_depth": 3,
        "encoder_dim": DIM,
        "hop_length": 240,
        "label_rate": 25,
        "n_mels": 128,
        "stat": {"melspec_2048_mean": 6.77, "melspec_2048_std": 18.4},
        "w2v2_config": conformer,
    }
    transformer = {
        "dim": DIM,
        "tf_depth": 1,
        "heads": 4,
        "dim_head": 32,
        "attn_dropout": 0.0,
        "ff_dropout": 0.0,
        "ff_mult": 2,
    }
    mulan = {
        "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 64, "rank_contrast": False},
        "audio_model": {"name": "muq", "model_dim": DIM, "use_layer_idx": -1},
        "text_model": {"name": "xlm-roberta", "model_dim": DIM, "use_layer_idx": -1},
        "audio_transformer": transformer,
        "text_transformer": {**transformer, "max_seq_len": 512},
    }
    return muq, mulan


def build(folder: Path, tokenizer) -> Any:
    """Write the configs of the inner models to `folder` and return an untrained MuQ-MuLan over them."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    muq, mulan = configs()
    package = import_muq()
    package.MuQ(muq).save_pretrained(folder / "muq", config=muq)
    text = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * DIM,
        max_position_embeddings=520,
        type_vocab_size=1,
        initializer_range=DIM**-0.5,  # 0.02 suits widths near 1,000: attention would stay flat
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    XLMRobertaModel(text).save_pretrained(folder / "xlm-roberta")
    tokenizer.save_pretrained(folder / "xlm-roberta")
    for part in ("audio_model", "text_model"):
        mulan[part] = {**mulan[part], "name": str((folder / mulan[part]["name"]).resolve())}
    return package.MuQMuLan(mulan)


class Contrast(nn.Module):
    """The MuQ-MuLan with what its training needs beside it: the probes."""

    def __init__(self, mulan: Any):
        super().__init__()
        self.mulan: Any = mulan
        self.probes = nn.ModuleDict({name: nn.Linear(DIM, len(values)) for name, values in PROBES.items()})
        self.severity = nn.Linear(DIM, 1)

    def audio(self, mels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return unit latents [B, 64] and pooled frames [B, DIM] of normalised mels [B, 128, N]."""
        tower = self.mulan.mulan.audio
        hidden = tower.model.model.encoder(mels)[1][-1]
        pooled = tower.transformer(tower.proj(hidden)).mean(1)
        return functional.normalize(self.mulan.mulan.audio_to_latents(pooled), dim=-1), pooled

    def text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return unit latents [B, 64] of tokens [B, L] with their mask."""
        tower = self.mulan.mulan.text
        hidden = tower.model(input_ids=ids, attention_mask=mask).last_hidden_state
        frames = tower.transformer(tower.proj(hidden), mask=mask.bool()) * mask[..., None]
        pooled = frames.sum(1) / mask.sum(1, keepdim=True)
        return functional.normalize(self.mulan.mulan.text_to_latents(pooled), dim=-1)


def words_of(facts: Facts, one: Song, turn: int) -> str:
    """Return words of a song as if it had the given facts; what is named and how depends on the turn alone."""
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
    """Return MuQ's normalised mels float16 [songs, 128, N], from `work` where they were made before."""
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
        for name, values in PROBES.items():
            truth = torch.tensor([values.index(getattr(one.facts, name)) for one in chosen])
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
    pretrain_text(
        model.mulan.mulan.text.model,
        DIM,
        captions["train"],
        captions["validation"],
        work / "reading",
        reading,
    )
    train("contrast", model, schedule, contrast_step, validate, work)
    _save(model.mulan, work / "inner", output)


def _probed(model: Contrast, pooled: torch.Tensor, songs: list[Song]) -> dict[str, float]:
    """Return what the probes get right of the pooled frames of songs."""
    numbers = {}
    for name, values in PROBES.items():
        truth = torch.tensor([values.index(getattr(one.facts, name)) for one in songs])
        numbers[name] = (model.probes[name](pooled).argmax(1) == truth).float().mean().item()
    severity = np.array([one.severity for one in songs])
    numbers["severity_r"] = float(np.corrcoef(severity, model.severity(pooled)[:, 0].numpy())[0, 1])
    return numbers


def _save(mulan: Any, inner: Path, output: Path) -> None:
    """Save the towers in half precision; of the inner models only what is needed to build them."""
    for name in ("muq", "xlm-roberta"):
        with finished_folder(output / name) as folder:
            unneeded = shutil.ignore_patterns("*.safetensors", "README.md")
            shutil.copytree(inner / name, folder, ignore=unneeded, dirs_exist_ok=True)
    with finished_folder(output / "mulan") as folder:
        mulan.half().save_pretrained(folder, config=configs()[1])
        (folder / "README.md").unlink(missing_ok=True)
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()), indent=2, sort_keys=True) + "\n")
