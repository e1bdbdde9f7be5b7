"""Ctrl-C and SIGTERM: one line; a training ends its step, and all processes of it after the same."""

import contextlib
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
@pytest.mark.parametrize("last", [3, 8])
def test_a_training_ends_after_its_step(number, last):
    taken = []

    def train():
        with StopAfterStep(Processes({})) as stop:
            for step in range(1, last + 1):
                if step == 3:
                    signal.raise_signal(number)
                taken.append(step)
                if stop.after(step) and step < last:
                    raise stop.stopped(step, last)

    with pytest.raises(Stopped) as caught:
        train()
    assert taken == [1, 2, 3]
    state = "the state after step 3 of 8 is saved, and the same command goes on from there"
    assert caught.value.number == number
    assert caught.value.state == (state if last == 8 else "")


def test_a_second_ctrl_c_ends_a_training_at_once(monkeypatch):
    went_on = []

    def train():
        with StopAfterStep(Processes({})) as stop:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # torchrun hands on what has reached its workers already
            went_on.append("first")
            monkeypatch.setattr(time, "monotonic", lambda: stop._since + 60)
            signal.raise_signal(signal.SIGINT)
            went_on.append("second")

    with pytest.raises(Stopped):
        train()
    assert went_on == ["first"]


@pytest.mark.parametrize("asking", [0, 1])
def test_all_processes_end_after_the_same_step(asking):
    last, steps = [], threading.Barrier(2)  # what gradients are to a real one

    def work(processes):
        with contextlib.suppress(Stopped), StopAfterStep(processes) as stop:
            for step in range(1, 30):
                steps.wait()
                if processes.rank == asking and step == 5:
                    stop._ask(signal.SIGTERM, None)
                if stop.after(step):
                    last.append(step)
                    break

    together(2, work)
    assert last == [6, 6]
