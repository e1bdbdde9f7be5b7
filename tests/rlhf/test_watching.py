"""Training that is watched: measured after each round, ended where a judge falls, and taken up."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from music.errors import InputError
from rlhf.assessment import watching
from rlhf.models import copy_folder
from rlhf.train import main
from tests.rlhf.trained_models import log_of

WEIGHTS = "model.safetensors"


@pytest.fixture
def options(options, tmp_path):
    (tmp_path / "others.txt").write_text("flute\nhorn\n")
    held_out = str(tmp_path / "others.txt")
    return replace(options, held_out=held_out, held_out_n=2, judges="constant", encoders="")


def equal(one, other):
    first, second = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_each_round_is_measured_against_the_start_once(options):
    main(options)
    rows = list(csv.DictReader((options.output / "held_out" / "metrics.csv").open()))
    gone = {row["model"]: float(row["mean"]) for row in rows if row["metric"] == "k3_per_clip"}
    assert list(gone) == ["base", "round_0", "round_1"]
    assert gone["base"] == 0 < gone["round_0"]
    assert (options.output / "held_out" / "frontier.png").exists()
    told = [row for row in log_of(options.output) if "held_out" in row]
    assert [row["round"] for row in told] == [0, 1]
    assert told[1]["held_out"]["k3_per_clip"] == gone["round_1"]
    assert equal(options.output / "model", options.output / "rounds" / "1" / "model")
    assert json.loads((options.output / "run.json").read_text())["stopped"] is None
    made = {path: path.stat().st_mtime_ns for path in options.output.rglob("*.flac")}
    made |= {path: path.stat().st_mtime_ns for path in (options.output / "rounds").rglob(WEIGHTS)}
    shutil.rmtree(options.output / "model")
    main(replace(options, encoders="mulan:lab-mulan"))  # which decides nothing
    assert {path: path.stat().st_mtime_ns for path in made} == made
    with pytest.raises(InputError, match="another judges"):
        main(replace(options, judges=""))


@pytest.mark.parametrize(("algorithm", "last"), [("expert_iteration", 1), ("grpo", 2)])
def test_a_fall_ends_the_training_with_the_model_from_before(options, tiny, monkeypatch, algorithm, last):
    """Of the second round that of the first is kept; of the first, the start."""
    asked = []

    def fall(models, names, seed):
        asked.append(([one.name for one in models], list(names)))
        return "gold fell" if len(models) == last + 1 else None

    monkeypatch.setattr(watching, "fallen", fall)
    main(replace(options, algorithm=algorithm, rounds=3))
    assert asked[0] == (["base", "round_0"], ["constant"])
    assert len(asked) == last
    assert not (options.output / "rounds" / str(last)).exists()
    kept = tiny if last == 1 else options.output / "rounds" / "0" / "model"
    assert equal(options.output / "model", kept)
    assert not equal(options.output / "model", options.output / "rounds" / str(last - 1) / "model")
    assert [row["stopped"] for row in log_of(options.output) if "stopped" in row] == ["gold fell"]
    assert json.loads((options.output / "run.json").read_text())["stopped"] == "gold fell"
    monkeypatch.setattr(watching, "fallen", None)
    main(replace(options, algorithm=algorithm, rounds=3))  # finished: nothing is asked again
    assert json.loads((options.output / "run.json").read_text())["stopped"] == "gold fell"


def test_rounds_of_exploring_begin_with_the_model_before_and_have_noise_of_their_own(options):
    main(replace(options, algorithm="grpo", held_out=None, judges=""))
    rows = [row for row in log_of(options.output) if "kl" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["kl"] == rows[2]["kl"] == 0.0  # each round has its own reference
    assert rows[0]["reward"] != rows[2]["reward"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": None}, "--judges and --stop_on are for held-out prompts"),
        ({"held_out_n": 0}, "--held_out_n"),
        ({"held_out": "PROMPTS"}, "is one of --prompts"),
        ({"stop_on": "gold"}, "--stop_on gold: expected metrics of --judges, which are constant"),
        ({"judges": "loudness"}, "--stop_on constant"),
        (
            {"judges": "experiments.lab.gold:Gold"},
            "judge gold can score none of the 2 held-out prompts: .* no fact",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused_before_anything_is_made(options, changes, message):
    if changes.get("held_out") == "PROMPTS":
        changes = {"held_out": options.prompts}
    if changes.get("judges") == "loudness":
        changes = {**changes, "stop_on": "constant"}
    with pytest.raises(InputError, match=message):
        main(replace(options, **changes))
    assert not options.output.exists()


def test_a_copied_model_stays_when_the_other_goes(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "a")
    copy_folder(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "a")
    assert equal(tmp_path / "b", tiny)
