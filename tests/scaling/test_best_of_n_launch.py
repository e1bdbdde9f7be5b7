"""The main job as users start it: by accelerate, in two processes by torchrun or by us, and with a mistake."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.best_of_n import BestOfN, main
from tests.scaling.finished_run import finished

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scaling" / "best_of_n.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--", SCRIPT]
OURS = ["-m", "music.console", "--num_processes", "2", "best-of-n"]
#: a reward with which the second process does not get on
TROUBLE = """
import os, signal, sys, time
from pathlib import Path
from tests.scaling.loudness_scorer import LoudnessScorer

rank, folder = os.environ.get("RANK"), Path(__file__).parent
if rank == "1" and (folder / "refuse").exists():
    raise ValueError("there is nothing to hear")

class Loudness(LoudnessScorer):
    def score(self, requests):
        if rank == "1" and (folder / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / "wait").exists():
            (folder / f"waits {rank}").touch()
            time.sleep(60)
        return super().score(requests)
"""


def starting(words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *map(str, words)], env=environment, text=True, **options)


def start(*words):
    with starting(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


@pytest.fixture
def options(small_run):
    given = {name: value for name, value in vars(small_run).items() if value != getattr(BestOfN(), name)}
    return [f"--{name}={value}" for name, value in given.items()]


@pytest.fixture(scope="module")
def alone(small_run, tmp_path_factory):
    """Return what one process leaves."""
    config = replace(small_run, output=tmp_path_factory.mktemp("alone"))
    main(config)
    return finished(config.output)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, OURS], ids=["torchrun", "ours"])
def test_two_processes_give_what_one_gives(tmp_path, options, alone, launcher):
    done = start(*launcher, *options, "--output", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1  # only the main process speaks
    assert finished(tmp_path / "two") == alone


def test_accelerate_launch(tmp_path, options, alone):
    done = start("-m", "accelerate.commands.launch", SCRIPT, *options, "--output", tmp_path / "launched")
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path / 'launched' / 'report.html'}" in done.stdout
    assert finished(tmp_path / "launched") == alone


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, options):
    done = start(SCRIPT, *options, "--generator", "no-such-model", "--output", tmp_path / "run")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "no-such-model" in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.fixture
def trouble(tmp_path, options):
    """Return the options of a run in two processes with a reward that makes trouble where a file asks for it."""
    (tmp_path / "trouble.py").write_text(TROUBLE)
    reward = ["--reward", tmp_path / "trouble.py:Loudness", "--output", tmp_path / "two"]
    return [*OURS, *options, *reward]


def test_what_one_process_refuses_is_the_last_line(tmp_path, trouble):
    (tmp_path / "refuse").touch()
    done = start(*trouble)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert errors == done.stderr.splitlines()[-1:]
    assert "cannot be imported" in errors[0]
    assert "there is nothing to hear" in errors[0]
    assert "process 1" not in errors[0]  # the line is its own


def test_a_killed_process_ends_the_run(tmp_path, trouble):
    (tmp_path / "die").touch()
    done = start(*trouble)
    assert done.returncode == 137
    assert done.stderr.splitlines()[-1].startswith("error: process 1 was ended by SIGKILL")


def test_ctrl_c_ends_both_processes_and_the_same_command_goes_on(tmp_path, trouble, alone):
    (tmp_path / "wait").touch()
    with starting(trouble, stderr=subprocess.PIPE) as process:
        while not (tmp_path / "waits 0").exists() or not (tmp_path / "waits 1").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted: what is finished stays, and the same command")
    assert errors.count("interrupted") == 1
    (tmp_path / "wait").unlink()
    assert start(*trouble).returncode == 0
    assert finished(tmp_path / "two")[0] == alone[0]
