"""Trainings of the version before, killed and finished, and the models that came of them."""

import json

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


def test_a_killed_post_training_goes_on(before, command):
    pytest.importorskip("trl")
    folder = before / "post_training" / "killed"
    made = state(folder, "*.flac", "checkpoint-1/*")
    (first,) = rows(folder / "rounds" / "0" / "training" / "log.jsonl")
    command(*POST_TRAIN, "--output", "post_training/killed")
    assert made.items() <= state(folder, "*.flac", "checkpoint-1/*").items()
    log = rows(folder / "log.jsonl")
    assert first.items() <= log[1].items()
    for one, other in zip(log, rows(before / "post_training" / "finished" / "log.jsonl"), strict=True):
        if "train_loss" not in one:  # the summary of a run, which counts its own steps only
            close(one, other)
    trained, source = (
        load_generator(path, device="cpu").spec for path in (folder / "model", "models/musicgen")
    )
    assert trained["weights"] != source["weights"]


def test_a_killed_post_training_of_stable_audio_goes_on(before, command):
    pytest.importorskip("diffusers")
    folder = before / "post_training" / "killed_stable_audio"
    made = state(folder, "*.flac")
    path = folder / "rounds" / "0" / "training" / "log.jsonl"
    known = [row | {"loss": 0.125} for row in rows(path)]  # which nothing would compute again
    path.write_text("".join(json.dumps(row) + "\n" for row in known))
    command(*POST_TRAIN, *STABLE_AUDIO, "--output", folder.relative_to(before))
    assert made.items() <= state(folder, "*.flac").items()
    one, two = [row for row in rows(folder / "log.jsonl") if "loss" in row]
    assert known[0].items() <= one.items()
    assert two["step"] == 2
    assert two["loss"] != 0.125  # its state was not written
    load_generator(folder / "model", steps=3, device="cpu")


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
