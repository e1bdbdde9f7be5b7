"""Searches as users start them: in two processes, also killed, by accelerate, and with a mistake."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaling.search import Search, main
from tests.scaling.finished_run import finished

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "scaling" / "search.py")
TWO = ["-m", "music.console", "--num_processes", "2", "search"]


def starting(words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *map(str, words)], env=environment, text=True, **options)


def start(*words):
    with starting(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


@pytest.fixture(scope="module")
def given(small_run):
    """Return the options of a search that takes seconds."""
    names = ("generator", "reward", "prompts", "ignore_unsupported", "batch_size", "device")
    return {**{name: getattr(small_run, name) for name in names}, "seconds": 0.6, "n": 6, "at_once": 1}


@pytest.fixture(scope="module", params=["prune", "stop"])
def alone(request, given, tmp_path_factory):
    """Return a method, and what one process leaves that was never stopped."""
    folder = tmp_path_factory.mktemp("alone")
    main(Search(method=request.param, output=folder, **given))
    return request.param, finished(folder)


def words(given, method, folder):
    return [*(f"--{name}={value}" for name, value in given.items()), "--method", method, "--output", folder]


def test_two_processes_give_what_one_gives_also_when_they_are_killed(tmp_path, given, alone):
    method, expected = alone
    folder = tmp_path / "two"
    with starting([*TWO, *words(given, method, folder)], stderr=subprocess.PIPE) as process:
        while not list(folder.glob("pool/audio/*/*.flac")):  # in the middle of it
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode in (0, 143)  # 0 if it was done by then
    done = start(*TWO, *words(given, method, folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report:") == 1  # only the main process speaks
    assert finished(folder) == expected


def test_accelerate_launch_and_a_mistake(tmp_path, given, alone):
    method, expected = alone
    options = words(given, method, tmp_path / "launched")
    done = start("-m", "accelerate.commands.launch", SCRIPT, *options)
    assert done.returncode == 0, done.stderr
    assert finished(tmp_path / "launched") == expected
    done = start(SCRIPT, *options, "--method", "random")
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert f"method was '{method}', is 'random'" in errors[0]
    assert finished(tmp_path / "launched") == expected
