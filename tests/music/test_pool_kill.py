"""kill -9 at any moment, run again: the same bytes as a run that was never killed.

The children are forked, so that they start at once; they run the same code as the command.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.music import fill_with_noise
from tests.music.folder_state import contents

PROMPTS, N = 2, 3
SCRIPT = Path(fill_with_noise.__file__)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the files of a run that was never killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert fill_with_noise.fill(folder, PROMPTS, N) == PROMPTS * N
    return contents(folder)


def in_child(action, pause=None):
    """Run in a forked child, kill it after `pause` seconds; return whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    if pause is not None:
        time.sleep(pause)
        os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def die_at(moment):
    """Make this process kill itself before its `moment`-th durable step."""
    count = 0

    def counted(step):
        def wrapped(*arguments):
            nonlocal count
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments)

        return wrapped

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


def only_whole_files_count(folder, whole):
    for name, data in contents(folder).items():
        if not Path(name).name.startswith((".tmp-", "metadata")):
            assert data == whole[name], f"{name} is not whole"


def test_killed_before_every_single_step(tmp_path, whole):
    moment, killed = 0, True
    while killed:
        moment += 1
        folder = tmp_path / str(moment)

        def run(folder=folder, moment=moment):
            die_at(moment)
            fill_with_noise.fill(folder, PROMPTS, N)

        killed = in_child(run)
        if folder.exists():
            only_whole_files_count(folder, whole)
        fill_with_noise.fill(folder, PROMPTS, N)
        assert contents(folder) == whole
    assert moment > PROMPTS * N * 7  # tokens 3, audio 3, row 1


def test_killed_again_and_again_at_random_moments(tmp_path, whole):
    moments = random.Random(0)
    kills = attempt = 0
    while kills < 12 or attempt % 8:  # on a busy machine most children end before they are killed
        pause = moments.uniform(0.001, 0.05)
        kills += in_child(lambda: fill_with_noise.fill(tmp_path / "pool", PROMPTS, N, pause=0.02), pause)
        if (tmp_path / "pool").exists():
            only_whole_files_count(tmp_path / "pool", whole)
        attempt += 1
        if attempt % 8 == 0:
            fill_with_noise.fill(tmp_path / "pool", PROMPTS, N)
            assert contents(tmp_path / "pool") == whole
            for file in (tmp_path / "pool").rglob("*.*"):
                if moments.random() < 0.5 and file.suffix == ".jsonl":
                    file.unlink()  # start over, with audio lying around


def test_a_real_process_killed_half_way(tmp_path, whole):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "pool"), str(PROMPTS), str(N), "--pause", "0.3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.rglob("00001.flac")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    made = len(list(tmp_path.rglob("*.flac")))
    assert 0 < made < PROMPTS * N
    again = subprocess.run(command[:-2], check=True, capture_output=True, text=True)
    assert int(again.stdout.split()[2]) in (PROMPTS * N - made, PROMPTS * N - made + 1)
    assert contents(tmp_path / "pool") == whole
