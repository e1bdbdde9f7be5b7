"""Two processes by torchrun: two shards while they work, and in the end the pool that one process makes."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from music.errors import InputError
from tests.music import fill_with_noise
from tests.music.folder_state import contents
from tests.music.together import free_port

SCRIPT = Path(fill_with_noise.__file__)


def launch(folder, prompts, n, *options, launcher=("--standalone",)):
    command = [sys.executable, "-m", "torch.distributed.run", *launcher, "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, str(SCRIPT), str(folder), str(prompts), str(n), *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def made_by(output):
    """Return how many clips rank 0 and rank 1 have made."""
    found = {rank: int(made) for made, rank in re.findall(r"made (\d+) by rank (\d)", output)}
    return [found["0"], found["1"]]


def test_two_processes_write_two_shards_and_the_pool_of_one(tmp_path):
    seen = set()
    fill_with_noise.fill(tmp_path / "two", 1, 2)  # there is something to reuse
    with launch(tmp_path / "two", 3, 3, "--pause", "0.2") as process:
        while process.poll() is None:
            seen |= {file.name for file in (tmp_path / "two").glob("metadata-*.jsonl")}
            time.sleep(0.02)
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    made = made_by(output)
    assert made[0] + made[1] == 7  # of nine, two were there
    assert min(made) >= 2
    assert seen == {"metadata-00000.jsonl", "metadata-00001.jsonl"}
    fill_with_noise.fill(tmp_path / "one", 3, 3)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_slow_process_is_not_waited_for(tmp_path):
    with launch(tmp_path / "two", 3, 3, "--pause", "0.1", "--slow", "1") as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    fast, slow = made_by(output)
    assert fast + slow == 9
    assert 1 <= slow < fast
    fill_with_noise.fill(tmp_path / "one", 3, 3)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_torchrun_starts_a_run_again_whose_process_died(tmp_path):
    # of static rendezvous, whose store outlives the attempt
    launcher = ("--max-restarts", "1", "--master-port", str(free_port()))
    with launch(tmp_path / "two", 4, 5, "--pause", "0.05", "--dies", "1", launcher=launcher) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert 0 < sum(made_by(output)) < 20  # the first attempt made the rest
    fill_with_noise.fill(tmp_path / "one", 4, 5)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_a_killed_run_of_two_is_finished_by_one(tmp_path):
    with launch(tmp_path / "two", 3, 3, "--pause", "0.3") as process:
        while len(list((tmp_path / "two").glob("audio/*/*.flac"))) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    done = False
    while not done:  # the workers outlive their killed launcher for a moment; a pool in use says so
        try:
            fill_with_noise.fill(tmp_path / "two", 3, 3)
            done = True
        except InputError as error:
            if "another process is writing" not in str(error):
                raise
            time.sleep(0.1)
    fill_with_noise.fill(tmp_path / "one", 3, 3)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
