"""Filling pools: only what is missing, the same bytes from several processes."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from generators import fill_pool
from generators import filling as candidates
from generators.protocol import Generator, Job, Sample
from generators.shared.batch_generator import plan_batches
from music import pool_writer, progress
from music.clips import Clip, write_clip
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS
from tests.generators.filling import fill
from tests.music.folder_state import contents

ALONE = Processes({})
ROOT = Path(__file__).parents[2]


class Beeper(Generator):
    """A generator without a model: the audio is a constant made of the seed."""

    name = "beeper"
    sample_rate = 8_000
    channels = 1
    max_seconds = 5.0
    accepts = frozenset({"text"})

    def __init__(self) -> None:
        self.spec = {"pitch": 440}
        self.made: list[tuple[str, int]] = []

    def batches(self, jobs: Sequence[Job], seconds: float) -> list[list[Job]]:
        return plan_batches(jobs, lambda job: None, size=2)

    def make(self, batch: Sequence[Job], seconds: float) -> Iterator[Sample]:
        for job in batch:
            self.made.append((job.prompt.id, job.candidate))
            waveform = torch.full((1, round(seconds * self.sample_rate)), job.seed / 2**63)
            yield Sample(job, Clip(waveform, self.sample_rate), None)


def fill_in_subprocess(folder: Path, pool: Path, launcher: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    module = "tests.generators.filling"
    command = [sys.executable, *launcher, "-m", module, str(folder), str(pool)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole(mono_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a pool that one process made in one go."""
    folder = tmp_path_factory.mktemp("whole")
    assert fill(mono_folder, folder, ALONE) == 9
    return contents(folder)


def test_it_makes_what_is_missing_and_nothing_else(tmp_path: Path):
    generator, pool = Beeper(), Pool(tmp_path, create=True)
    assert fill_pool(generator, PROMPTS[:2], 2, 0.5, pool, 1, ALONE) == 4
    assert len(pool) == 4
    before = contents(tmp_path)

    generator.made.clear()
    assert fill_pool(generator, PROMPTS, 3, 0.5, pool, 1, ALONE) == 5
    assert sorted(generator.made) == [("folk", 0), ("folk", 1), ("folk", 2), ("jazz", 2), ("piano", 2)]
    assert len(pool) == 9
    after = contents(tmp_path)
    assert all(after[name] == data for name, data in before.items() if name != "metadata.jsonl")
    assert fill_pool(generator, PROMPTS, 3, 0.5, pool, 1, ALONE) == 0


def test_seconds_are_part_of_the_spec_and_an_integer_is_as_good(tmp_path: Path):
    generator, pool = Beeper(), Pool(tmp_path, create=True)
    fill_pool(generator, PROMPTS[:1], 1, 1, pool, 1, ALONE)
    assert pool.spec(pool.candidates[0]) == {"pitch": 440, "seconds": 1.0}
    assert fill_pool(generator, PROMPTS[:1], 1, 1.0, pool, 1, ALONE) == 0
    with pytest.raises(InputError, match=r"seconds was 1\.0, is 1\.5"):
        fill_pool(generator, PROMPTS[:1], 1, 1.5, pool, 1, ALONE)


@pytest.mark.parametrize(
    ("n", "seconds", "message"),
    [
        (0, 0.5, "--n must be at least 1"),
        (1, 0.0, "--seconds must be above 0"),
        (1, 5.1, "--seconds must be at most 5"),
    ],
)
def test_impossible_wishes_are_refused_and_leave_no_trace(
    tmp_path: Path, n: int, seconds: float, message: str
):
    with pytest.raises(InputError, match=message):
        fill_pool(Beeper(), PROMPTS, n, seconds, Pool(tmp_path / "pool", create=True), 1, ALONE)
    assert not (tmp_path / "pool").exists()


def test_a_prompt_with_what_the_generator_does_not_look_at_is_refused(tmp_path: Path):
    pool = Pool(tmp_path / "pool", create=True)
    write_clip(tmp_path / "r.flac", Clip(torch.zeros(1, 100), 8_000))
    wanted = {
        "has lyrics": Prompt("b", "rock", "na na"),
        "has a reference": Prompt("b", "rock", reference=tmp_path / "r.flac"),
    }
    for what, prompt in wanted.items():
        cure = "beeper does not look at: .*--ignore_unsupported true"
        made = (Beeper(), [Prompt("a", "pop"), prompt], 2, 0.5, pool, 1, ALONE)
        with pytest.raises(InputError, match=f"prompt 'b' {what}, which {cure}"):
            fill_pool(*made, ignore_unsupported=False)
        with pytest.raises(InputError, match=r"or leave (lyrics|reference) out of the prompts$"):
            fill_pool(*made)  # of a command that lacks the option
    assert not (tmp_path / "pool").exists()


