"""Ctrl-C and SIGTERM: one line; a training ends its step, and all processes of it after the same."""

import signal
import threading
import time
from dataclasses import dataclass

import pytest

from music.command import run
from music.interruption import StopAfterStep, Stopped
from music.processes import Processes
from tests.music.together import together


@dataclass(frozen=True)
class Config:
    """Do something.

    Attributes
    ----------
    output
        Folder.
    """

    output: str = ""


@dataclass(frozen=True)
class Server:
    """Serve something."""


@pytest.mark.parametrize(
    ("number", "config", "code", "line"),
    [
        (signal.SIGINT, Config, 130, "interrupted: what is finished stays, and the same command goes on"),
        (
            signal.SIGTERM,
            Config,
            143,
            "stopped by SIGTERM: what is finished stays, and the same command goes on",
        ),
        (signal.SIGINT, Server, 130, "interrupted\n"),
    ],
)
def test_a_signal_ends_a_command_with_one_line(capsys, number, config, code, line):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop:
        run(lambda _: signal.raise_signal(number), config, [])
    told = capsys.readouterr().err
    assert stop.value.code == code
    assert told.startswith(line)
    assert told.count("\n") == 1
    assert signal.getsignal(number) is before


def test_the_same_signal_again_does_not_disturb_what_puts_things_in_order(capsys):
    finished = []

    def main(_):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            finished.append(True)

    with pytest.raises(SystemExit):
        run(main, Config, [])
    assert finished


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_ends_after_its_step(number):
    taken = []
    with StopAfterStep(Processes({})) as stop:
        for step in range(1, 9):
            if step == 3:
                signal.raise_signal(number)
            taken.append(step)
            if stop.after(step):
                break
    assert taken == [1, 2, 3]
    told = str(stop.stopped(3, 8))
    assert "the state after step 3 of 8 is saved, and the same command goes on from there" in told


def test_a_second_ctrl_c_ends_a_training_at_once(monkeypatch):
    with StopAfterStep(Processes({})) as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # torchrun hands on what has reached its workers already
        monkeypatch.setattr(time, "monotonic", lambda: stop._since + 60)
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("asking", [0, 1])
def test_all_processes_end_after_the_same_step(asking):
    steps = threading.Barrier(2)  # what gradients are to a real one

    def work(processes):
        with StopAfterStep(processes) as stop:
            for step in range(1, 30):
                steps.wait()
                if processes.rank == asking and step == 5:
                    stop._ask(signal.SIGTERM, None)
                if stop.after(step):
                    return step

    assert together(2, work) == [6, 6]
