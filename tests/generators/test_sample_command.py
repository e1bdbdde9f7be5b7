"""`python -m generators sample`, as users start it and in this process."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from generators import fill_pool, load_generator
from generators.__main__ import main
from generators.registry import BACKENDS, given_sampling, options_of
from generators.sample_clip import SampleClip
from generators.sample_clip import main as sample
from music.clips import Clip, read_clip, write_clip
from music.command import parse_command
from music.errors import InputError
from music.options import Generation, Sampling
from music.pool import Pool
from music.processes import Processes
from music.prompts import load_prompts

ROOT = Path(__file__).parents[2]


def config(folder: Path, output: Path, **options) -> SampleClip:
    return SampleClip(
        output, "slow jazz", **{"generator": str(folder), "seconds": 0.5, "device": "cpu", **options}
    )


def test_it_writes_candidate_0_of_that_text(mono_folder: Path, tmp_path: Path):
    sample(config(mono_folder, tmp_path / "deep" / "out.flac", seed=3))
    (tmp_path / "prompts.txt").write_text("slow jazz\n")
    pool = Pool(tmp_path / "pool", create=True)
    generator = load_generator(mono_folder, device="cpu", batch_size=1)
    fill_pool(generator, load_prompts(tmp_path / "prompts.txt"), 1, 0.5, pool, 3, Processes({}))
    assert (tmp_path / "deep" / "out.flac").read_bytes() == pool.path(pool.candidates[0]).read_bytes()


def test_seed_and_options_change_the_clip(mono_folder: Path, tmp_path: Path):
    changes: list[dict] = [{}, {"seed": 1}, {"guidance": 1.0}, {"temperature": 0.5}, {"top_k": 2}]
    for index, options in enumerate(changes):
        sample(config(mono_folder, tmp_path / f"{index}.flac", **options))
    assert len({path.read_bytes() for path in tmp_path.glob("*.flac")}) == len(changes)


def test_the_command_makes_a_clip_with_the_shipped_model(tmp_path: Path):
    options = ["--generator", "lab-musicgen", "--seconds", "0.4", "--text", "sad piano", "--device", "cpu"]
    command = [sys.executable, "-m", "generators", "sample", *options, str(tmp_path / "out.flac")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out.flac'}\n"
    clip = read_clip(tmp_path / "out.flac")
    assert (clip.samples, clip.sample_rate) == (6_400, 16_000)


def test_lyrics_and_references_are_refused_or_left_out(
    mono_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    write_clip(tmp_path / "r.flac", Clip(torch.zeros(1, 800), 8_000))
    more = {"lyrics": "la la", "reference": tmp_path / "r.flac"}
    for part, value in more.items():
        with pytest.raises(InputError, match=f"{part}, which .* does not look at.*--ignore_unsupported true"):
            sample(config(mono_folder, tmp_path / "o.flac", **{part: value}))
    assert not (tmp_path / "o.flac").exists()
    sample(config(mono_folder, tmp_path / "plain.flac"))
    sample(config(mono_folder, tmp_path / "o.flac", ignore_unsupported=True, **more))
    assert (tmp_path / "o.flac").read_bytes() == (tmp_path / "plain.flac").read_bytes()
    assert capsys.readouterr().err.count("warning") == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sing"], "expected one of list, sample, got 'sing'"),
        (["sample", "--text", "jazz", "out.wav"], "expected a name ending in .flac, got out.wav"),
        (["sample", "--text", " ", "out.flac"], "--text is empty"),
        (["sample", "out.flac"], "text"),
        (["sample", "--text", "jazz", "--reference", "gone.wav", "out.flac"], "gone.wav does not exist"),
        (["sample", "--text", "jazz", "--generator", "no-such-model", "out.flac"], "no-such-model"),
        (["sample", "--text", "jazz", "--backend", "magic", "out.flac"], "unknown backend 'magic'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    argv: list[str], message: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_commands_know_the_options_of_all_backends():
    options = {option for backend in BACKENDS for option in options_of(f"{backend}:x")}
    shared = {one.name for one in fields(Generation)} - {"backend", "ignore_unsupported"}
    assert options == shared
    assert issubclass(SampleClip, Generation)


def test_options_that_were_not_given_are_left_to_the_generator():
    given = SampleClip(Path("out.flac"), "slow jazz", guidance=1.0, sampling_steps=8, batch_size=2)
    assert given_sampling(given) == {"guidance": 1.0, "sampling_steps": 8, "batch_size": 2}
    assert given_sampling(given, Sampling) == {"guidance": 1.0, "sampling_steps": 8}
    assert given_sampling(Sampling(temperature=0.5)) == {"temperature": 0.5}


def test_steps_are_still_taken_by_their_old_name(capsys: pytest.CaptureFixture[str]):
    found = parse_command(SampleClip, ["--text", "jazz", "--steps", "8", "out.flac"])
    assert found.sampling_steps == 8
    assert capsys.readouterr().err == "note: --steps is called --sampling_steps now\n"
