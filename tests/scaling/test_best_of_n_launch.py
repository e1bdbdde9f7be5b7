"""The main job as users start it: by accelerate, by torchrun with two processes, and with a mistake."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.best_of_n import BestOfN, main
from tests.scaling.finished_run import finished

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scaling" / "best_of_n.py")


def start(launcher, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, SCRIPT, *map(str, options)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


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
def test_two_processes_give_what_one_gives(tmp_path, options, alone):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    done = start(launcher, *options, "--output", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1  # only the main process speaks
    assert finished(tmp_path / "two") == alone


def test_accelerate_launch(tmp_path, options, alone):
    launcher = ["-m", "accelerate.commands.launch"]
    done = start(launcher, *options, "--output", tmp_path / "launched")
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path / 'launched' / 'report.html'}" in done.stdout
    assert finished(tmp_path / "launched") == alone


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, options):
    done = start([], *options, "--generator", "no-such-model", "--output", tmp_path / "run")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "no-such-model" in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "summary.json").exists()
