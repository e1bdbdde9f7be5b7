"""The command: every algorithm leaves a generator that loads, from whatever moment it is taken up again."""

import gc
import json
import re
import shutil
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import MusicgenForConditionalGeneration

from generators import load_generator
from music.errors import InputError
from rlhf.learners import LEARNERS
from rlhf.options import PostTraining
from rlhf.train import main
from tests.rlhf.trained_models import MUSICGEN, STABLE_AUDIO, launched, log_of


def weights_of(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_a_missing_library_is_named_before_any_work(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(InputError, match=r'needs trl, which is not installed: pip install -e "\.\[rlhf\]"'):
        main(options)
    assert not options.output.exists()


def trained(options, source, weights):
    """Train and return the rows of the log and the names of the weights that differ from the source's."""
    main(options)
    before, after = (load_file(folder / weights) for folder in (source, options.output / "model"))
    assert before.keys() == after.keys()
    rows = [row for row in log_of(options.output) if "loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    return rows, changed


@pytest.mark.parametrize("algorithm", LEARNERS["generators.musicgen.generator:MusicGen"])
def test_every_algorithm_leaves_a_generator(options, tiny, algorithm, monkeypatch, capsys):
    monkeypatch.setattr("music.progress._QUIET", 0.0)
    options = replace(options, algorithm=algorithm)
    _, changed = trained(options, tiny, MUSICGEN)
    assert all("decoder.model.decoder.layers" in name for name in changed)
    first, second = (  # what a first step leaves of its values at random
        load_file(options.output / "rounds" / f"{index}/training/checkpoint-1/adapter_model.safetensors")
        for index in range(2)
    )
    assert not any(torch.equal(first[name], second[name]) for name in first if "lora_A" in name)
    assert load_generator(options.output / "model").spec["weights"] != load_generator(tiny).spec["weights"]
    assert (options.output / "curves.png").stat().st_size > 5000
    for moment in ("before", "after"):
        assert len(list((options.output / "samples" / moment / "audio").rglob("*.flac"))) == 2
    assert "+6 dB" in (options.output / "robustness.md").read_text()
    record = json.loads((options.output / "run.json").read_text())
    assert record["config"]["algorithm"] == algorithm
    output, errors = capsys.readouterr()
    assert re.search(r"^post-train: 100% (\d)/\1 \[.*loss=", errors, re.MULTILINE)
    assert "\r" not in errors  # bars are for terminals
    assert "{" not in output


def test_two_musicgens_are_in_memory_at_most(options, monkeypatch):
    """What learns and what samples, or what learns and what is written; not that which the run began with."""
    from rlhf.musicgen import learner as musicgen_learner
    from rlhf.musicgen.online import Rollouts

    at_once = []

    def counting(method):
        def counted(*arguments):
            gc.collect()
            at_once.append(sum(isinstance(one, MusicgenForConditionalGeneration) for one in gc.get_objects()))
            return method(*arguments)

        return counted

    gc.collect()
    others = sum(isinstance(one, MusicgenForConditionalGeneration) for one in gc.get_objects())
    monkeypatch.setattr(Rollouts, "make", counting(Rollouts.make))
    monkeypatch.setattr(musicgen_learner, "save_musicgen", counting(musicgen_learner.save_musicgen))
    main(replace(options, algorithm="grpo", rounds=1))
    assert [count - others for count in at_once] == [2, 2, 1]  # two steps, and what is loaded to be written


@pytest.mark.parametrize("algorithm", LEARNERS["generators.stable_audio.diffusers.generator:StableAudio"])
def test_stable_audio_learns_too(options, tiny_stable_audio, algorithm):
    source = tiny_stable_audio
    options = replace(options, algorithm=algorithm, generator=str(source), sampling_steps=3, seconds=1.0)
    rows, changed = trained(options, source, STABLE_AUDIO)
    assert all(name.startswith("transformer_blocks.") for name in changed)
    assert rows[0]["moved"] == 0.0  # the first step of a round begins at the model before
    for path in source.rglob("*"):
        if path.is_file() and path.parent.name != "transformer":
            assert (options.output / "model" / path.relative_to(source)).read_bytes() == path.read_bytes()
    load_generator(options.output / "model", steps=3)


def test_a_run_is_taken_up_where_it_was_left(options, tmp_path, monkeypatch):
    """Also one that had finished, to make more rounds: it ends as that which had so many from the beginning."""
    main(options)
    whole = weights_of(options.output)
    second = replace(options, output=tmp_path / "second")
    main(replace(second, rounds=1))
    first = weights_of(second.output)
    from rlhf.musicgen import learner as musicgen_learner

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(musicgen_learner, "save_musicgen", die)  # after the second round has learned
        with pytest.raises(KeyboardInterrupt):
            main(second)
    assert all(torch.equal(weight, first[name]) for name, weight in weights_of(second.output).items())
    main(second)
    for name, weight in weights_of(second.output).items():
        assert torch.equal(weight, whole[name]), name
    for samples in ("samples/before", "samples/after"):
        assert tokens_of(second.output / samples) == tokens_of(options.output / samples)
    assert [row["step"] for row in log_of(second.output) if "loss" in row] == [1, 2, 3, 4]
    shutil.rmtree(second.output / "model")
    made = sorted((second.output / "rounds").rglob("*.flac"))
    stamps = [path.stat().st_mtime_ns for path in made]
    main(second)
    assert [path.stat().st_mtime_ns for path in made] == stamps  # no clip was made anew
    for name, weight in weights_of(second.output).items():
        assert torch.equal(weight, whole[name]), name
    shutil.rmtree(second.output / "rounds")
    main(second)  # is finished
    with pytest.raises(
        InputError, match="rounds/0 is gone, with which 3 rounds would begin: give --rounds 2"
    ):
        main(replace(second, rounds=3))


def tokens_of(folder):
    """Return the bytes of all tokens of a pool."""
    found = {path.name: path.read_bytes() for path in (folder / "tokens").rglob("*.safetensors")}
    assert found
    return found


@pytest.mark.slow
def test_two_processes_learn_what_one_does(options, tmp_path):
    single = replace(options, algorithm="grpo", output=tmp_path / "one", micro_batch_size=4, batch_size=8)
    main(single)
    shared = replace(single, output=tmp_path / "two", micro_batch_size=2)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29677", "--"]
    launched([*launcher, "rlhf/train.py"], shared)
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, weight in one.items():
        assert torch.allclose(weight, two[name], atol=1e-5), name


def test_another_run_in_the_same_folder_is_refused_and_means_are_free(options):
    """What takes too much memory can go on with less: the clips that it has made stay."""
    main(options)
    made = {path: path.stat().st_mtime_ns for path in options.output.rglob("*.[fs]*") if path.is_file()}
    main(replace(options, micro_batch_size=2, gradient_checkpointing=True, save_every=9, samples=1))
    assert made == {path: path.stat().st_mtime_ns for path in made}
    with pytest.raises(InputError, match=r"another options \(learning_rate \(was .*, is 0\.5\)\)"):
        main(replace(options, learning_rate=0.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1}, "--n must be at least 2"),
        ({"steps": 0}, "--steps"),
        ({"seconds": 0.0}, "--seconds"),
        ({"silence_cost": -1.0}, "--silence_cost"),
        ({"learning_rate": 0.0}, "--learning_rate must be above 0, got 0.0"),
        ({"winner": -0.5}, "--winner must be at least 0, got -0.5"),
        ({"beta": -1.0}, "--beta must be at least 0, got -1.0"),
        ({"algorithm": "dpo", "beta": 0.0}, "--beta must be above 0 for dpo"),
        ({"level": 300.0}, "--level must lie between -100 and 0 dBFS, got 300.0"),
        ({"algorithm": "grpo", "batch_size": 6}, "--batch_size 6 must be a multiple of --n 4"),
        ({"algorithm": "rloo", "standardise": True}, "of which rloo learns before all are made"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, changes, message):
    with pytest.raises(InputError, match=message):
        replace(options, **changes)


def test_z_scores_of_one_metric_teach_what_the_metric_does(options, tmp_path, capsys):
    options = replace(options, rounds=1)
    main(options)
    made_from = json.loads((options.output / "made_from.json").read_text())["options"]
    assert made_from["weights"] == "loudness=1"
    assert "standardise" not in made_from  # nor is it in folders of before it was an option
    with pytest.raises(InputError, match=r"another options \(standardise"):
        main(replace(options, standardise=True))
    both = replace(
        options, reward="constant,loudness", weights="", standardise=True, output=tmp_path / "both"
    )
    main(both)
    assert "note: constant does not vary in round 0: standardised, it" in capsys.readouterr().err
    for name, weight in weights_of(both.output).items():
        assert torch.equal(weight, weights_of(options.output)[name]), name
    (row,) = [row for row in log_of(both.output) if "pool" in row]
    assert row["pool"]["mean"] == pytest.approx(0, abs=1e-9)
    assert row["scales"]["loudness"]["spread"] > 0 == row["scales"]["constant"]["spread"]


def test_what_cannot_be_trained_or_measured_is_refused_before_anything_is_made(options):
    with pytest.raises(InputError, match="learns by expert_iteration, dpo, grpo, rloo, not nft"):
        main(replace(options, algorithm="nft"))
    with pytest.raises(InputError, match="--batch_size 4 must be a multiple of --micro_batch_size 3 times"):
        main(replace(options, micro_batch_size=3))
    with pytest.raises(InputError, match="has no option 'sampling_steps'"):
        main(replace(options, sampling_steps=3))
    with pytest.raises(InputError, match="musicality"):
        main(replace(options, weights="musicality=1"))
    with pytest.raises(InputError, match="same reward"):
        main(replace(options, reward="constant", weights="constant=1"))
    assert not (options.output / "model").exists()


@pytest.mark.parametrize("algorithm", ["dpo", "grpo", "rloo"])
def test_prompts_that_are_not_for_the_generator_are_refused_before_any_work(options, tmp_path, algorithm):
    """Also by those that fill no pool; and no cure is told that the command lacks."""
    path = tmp_path / "sung.jsonl"
    path.write_text('{"id": "a", "text": "pop"}\n{"id": "b", "text": "rock", "lyrics": "na na"}\n')
    sung = replace(options, algorithm=algorithm, prompts=str(path))
    cure = r"choose another generator \(python -m generators list\), or leave lyrics out of the prompts"
    with pytest.raises(InputError, match=f"prompt 'b' has lyrics, which .* does not look at: {cure}$"):
        main(sung)
    path.write_text(f'{{"id": "a", "text": "{"very " * 600} loud"}}\n')
    with pytest.raises(InputError, match="prompt 'a': its text"):
        main(sung)
    with pytest.raises(InputError, match="--seconds must be at most"):
        main(replace(options, algorithm=algorithm, seconds=500.0))
    path.write_text('{"id": "b", "text": "rock", "lyrics": "na na"}\n')
    with pytest.raises(InputError, match="prompt 'b' has lyrics"):
        main(replace(options, algorithm=algorithm, held_out=str(path), encoders=""))
    assert not options.output.exists()


def test_a_tracker_that_is_not_installed_is_told_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [])
    with pytest.raises(InputError, match="--tracker wandb is not installed: pip install wandb"):
        main(PostTraining(tracker="wandb", output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
