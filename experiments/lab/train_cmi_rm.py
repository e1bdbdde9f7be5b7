"""Trains the lab's CMI-RM with `reward.train` on pairs whose answers are known (`pairs.py`), over the lab's towers."""

from __future__ import annotations

import shutil
from pathlib import Path

from experiments.lab.pairs import write_pairs
from generators.spectral_codec import SpectralCodecModel
from reward import train as reward_training
from reward.train_config import TrainConfig

PAIRS = {"train": 3_000, "validation": 400}


def train_cmi_rm(output: Path, work: Path, codec: SpectralCodecModel) -> None:
    """Write the pairs, train over the towers in `output / "mulan"`, and save `output / "cmi_rm"`."""
    data = {split: write_pairs(work / "pairs", split, count, codec) for split, count in PAIRS.items()}
    config = TrainConfig(
        train=str(data["train"]),
        validation=str(data["validation"]),
        output=str(work / "model" / "cmi_rm"),
        towers=str(output / "mulan"),
        model_name="mulan",
        embeddings=str(work / "embeddings"),
        embedding_dtype="float16",
        in_memory=True,
        prompt_depth=2,
        joint_depth=2,
        downsample="mean",
        downsample_factor=5,
        dropout=0.1,
        text_dropout=0.05,
        lyrics_dropout=0.1,
        reference_dropout=0.1,
        label_smoothing=0.1,
        steps=1_200,
        batch_size=48,
        learning_rate=5e-4,
        patience=8,
    )
    reward_training.main(config)
    shutil.rmtree(output / "cmi_rm", ignore_errors=True)
    (output / "cmi_rm").mkdir(parents=True)
    for name in ("config.yaml", "model.safetensors"):
        shutil.copy(Path(config.output) / name, output / "cmi_rm" / name)