def test_it_goes_on_without_when_told_so_and_says_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    prompts = [Prompt("a", "pop", "la la"), Prompt("b", "rock", "na na"), Prompt("c", "folk")]
    pool = Pool(tmp_path / "pool", create=True)
    assert fill_pool(Beeper(), prompts, 2, 0.5, pool, 1, ALONE, ignore_unsupported=True) == 6
    warning = "warning: beeper does not look at lyrics, which 2 prompts have"
    assert [line for line in capsys.readouterr().err.splitlines() if "warning" in line] == [warning]
    assert {candidate.lyrics for candidate in pool} == {"la la", "na na", ""}  # scorers still see them
    singer = Beeper()
    singer.accepts = frozenset({"text", "lyrics"})
    fill_pool(singer, prompts, 2, 0.5, Pool(tmp_path / "sung", create=True), 1, ALONE)
    assert "warning" not in capsys.readouterr().err


class Sequencer(Beeper):
    """Does something before the clip of a given number is made."""

    def __init__(self, number: int, what: Callable[[], object]) -> None:
        super().__init__()
        self.number = number
        self.what = what

    def make(self, batch: Sequence[Job], seconds: float) -> Iterator[Sample]:
        for sample in super().make(batch, seconds):
            if len(self.made) == self.number:
                self.what()
            yield sample


def test_the_generator_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened, write = threading.Event(), pool_writer.write_bytes

    def stuck(*arguments: Any) -> None:
        assert opened.wait(30)  # only the generator can open it, when it makes its last clip
        write(*arguments)

    monkeypatch.setattr(pool_writer, "write_bytes", stuck)
    pool = Pool(tmp_path, create=True)
    assert fill_pool(Sequencer(6, opened.set), PROMPTS, 2, 0.5, pool, 1, ALONE) == 6
    pool.verify()
    assert len(pool) == 6


def test_an_error_of_the_disk_ends_the_run_soon_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    generator, pool = Beeper(), Pool(tmp_path / "pool", create=True)
    fill_pool(Beeper(), PROMPTS, 20, 0.5, Pool(tmp_path / "whole", create=True), 1, ALONE)
    write = pool_writer.write_bytes

    def fail(path: Path, *rest: Any) -> None:
        if path.name == "00003.flac":
            raise InputError("cannot write")
        write(path, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(pool_writer, "write_bytes", fail)
        with pytest.raises(InputError, match="cannot write"):
            fill_pool(generator, PROMPTS, 20, 0.5, pool, 1, ALONE)
    assert len(generator.made) <= 4 + 17
    written = len(Pool(tmp_path / "pool"))
    assert 3 <= written < len(generator.made)
    assert fill_pool(Beeper(), PROMPTS, 20, 0.5, pool, 1, ALONE) == 60 - written
    assert contents(tmp_path / "pool") == contents(tmp_path / "whole")


@pytest.mark.parametrize("number", [1, 4, 5])
def test_ctrl_c_keeps_what_was_made_and_the_next_run_makes_the_rest(tmp_path: Path, number: int):
    def interrupt() -> None:
        raise KeyboardInterrupt

    pool = Pool(tmp_path, create=True)
    with pytest.raises(KeyboardInterrupt):
        fill_pool(Sequencer(number, interrupt), PROMPTS, 2, 0.5, pool, 1, ALONE)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["metadata.jsonl"] * (number > 1)
    assert fill_pool(Beeper(), PROMPTS, 2, 0.5, pool, 1, ALONE) == 6 - (number - 1)
    assert len(pool) == 6


def test_progress_counts_what_was_there_and_tells_rate_and_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(candidates, "_QUIET", 0.0)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr(progress, "_QUIET", 0.0)
    pool = Pool(tmp_path, create=True)
    fill_pool(Beeper(), PROMPTS[:1], 2, 0.5, pool, 1, ALONE)
    capsys.readouterr()
    fill_pool(Sequencer(3, lambda: time.sleep(0.3)), PROMPTS, 2, 0.5, pool, 1, ALONE)
    shown = capsys.readouterr().err
    # two were there, two are made at once, the next takes long enough to be shown
    assert re.search(r"beeper: +83%.* 5/6 \[00:00<00:\d\d, +[\d.]+ ?(clip/s|s/clip)\]", shown), shown
    assert "6/6" in shown


@pytest.mark.slow
def test_two_processes_make_the_pool_of_one(mono_folder: Path, tmp_path: Path, whole: dict[str, bytes]):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = fill_in_subprocess(mono_folder, tmp_path, launcher=launcher)
    assert done.returncode == 0, done.stderr
    made = re.findall(r"rank \d made (\d)", done.stdout)
    assert len(made) == 2
    assert sum(map(int, made)) == 9
    assert contents(tmp_path) == whole
