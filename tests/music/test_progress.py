"""Progress in a log file: whole lines, now and then."""

import re
import sys

import pytest
from tqdm import tqdm

from music import progress as module
from music.progress import progress


@pytest.fixture
def every(monkeypatch):
    """Return what sets how long there is between lines, and how long work takes that has any, in s."""

    def set_times(between, least):
        monkeypatch.setattr(module, "_EVERY", between)
        monkeypatch.setattr(module, "_QUIET", least)

    return set_times


def test_each_line_stands_alone(capsys, every):
    every(0.0, 0.0)
    for number in progress(range(3), "songs", unit="song"):
        if number == 1:
            tqdm.write("note", file=sys.stderr)
    lines = capsys.readouterr().err.splitlines()
    assert "\r" not in "".join(lines)
    assert "note" in lines
    told = [line for line in lines if line != "note"]
    assert all(re.fullmatch(r"songs: +\d+% \d/3 \[00:00<.*\]", line) for line in told)
    assert told[-1].startswith("songs: 100% 3/3")


def test_between_lines_there_is_time_and_the_last_says_how_far_it_came(capsys, every):
    every(1000.0, 0.0)
    with progress(total=5, desc="work") as bar:
        for _ in range(4):
            bar.update()
            bar.set_postfix(loss=1)
    assert re.fullmatch(r"work: +80% 4/5 .*loss=1\]\n", capsys.readouterr().err)


def test_short_work_and_other_processes_say_nothing(capsys, every):
    assert list(progress(range(3), "songs")) == [0, 1, 2]
    every(0.0, 0.0)
    assert list(progress(range(3), "songs", disable=True)) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(total=1, disable=True) as bar:
        assert type(bar) is tqdm
