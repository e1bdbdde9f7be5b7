"""The comparison of post-training algorithms: real trainings of a tiny model, told apart by what was measured."""

import csv
import math

import pytest
import torch

from experiments.post_training.command import ComparePostTraining, compare
from experiments.post_training.comparisons import COMPARISONS, Comparison
from experiments.post_training.report import Number, read_findings, titled, trend_of, verdict
from experiments.running import run_command
from music.errors import InputError
from music.intervals import Estimate
from music.jsonl import dump_line
from rlhf import train
from tests.tiny_musicgen import build_tiny_musicgen

TEXTS = ("piano", "drums", "bass", "flute", "slow", "fast", "low", "high", "loud", "x")


@pytest.fixture
def comparison(tmp_path):
    (tmp_path / "train.txt").write_text("a\nb\nc\nd\ne\n")
    (tmp_path / "held_out.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    sampling = {"level": "null", "seconds": 0.4}
    return Comparison(
        {"expert_iteration": {"steps": 1, "samples": 1, "lora_r": 2}},
        str(build_tiny_musicgen(tmp_path / "musicgen", codebooks=2)),
        limit=5,
        n=2,
        sampling=sampling,
        reward="loudness",
        weights="loudness=1",
        judges="constant",
        prompts=str(tmp_path / "train.txt"),
        held_out=str(tmp_path / "held_out.txt"),
        held_out_limit=10,
    )


@pytest.mark.slow
def test_arms_are_trained_and_assessed(comparison, tmp_path):
    folder = tmp_path / "out"
    assert (comparison.clips, comparison.best_of) == (20, 2)
    page = compare(comparison, folder, range(1), 2, "cpu")
    assert "best of 2" in page
    assert "expert iteration" in page
    found = read_findings(folder / "held_out", 2)
    assert set(found) == {("base", 1), ("base", 2), ("expert_iteration-0", 1), ("expert_iteration-0", 2)}
    assert found["base", 2]["reward"].difference.value > 0  # what picks, gains by its own word
    assert math.isnan(found["base", 1]["reward"].difference.value)
    with (folder / "table.csv").open() as file:
        told = {(row["model"], row["best_of"], row["metric"]): row for row in csv.DictReader(file)}
    assert float(told["base", "2", "reward"]["difference"]) == found["base", 2]["reward"].difference.value
    assert (folder / "figure.png").stat().st_size > 10_000


def test_a_command_that_fails_is_named(tmp_path):
    log = tmp_path / "log.txt"
    with pytest.raises(
        InputError, match=r"log\.txt ended with code 2: error: --steps must be at least 1, got 0"
    ):
        run_command(train.__file__, {"steps": 0}, log=log)


def test_better_is_what_raises_a_judge_and_lowers_none():
    moved = Estimate(1, 0.5, 1.5), Estimate(0.1, -0.5, 0.7), Estimate(-1, -1.5, -0.5)
    up, same, down = (Number("judge", 0, one) for one in moved)
    proxy = Number("proxy", 0, moved[2])
    assert verdict({"a": up, "b": same, "r": proxy}) == "better: raises a and lowers none"
    assert verdict({"a": up, "b": down}) == "worse by b, better by a"
    assert verdict({"a": same, "b": down}) == "worse by b"
    assert verdict({"a": same}) == "no difference that can be told"


def test_a_curve_is_told_from_noise(tmp_path):
    noise = torch.randn(64, generator=torch.Generator().manual_seed(0)).tolist()
    for name, slope in (("rising", 0.05), ("flat", 0.0)):
        rows = [{"step": step, "reward": slope * step + noise[step]} for step in range(64)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.jsonl").write_text("".join(map(dump_line, rows)))
    rising, flat = trend_of(tmp_path / "rising"), trend_of(tmp_path / "flat")
    assert rising.low > 0
    assert rising.value == pytest.approx(flat.value + 63 * 0.05)
    assert flat.low < 0 < flat.high
    assert rising.rows == 64


def test_arms_make_as_many_clips_as_each_other():
    for comparison in COMPARISONS.values():
        assert comparison.held_out_limit >= 100
        assert comparison.best_of * comparison.held_out_limit == comparison.clips
        for arm, options in comparison.arms.items():
            asked = comparison.training(arm)
            assert asked["algorithm"] == arm
            if arm == "grpo":
                assert options["steps"] * options["batch_size"] * comparison.rounds == comparison.clips
    assert titled("grpo-0") == "GRPO"
    assert titled("nft-2") == "DiffusionNFT (seed 2)"


def test_an_unknown_generator_is_refused():
    with pytest.raises(InputError, match="'bach' is not compared"):
        ComparePostTraining("bach")
