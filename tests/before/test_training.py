"""Trainings of the version before, killed and finished, and the models that came of them."""

import json
import shutil

import pytest
from safetensors.torch import load_file

from generators import load_generator
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from tests.before.files import rows, state, table

POST_TRAIN = ("rlhf/train.py", "--config", "configs/post_train.yaml")
STABLE_AUDIO = ("--algorithm=nft", "--generator=models/stable_audio", "--sampling_steps=3", "--seconds=0.5")


def close(one, other):
    """Compare rows of a log whose numbers another processor may round otherwise."""
    for row in (one, other):
        for name in [name for name in row if "seconds" in name or "runtime" in name]:
            del row[name]
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            close(value, other[name])
        else:
            assert value == pytest.approx(other[name], abs=1e-4), name


def test_a_killed_training_of_a_reward_model_goes_on(before, command):
    folder = before / "reward_training"
    known = (folder / "killed" / "log.jsonl").read_text()
    encoded = state(folder, "embeddings/**/*.safetensors")
    command("reward/train.py", "--config", "configs/train_reward.yaml", "--output", "reward_training/killed")
    assert state(folder, "embeddings/**/*.safetensors") == encoded
    assert (folder / "killed" / "log.jsonl").read_text().startswith(known)
    logs = [rows(folder / run / "log.jsonl") for run in ("killed", "finished")]
    for one, other in zip(*logs, strict=True):
        close(one, other)
    weights = [load_file(folder / run / "model.safetensors") for run in ("killed", "finished")]
    assert weights[0].keys() == weights[1].keys()
    clip = before / "best_of_n" / "best" / "lab-00-51af55330794c5ae-00000.flac"
    (scores,) = load_scorer(folder / "killed", device="cpu").score([ScoreRequest(clip, Prompt("x", "piano"))])
    assert scores.keys() == {"musicality", "alignment"}


def test_a_finished_training_of_a_reward_model_is_finished(before, command):
    folder = before / "reward_training" / "finished"
    written = state(folder, "*.safetensors", "training.pt", "log.jsonl")
    told = command("reward/train.py", "--config", "configs/train_reward.yaml").splitlines()
    assert next(json.loads(line) for line in told if line.startswith("{"))["last_step"] == 6
    assert state(folder, "*.safetensors", "training.pt", "log.jsonl") == written


def test_the_curves_of_a_training_are_drawn(before, command):
    command(
        "reward.train_curves", "reward_training/finished", "reward_training/killed", "--output", "both.png"
    )
    assert (before / "both.png").stat().st_size > 5000


def test_a_trained_reward_model_has_the_hash_that_it_had(before, command):
    told = command("reward.score", "scored/rows.jsonl", "scored/by_trained.jsonl",
                   "--reward", "reward_training/finished", "--device", "cpu")  # fmt: skip
    assert "0 rows scored, 4 kept, 0 failed" in told


@pytest.mark.parametrize(
    ("name", "library", "options"),
    [("killed", "trl", ()), ("killed_stable_audio", "diffusers", STABLE_AUDIO)],
)
def test_a_killed_post_training_learns_its_round_anew_from_its_clips(before, command, name, library, options):
    """It learned otherwise then; what costs, the clips and their scores, is taken up."""
    pytest.importorskip(library)
    folder = before / "post_training" / name
    made = state(folder, "*.flac", "scores/*")
    training = folder / "rounds" / "0" / "training"
    output = ("--output", folder.relative_to(before))
    told = command(*POST_TRAIN, *options, *output, ends=2)
    assert "rounds/0/training holds a training that an earlier version has begun, and which learned" in told
    shutil.rmtree(training)
    command(*POST_TRAIN, *options, *output)
    assert made.items() <= state(folder, "*.flac", "scores/*").items()
    assert [row["step"] for row in rows(folder / "log.jsonl") if "loss" in row] == [1, 2]
    source = "models/stable_audio" if options else "models/musicgen"
    trained, before_it = (load_generator(path, device="cpu").spec for path in (folder / "model", source))
    assert trained["weights"] != before_it["weights"]


def test_a_finished_post_training_is_finished(before, command):
    pytest.importorskip("trl")
    folder = before / "post_training" / "finished"
    written = state(folder, "*.flac", "*.safetensors", "checkpoint-*/*")
    command(*POST_TRAIN)
    assert state(folder, "*.flac", "*.safetensors", "checkpoint-*/*") == written


def test_a_trained_generator_is_assessed_by_what_was_made(before, command):
    made = state(before / "assessed", "*.flac", "*.float64")
    scores = {name: data for name, (_, data) in state(before / "assessed", "scores/*").items()}
    measured = table(before / "assessed" / "metrics.csv")
    command("rlhf.assess", "--config", "configs/assess.yaml")
    assert state(before / "assessed", "*.flac", "*.float64") == made
    assert {name: data for name, (_, data) in state(before / "assessed", "scores/*").items()} == scores
    assert table(before / "assessed" / "metrics.csv") == measured


def test_a_trained_generator_makes_clips(before, command):
    command("generators", "sample", "--generator", "post_training/finished/model", "--text", "piano",
            "--seconds", 0.2, "--device", "cpu", "clip.flac")  # fmt: skip
    assert (before / "clip.flac").stat().st_size > 1000
