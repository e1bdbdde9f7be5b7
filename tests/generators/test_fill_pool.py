"""Filling pools: only what is missing, the same bytes from several processes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from generators import fill_pool
from generators.protocol import Job, Sample
from music.clips import Clip, write_clip
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS
from tests.generators.filling import fill

ALONE = Processes({})
ROOT = Path(__file__).parents[2]


class Beeper:
    """A generator without a model: the audio is a constant made of the seed."""

    name = "beeper"
    sample_rate = 8_000
    channels = 1
    max_seconds = 5.0
    accepts = frozenset({"text"})

    def __init__(self) -> None:
        self.spec = {"pitch": 440}
        self.made: list[tuple[str, int]] = []

    def generate(self, jobs: Sequence[Job], seconds: float) -> Iterator[Sample]:
        for job in jobs:
            self.made.append((job.prompt.id, job.candidate))
            waveform = torch.full((1, round(seconds * self.sample_rate)), job.seed / 2**63)
            yield Sample(job, Clip(waveform, self.sample_rate), None)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


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
        with pytest.raises(InputError, match=f"prompt 'b' {what}, which {cure}"):
            fill_pool(Beeper(), [Prompt("a", "pop"), prompt], 2, 0.5, pool, 1, ALONE)
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


@pytest.mark.slow
def test_two_processes_make_the_pool_of_one(mono_folder: Path, tmp_path: Path, whole: dict[str, bytes]):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = fill_in_subprocess(mono_folder, tmp_path, launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert sorted(re.findall(r"rank \d made \d", done.stdout)) == ["rank 0 made 5", "rank 1 made 4"]
    assert contents(tmp_path) == whole
