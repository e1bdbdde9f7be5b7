"""The command: every algorithm leaves a generator that loads, from whatever moment it is taken up again."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from generators import load_generator
from music.command import parse_command
from music.errors import InputError
from rlhf.options import PostTraining
from rlhf.train import main

ROOT = Path(__file__).parents[2]
SMALL = {
    "weights": "loudness=1",
    "reward": "loudness",
    "level": None,
    "n": 4,
    "rounds": 2,
    "steps": 2,
    "seconds": 0.4,
    "limit": 4,
    "batch_size": 4,
    "micro_batch_size": 4,
    "lora_r": 2,
    "learning_rate": 0.01,
    "samples": 2,
    "save_every": 1,
    "device": "cpu",
}


@pytest.fixture
def options(tiny, tmp_path):
    (tmp_path / "prompts.txt").write_text("piano\ndrums\na slow bass\nx\n")
    return PostTraining(
        generator=str(tiny), prompts=str(tmp_path / "prompts.txt"), output=tmp_path / "out", **SMALL
    )


def change(options, **changes):
    from dataclasses import replace

    return replace(options, **changes)


def weights_of(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_a_missing_library_is_named_before_any_work(options, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trl" else find(name))
    with pytest.raises(InputError, match=r'needs trl, which is not installed: pip install -e "\.\[rlhf\]"'):
        main(options)
    assert not options.output.exists()


@pytest.mark.parametrize("algorithm", ["expert_iteration", "dpo", "grpo", "rloo"])
def test_every_algorithm_leaves_a_generator(options, tiny, algorithm):
    options = change(options, algorithm=algorithm)
    main(options)
    before, after = load_file(tiny / "model.safetensors"), weights_of(options.output)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("decoder.model.decoder.layers" in name for name in changed)
    assert load_generator(options.output / "model").spec["weights"] != load_generator(tiny).spec["weights"]
    steps = [
        json.loads(line) for line in (options.output / "log.jsonl").read_text().splitlines() if "loss" in line
    ]
    assert [row["step"] for row in steps if "loss" in row] == [1, 2, 3, 4]
    assert (options.output / "curves.png").stat().st_size > 5000
    for moment in ("before", "after"):
        assert len(list((options.output / "samples" / moment / "audio").rglob("*.flac"))) == 2
    assert "+6 dB" in (options.output / "robustness.md").read_text()
    record = json.loads((options.output / "run.json").read_text())
    assert record["config"]["algorithm"] == algorithm


@pytest.mark.parametrize("algorithm", ["expert_iteration", "dpo", "nft"])
def test_stable_audio_learns_too(options, tiny_stable_audio, algorithm):
    options = change(
        options, algorithm=algorithm, generator=str(tiny_stable_audio), sampling_steps=3, seconds=1.0
    )
    main(options)
    place = "transformer/diffusion_pytorch_model.safetensors"
    before, after = load_file(tiny_stable_audio / place), load_file(options.output / "model" / place)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("transformer_blocks.") for name in changed)
    for path in tiny_stable_audio.rglob("*"):
        if path.is_file() and path.parent.name != "transformer":
            assert (
                options.output / "model" / path.relative_to(tiny_stable_audio)
            ).read_bytes() == path.read_bytes()
    load_generator(options.output / "model", steps=3)
    steps = [json.loads(line) for line in (options.output / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "loss" in row] == [1, 2, 3, 4]
    assert steps[1]["moved"] == 0.0  # the first step of a round begins at the model before


def test_a_run_is_taken_up_where_it_was_left(options, tmp_path, monkeypatch):
    main(options)
    whole = weights_of(options.output)
    second = change(options, output=tmp_path / "second")
    from rlhf.musicgen import learner as musicgen_learner

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(musicgen_learner, "save_musicgen", die)  # after the first round has learned
        with pytest.raises(KeyboardInterrupt):
            main(second)
    assert not (second.output / "model").exists()
    main(second)
    for name, weight in weights_of(second.output).items():
        assert torch.equal(weight, whole[name]), name
    shutil.rmtree(second.output / "model")
    made = sorted((second.output / "rounds").rglob("*.flac"))
    stamps = [path.stat().st_mtime_ns for path in made]
    main(second)
    assert [path.stat().st_mtime_ns for path in made] == stamps  # no clip was made anew
    for name, weight in weights_of(second.output).items():
        assert torch.equal(weight, whole[name]), name


@pytest.mark.slow
def test_two_processes_learn_what_one_does(options, tmp_path):
    single = change(options, algorithm="grpo", output=tmp_path / "one", micro_batch_size=4, batch_size=8)
    main(single)
    arguments = [f"--{name}={'null' if value is None else value}" for name, value in vars(single).items()]
    arguments = [one for one in arguments if not one.startswith(("--output", "--micro_batch_size"))]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "29677",
        "--",
    ]
    command += ["rlhf/train.py", *arguments, f"--output={tmp_path / 'two'}", "--micro_batch_size=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=1e-5), name


def test_another_run_in_the_same_folder_is_refused(options):
    main(options)
    with pytest.raises(InputError, match="another options"):
        main(change(options, learning_rate=0.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1}, "--n must be at least 2"),
        ({"steps": 0}, "--steps"),
        ({"seconds": 0.0}, "--seconds"),
        ({"silence_cost": -1.0}, "--silence_cost"),
        ({"algorithm": "grpo", "batch_size": 6}, "--batch_size 6 must be a multiple of --n 4"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, changes, message):
    with pytest.raises(InputError, match=message):
        change(options, **changes)


def test_what_cannot_be_trained_or_measured_is_refused_before_anything_is_made(options):
    with pytest.raises(InputError, match="learns by expert_iteration, dpo, grpo, rloo, not nft"):
        main(change(options, algorithm="nft"))
    with pytest.raises(InputError, match="has no option 'steps'"):
        main(change(options, sampling_steps=3))
    with pytest.raises(InputError, match="musicality"):
        main(change(options, weights="musicality=1"))
    with pytest.raises(InputError, match="same reward"):
        main(change(options, reward="constant", weights="constant=1"))
    assert not (options.output / "model").exists()


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit):
        parse_command(PostTraining, ["--help"])
    told = capsys.readouterr().out
    assert all(f"--{name}" in told for name in vars(PostTraining()))
