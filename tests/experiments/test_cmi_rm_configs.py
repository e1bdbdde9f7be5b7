"""The configs of CMI-RM's two stages, run as they are: towers and data are small and lie here."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from music.clips import Clip, write_clip
from music.command import parse_command
from reward import load_scorer, train
from reward.cmi_rm.head import RewardHead
from reward.training.config import TrainConfig

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "experiments" / "configs"
MULAN = ROOT / "tests" / "data" / "scoring" / "mulan-tiny"


def write_rows(path: Path, seed: int, ratings: bool) -> None:
    """Write four preferences, or ratings, of noise."""
    path.parent.mkdir(parents=True)
    rows = []
    for index in range(4):
        for side in "ab":
            generator = torch.Generator().manual_seed(100 * seed + 10 * index + ord(side))
            write_clip(
                path.parent / f"{index}{side}.flac",
                Clip(torch.randn(1, 30_000, generator=generator) / 9, 24_000),
            )
        row = {"id": str(index), "text": "pop", "lyrics": "la", "reference": f"{index}a.flac"}
        if ratings:
            row |= {"audio": f"{index}b.flac", "rating_musicality": 1.0 + index, "rating_alignment": 3.0}
        else:
            row |= {"audio_a": f"{index}a.flac", "audio_b": f"{index}b.flac"}
            row |= {"preference_musicality": "a", "preference_alignment": "b"}
        rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Work in a folder in which the data lie where the configs look for them."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("cmi_pref_pseudo", "cmi_pref", "music_eval", "cmi_pref_validation")):
        write_rows(tmp_path / "data" / name / "rows.jsonl", seed, name == "music_eval")
    for folder in MULAN.parent.iterdir():
        if folder.is_dir() and (folder / "config.json").is_file():
            shutil.copytree(folder, tmp_path / folder.name)
    return tmp_path


def read(*names: str) -> TrainConfig:
    words = [word for name in names for word in ("--config", str(CONFIGS / f"cmi_rm_{name}.yaml"))]
    return parse_command(TrainConfig, words)


def test_every_other_config_is_one_of_these_and_starts_by_the_command_in_it():
    others = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem.startswith("cmi_rm"))
    stages = ["cmi_rm_stage_1", "cmi_rm_stage_2"]
    assert [path.stem for path in others] == ["cmi_rm_head_large", "cmi_rm_head_small", *stages]
    for path in others[2:]:
        assert f"reward/train.py --config experiments/configs/{path.name}" in path.read_text()


def test_the_stages_are_those_of_the_paper():
    one, two = read("stage_1"), read("stage_2")
    assert (one.steps, one.batch_size, one.label_smoothing) == (2000, 48, 0.2)
    assert (two.init_from, two.rating_map) == (one.output, "tanh")
    for config in (one, two):
        assert (config.text_dropout, config.lyrics_dropout, config.reference_dropout) == (0.2, 0.3, 0.5)
        head = config.head(768, config.model_name)
        assert (head.heads, head.dim_head, head.mlp_dim) == (8, 64, 512)
        assert (head.prompt_tf_depth, head.joint_tf_depth) == (4, 1)


@pytest.mark.parametrize(
    ("size", "millions"),
    [(("stage_1",), 33.1), (("stage_1", "head_small"), 7.9), (("stage_2", "head_large"), 102.3)],
)
def test_sizes_of_the_head(size, millions):
    config = read(*size)
    with torch.device("meta"):
        head = RewardHead(config.head(768, config.model_name))
    assert sum(one.numel() for one in head.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert config.batch_size == 48  # the rest is the stage's


def test_the_stages_run(place):
    small = {"towers": str(MULAN), "model_name": "", "steps": 2, "batch_size": 4, "device": "cpu"}
    for name in ("stage_1", "stage_2"):
        config = read(name)
        assert train.main(replace(config, **small)) == 0
        assert load_scorer(config.output, device="cpu").metrics == ("musicality", "alignment")
    log = [json.loads(line) for line in (place / "runs/cmi_rm/stage_2/log.jsonl").read_text().splitlines()]
    assert {row["step"] for row in log} == {1, 2}
