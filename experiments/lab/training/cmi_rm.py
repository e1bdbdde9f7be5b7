"""Trains the lab's CMI-RM with `reward.train` on pairs whose answers are known (`judgements/pairs.py`).

It has two stages, as the published one: from preferences alone, among them pairs across prompts; then from preferences
and ratings of the same clips, which tell how far apart two clips are.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.lab.judgements.matched import Known, Matching
from experiments.lab.judgements.pairs import CONDITIONS, CONTRASTS, ratings
from experiments.lab.judgements.played_pairs import played_clips, write_played_pairs
from experiments.lab.judgements.shades import Shades
from experiments.lab.pairs import write_pairs
from experiments.lab.training.generated import NAMED, TRUSTED, facts_of_clip, generated_clips
from experiments.lab.training.mulan_played import CLIPS, read_heard
from experiments.lab.training.regenerated import Player
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.durable import finished_folder, write_text
from music.jsonl import dump_line, read_jsonl
from reward import train as reward_training
from reward.training.config import TrainConfig

#: pairs of each kind
PAIRS = {
    "train": {**dict.fromkeys(CONDITIONS, 2_500), **dict.fromkeys(CONTRASTS, 1_250)},
    "validation": dict.fromkeys((*CONDITIONS, *CONTRASTS), 80),
}
#: pairs across prompts, of the same clips
ACROSS = {"train": 12_500, "validation": 0}
STEPS = (1_800, 300)  # optimiser steps of the two stages


#: the same of the training that goes on with what the generator plays, and pairs that it plays
PAIRS_ON = {
    "train": {**dict.fromkeys(CONDITIONS, 300), **dict.fromkeys(CONTRASTS, 150)},
    "validation": dict.fromkeys((*CONDITIONS, *CONTRASTS), 60),
}
ACROSS_ON = {"train": 1_500, "validation": 0}
PLAYED = {"train": 1_500, "validation": 160}
PLAYED_ACROSS = {"train": 1_500, "validation": 0}
#: pairs of the clips of the latter under other captions, of what the generator makes, and of shades of that
MATCHED = {
    "train": {"played": 4_000, "generated": 4_000, "shades": 16_000},
    "validation": {"played": 100, "generated": 100, "shades": 400},
}
STEPS_ON = (600, 150)


def train_cmi_rm(output: Path, work: Path, codec: SpectralCodecModel) -> None:
    """Write the judgements, train over the towers in `output / "mulan"`, and save `output / "cmi_rm"`."""
    pairs = {
        split: write_pairs(work / "pairs", split, counts, codec, more=ACROSS[split])
        for split, counts in PAIRS.items()
    }
    _two_stages(output, work, [pairs["train"]], pairs["validation"], STEPS)


def train_cmi_rm_played(output: Path, work: Path, first: Path, generator: Path, clips: Path) -> None:
    """Do the same from the head of `first`, with pairs that the generator plays and pairs that it makes.

    Parameters
    ----------
    generator
        Folder of the generator.
    clips
        Folder of what it made for `train_mulan_played`.
    """
    folder, player = work / "pairs", Player(generator)
    pairs = {
        split: [
            write_pairs(folder, split, counts, player.codec, more=ACROSS_ON[split]),
            write_played_pairs(folder, split, PLAYED[split], player, more=PLAYED_ACROSS[split]),
        ]
        for split, counts in PAIRS_ON.items()
    }
    for split, counts in MATCHED.items():
        for kind, draw in _draws(folder, split, generator, clips).items():
            path = folder / f"{split}_{kind}_pairs.jsonl"
            write_text(path, "".join(dump_line(draw(split, index)) for index in range(counts[kind])))
            pairs[split].append(path)
    validation = folder / "validation_all.jsonl"
    write_text(validation, "".join(path.read_text() for path in pairs["validation"]))
    _two_stages(output, work, pairs["train"], validation, STEPS_ON, first)


def _draws(
    folder: Path, split: str, generator: Path, clips: Path
) -> dict[str, Callable[[str, int], dict[str, Any]]]:
    """Return what draws the pairs of each kind of `MATCHED`."""
    made = generated_clips(clips / f"generated_{split}", split, CLIPS[split], generator)
    odds, severities = read_heard(clips, split)
    asked, heard = [], []
    for index, (path, severity) in enumerate(zip(made, severities, strict=True)):
        name, facts = os.path.relpath(path, folder), facts_of_clip(split, index)
        asked.append(Known(name, facts, TRUSTED))
        heard.append(Known(name, facts, NAMED, float(severity)))
    return {
        "played": Matching("played", played_clips(split, PLAYED[split])).pair,
        "generated": Matching("generated", asked).pair,
        "shades": Shades(heard, odds).pair,
    }


def _two_stages(
    output: Path,
    work: Path,
    train: Sequence[Path],
    validation: Path,
    steps: tuple[int, int],
    start: Path | None = None,
) -> None:
    first = TrainConfig(
        train=",".join(map(str, train)),
        validation=str(validation),
        output=str(work / "model" / "first"),
        towers=str(output / "mulan"),
        init_from=str(start or ""),
        model_name="mulan",
        embeddings=str(work / "embeddings"),
        embedding_dtype="float16",
        in_memory=True,
        prompt_depth=2,
        joint_depth=1,
        downsample="mean",
        downsample_factor=5,
        dropout=0.1,
        text_dropout=0.05,
        lyrics_dropout=0.1,
        reference_dropout=0.1,
        label_smoothing=0.1,
        steps=steps[0],
        batch_size=48,
        learning_rate=7e-4,
        patience=8,
        mixed_precision="bf16" if start else "no",
    )
    reward_training.main(first)
    second = replace(
        first,
        train=",".join(str(write_ratings(path)) for path in train),
        init_from=first.output,
        output=str(work / "model" / "second"),
        steps=steps[1],
        learning_rate=3e-4,
    )
    reward_training.main(second)
    with finished_folder(output / "cmi_rm") as folder:
        for name in ("config.yaml", "model.safetensors"):
            shutil.copy(Path(second.output) / name, folder / name)


def write_ratings(pairs: Path) -> Path:
    """Write beside a file its pairs but those across prompts, and ratings where damage is known; return the file."""
    rows = [row for _, row in read_jsonl(pairs) if row["facts"]["kind"] != "across"]
    rated = [rating for row in rows if "severity_a" in row["facts"] for rating in ratings(row)]
    path = pairs.with_name(f"{pairs.stem}_rated.jsonl")
    write_text(path, "".join(map(dump_line, (*rows, *rated))))
    return path
