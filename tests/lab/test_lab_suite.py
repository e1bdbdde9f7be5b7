"""The shipped models do their job: the main job as a user starts it, repeatable clips, and a reward that is right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.benchmarks.stable_audio import StableAudioSpeed
from experiments.lab.check import OVERALL, Check, agreement
from experiments.lab.gold_check import GoldCheck
from experiments.lab.judgements.pairs import CONDITIONS
from experiments.lab.prove import Prove
from experiments.lab.show import Show
from experiments.lab.vae_check import VaeCheck
from experiments.lab.world.coded_audio import shipped_codec
from generators import load_generator
from generators.protocol import Job
from music.clips import read_clip
from music.command import parse_command
from music.prompts import load_prompts
from music.shipped_files import asset
from scaling.best_of_n import BestOfN, main

ROOT = Path(__file__).resolve().parent.parent.parent
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no"]


def start(*options: object) -> subprocess.CompletedProcess:
    """Start the main job with its default models from the root of the checkout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [*LAUNCH, "scaling/best_of_n.py", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)


def test_the_suite_is_small_enough_for_git():
    size = sum(path.stat().st_size for path in asset("lab").rglob("*") if path.is_file())
    assert size < 40e6


@pytest.mark.slow
def test_the_main_job_from_a_checkout(tmp_path):
    done = start("--n", 3, "--limit", 3, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["n_prompts"], summary["n"], summary["reward"]) == (3, 3, "lab-cmi-rm")
    means = [summary["by_n"][n]["reward"]["mean"] for n in ("1", "2", "3")]
    assert means == sorted(means)
    assert summary["gain"]["reward"]["mean"] > 0
    best = [json.loads(line) for line in (tmp_path / "best" / "metadata.jsonl").read_text().splitlines()]
    assert [row["prompt_id"] for row in best] == [prompt.id for prompt in load_prompts("lab", 3)]
    clips = [read_clip(tmp_path / "best" / row["file_name"]) for row in best]
    assert all(clip.samples == 5 * 16_000 for clip in clips)
    assert all(clip.waveform.abs().max() > 0.05 for clip in clips), "something is to be heard"
    assert "data:audio/mpeg" in (tmp_path / "report.html").read_text()
    # another run with a larger n keeps every clip
    before = {path: path.read_bytes() for path in (tmp_path / "pool" / "audio").rglob("*.flac")}
    main(BestOfN(n=4, limit=3, output=tmp_path))
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((tmp_path / "pool" / "audio").rglob("*.flac"))) == 12


@pytest.mark.parametrize("name", ["lab-musicgen", "lab-stable-audio"])
def test_a_clip_of_a_lab_generator_does_not_depend_on_its_neighbours(name):
    if name == "lab-stable-audio":
        pytest.importorskip("torchsde")
    sampling = {"steps": 10} if name == "lab-stable-audio" else {}
    generator = load_generator(name, device="cpu", batch_size=4, **sampling)
    jobs = [Job(prompt, index, 7 * index) for prompt in load_prompts("lab", 2) for index in range(2)]
    together = {(s.job.prompt.id, s.job.candidate): s for s in generator.generate(jobs, 2.0)}
    for job in (jobs[3], jobs[0]):
        (alone,) = generator.generate([job], 2.0)
        beside = together[job.prompt.id, job.candidate]
        assert torch.equal(alone.tokens, beside.tokens)
        assert torch.equal(alone.clip.waveform, beside.clip.waveform)
        assert alone.clip.samples == 32_000
        assert alone.clip.waveform.abs().max() > 0.05, "something is to be heard"
    tokens = torch.stack([sample.tokens for sample in together.values()])
    assert len(tokens.unique(dim=0)) == 4, "candidates differ"


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        (Check, "n", "pairs"),
        (GoldCheck, "n", "songs"),
        (VaeCheck, "n", "songs"),
        (Show, "n", "clips"),
        (Prove, "prompts", "limit"),
        (StableAudioSpeed, "steps", "sampling_steps"),
    ],
)
def test_old_names_of_options_are_taken_and_the_new_ones_told(command, old, new, capsys):
    assert getattr(parse_command(command, [f"--{old}", "7"]), new) == 7
    assert capsys.readouterr().err == f"note: --{old} is called --{new} now\n"
    if command is not StableAudioSpeed:
        assert parse_command(command, ["--models", "x"]).suite == Path("x")


@pytest.mark.slow
def test_the_lab_reward_orders_held_out_pairs(tmp_path):
    counts = dict.fromkeys(CONDITIONS, 30)
    found = agreement("lab-cmi-rm", shipped_codec(asset("lab")), counts, tmp_path, 2)
    for head in ("musicality", "alignment"):
        assert found[head][OVERALL].pairs == 120
        assert found[head][OVERALL].value >= 0.75
