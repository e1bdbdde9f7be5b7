"""The trainings of the ablations: what each learns from, where it starts, and how it differs from the others."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.ablations.lab_data import SETS, LabData
from experiments.running import spread
from music.errors import InputError
from music.jsonl import read_jsonl
from reward import train
from reward.cmi_rm.checkpoint import is_checkpoint
from reward.training.config import TrainConfig

COUNTS = (500, 1_000, 2_000, 4_000)  # pseudo-labelled pairs
MAPPINGS = ("none", "linear", "ordinal")  # beside tanh
SHAPES = {"small": {"prompt_depth": 0, "joint_depth": 1}, "large": {"prompt_depth": 6, "joint_depth": 3}}


@dataclass(frozen=True)
class Stage:
    """One training."""

    train: str  # names of sets (`LabData.rows`), separated by commas
    start: str = ""  # stage that it starts from, itself one without a start; random weights if empty
    changes: Mapping[str, Any] = field(default_factory=dict)  # settings of `TrainConfig` that differ
    whole: str = ""  # larger set that this one is drawn from: there are as many fewer steps as rows


STAGES: dict[str, Stage] = {
    "distill": Stage("pseudo"),
    "distill_unsmoothed": Stage("pseudo", changes={"label_smoothing": 0.0}),
    "distill_unfiltered": Stage("unfiltered"),
    "distill_pref": Stage("pref", "distill"),
    "distill_rating": Stage("rating", "distill"),
    "distill_both": Stage("pref,rating", "distill"),
    "distill_unsmoothed_pref": Stage("pref", "distill_unsmoothed"),
    "distill_unfiltered_pref": Stage("pref", "distill_unfiltered"),
    "scratch_both": Stage("pref,rating"),
}
for _kind in MAPPINGS:
    STAGES[f"distill_both_{_kind}"] = Stage("pref,rating", "distill", {"rating_map": _kind})
for _size, _shape in SHAPES.items():
    STAGES[f"{_size}_distill"] = Stage("pseudo", changes=_shape)
    STAGES[f"{_size}_both"] = Stage("pref,rating", f"{_size}_distill", _shape)
for _count in COUNTS:
    STAGES[f"steps_{_count}"] = Stage(f"pseudo-{_count}")
    STAGES[f"steps_{_count}_pref"] = Stage("pref", f"steps_{_count}")
    STAGES[f"epochs_{_count}"] = Stage(f"pseudo-{_count}", whole="pseudo")
    STAGES[f"epochs_{_count}_pref"] = Stage("pref", f"epochs_{_count}")


@dataclass(frozen=True)
class Recipe:
    """What all trainings share: data, the folder of the models, and the optimiser steps of first and second stages."""

    data: LabData
    folder: Path
    steps: tuple[int, int]

    def place(self, name: str, seed: int) -> Path:
        """Return the folder of a stage."""
        return self.folder / f"{name}-{seed}"

    def config(self, name: str, seed: int) -> TrainConfig:
        """Return the settings of a stage."""
        stage = STAGES[name]
        first = not stage.start
        files = [self.data.take(part) for part in stage.train.split(",")]
        judge = stage.train.partition("-")[0]  # a head that imitates a judge is validated against that judge
        steps = self.steps[not first]
        if stage.whole:
            steps = max(1, round(steps * _rows(files[0]) / _rows(self.data.rows(stage.whole))))
        validation = f"{judge}_validation" if f"{judge}_validation" in SETS else "validation"
        config = TrainConfig(
            train=",".join(map(str, files)),
            validation=str(self.data.rows(validation)),
            output=str(self.place(name, seed)),
            towers=self.data.towers,
            init_from="" if first else str(self.place(stage.start, seed)),
            embeddings=str(self.data.embeddings),
            embedding_dtype="float16",
            in_memory=True,
            downsample="mean",
            downsample_factor=5,
            gradient_accumulation_steps=6,
            text_dropout=0.05,
            lyrics_dropout=0.1,
            reference_dropout=0.1,
            steps=steps,
            learning_rate=7e-4 if first else 3e-4,
            warmup_steps=max(1, min(50, steps // 8)),
            evaluate_every=max(1, steps // 8),
            patience=0,
            seed=seed,
            device="cpu",
        )
        return replace(config, **stage.changes)

    def train(self, name: str, seed: int) -> Path:
        """Train a stage, after the one that it starts from, and return its folder; what is finished is left alone."""
        if start := STAGES[name].start:
            self.train(start, seed)
        config = self.config(name, seed)
        record = Path(config.output) / "run.json"
        if not record.exists() or json.loads(record.read_text())["config"] != json.loads(
            json.dumps(asdict(config))
        ):
            train.main(config)  # which refuses a folder of other settings
        if not is_checkpoint(Path(config.output)):
            raise InputError(f"{config.output} holds no model: delete it to train again")
        return Path(config.output)


def train_all(recipe: Recipe, jobs: Iterable[tuple[str, int]], workers: int) -> None:
    """Train stages, each after the one that it starts from; what is finished is left alone.

    Parameters
    ----------
    recipe
        What all trainings share.
    jobs
        Stages with their seeds.
    workers
        Number of trainings side by side, of one thread each; each holds all embeddings in memory.
    """
    wanted = dict.fromkeys((stage, seed) for name, seed in jobs for stage in (STAGES[name].start, name))
    for later in (False, True):
        ready = [(name, seed) for name, seed in wanted if name and bool(STAGES[name].start) == later]
        spread(partial(_train, recipe), ready, workers, "trainings")


def _train(recipe: Recipe, job: tuple[str, int]) -> None:
    recipe.train(*job)


def _rows(path: Path) -> int:
    return sum(1 for _ in read_jsonl(path))
