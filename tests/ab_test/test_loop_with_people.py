"""A round of `rlhf.loop` as people go through it: the commands that it prints, the page in a browser, and learning."""

import json
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from experiments.ab_test.study import load_study
from tests.ab_test.browser import BrowserRater
from tests.ab_test.running_server import command
from tests.web_pages import assert_balanced, assert_loads_nothing

LOOP = """--prompts lab-train --limit 4 --n 3 --seconds 1 --rounds 1 --budget 6 --validation 0.5 --steps 2
    --batch_size 4 --device cpu --raters studies/lab --output out"""
#: what the printed commands are given beside, so that two people share the pairs and take seconds; who clicks as fast
#: as a script is otherwise left out
SHORT = {
    "build": "--trials_per_rater 3 --raters 2 --catches 1 --identicals 0 --repeats 1 --minimum_listening 0.2 "
    "--reading_seconds 0",
    "serve": "--port 0",
    "export": "--screening.seconds 0",
}
OTHER = {"a": "b", "b": "a"}


def started(place: Path, *words: str) -> dict:
    """Return what `subprocess` is told to start a command in the folder of the person who types it."""
    return command() | {"args": [sys.executable, "-m", *words], "cwd": place}


def loop(place: Path) -> str:
    """Run the loop and return what it prints."""
    done = subprocess.run(**started(place, "rlhf.loop", *LOOP.split()), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(told: str) -> dict[str, list[str]]:
    """Return the commands of listening tests that the loop has printed, with what makes them short, by what they do."""
    lines = [shlex.split(line) for line in told.splitlines() if line.startswith("  python ")]
    found = {}
    for python, module, package, what, *rest in lines:
        assert (python, module, package) == ("python", "-m", "experiments.ab_test")
        name = rest[rest.index("--to") + 1] if what == "export" else what
        found[name] = [package, what, *rest, *SHORT[what].split()]
    return found


def follow(place: Path, words: list[str]) -> None:
    done = subprocess.run(**started(place, *words), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def serving(place: Path, words: list[str]):
    """Yield the address that raters are given, while it is served."""
    server = subprocess.Popen(**started(place, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield next(found[0] for line in server.stdout if (found := re.search(r"http://\S+/s/\w+/", line)))
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=20)


def brightness(source) -> float:
    """Return the mean frequency of a sound, Hz; how loud it is does not count."""
    wave, rate = soundfile.read(source, dtype="float64", always_2d=True)
    spectrum = np.abs(np.fft.rfft(wave.mean(axis=1))) ** 2
    return float(spectrum @ np.fft.rfftfreq(len(wave), 1 / rate) / spectrum.sum())


def rate_all(browser, address: str, dull: bool) -> tuple[str, list[tuple[str, str, str]]]:
    """Answer every turn in the page: the duller clip, or the brighter one, is the better music, the other fits better.

    Returns
    -------
    tuple
        The code at the end; and of each turn its trial, the file that was clicked as the better music, and the other.
    """
    rater, clicked = BrowserRater(browser, address), []
    rater.agree()
    rater.check_sound()
    rater.practise()
    total = rater.page.evaluate("backend.me()")["total"]
    for number in range(1, total + 1):
        rater.is_at(number, total)
        turn = rater.page.evaluate("backend.me()")["turn"]
        files = {name: turn[name]["file"] for name in "ab"}
        heard = {
            name: brightness(BytesIO(httpx.get(f"{address}audio/{files[name]}").content)) for name in "ab"
        }
        better, other = sorted("ab", key=heard.__getitem__, reverse=not dull)
        rater.unlock()
        rater.listen_by_mouse()
        rater.answer(alignment=(other, 2), musicality=(better, 5))
        clicked.append((turn["trial"], files[better], files[other]))
    code = rater.page.locator("[data-code]")
    rater.expect(code).not_to_be_empty()
    assert rater.troubles == []
    found = code.text_content(), clicked
    rater.context.close()
    return found


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_round_is_answered_by_people_and_learned(browser, tmp_path):
    told = loop(tmp_path)
    commands = printed(told)
    assert list(commands) == ["build", "serve", "answers", "preferences"]
    report = tmp_path / "out" / "report.html"
    assert "No round is done" in report.read_text()
    follow(tmp_path, commands["build"])
    asked = contents(tmp_path / "studies")
    assert loop(tmp_path) == told  # who is impatient harms nothing
    assert contents(tmp_path / "studies") == asked
    with serving(tmp_path, commands["serve"]) as address:
        # two share the pairs; a third, who gets those of the first again, takes noise for the better music
        people = [rate_all(browser, address, dull) for dull in (True, True, False)]
    follow(tmp_path, commands["answers"])
    follow(tmp_path, commands["preferences"])
    assert loop(tmp_path).splitlines()[-1] == "out/reward is the last reward"

    place = tmp_path / "out" / "rounds" / "0"
    _, key = load_study(tmp_path / "studies" / "lab" / "round-0" / "study")
    clicked: list[tuple[str, Path, Path]] = []
    for code, turns in people[:2]:
        first = {one[0]: one[1:] for one in turns[::-1] if key.trials[one[0]].kind == "pair"}
        assert len(first) == len(turns) - 2  # one pair was heard twice, in one a clip was spoilt
        for files in first.values():
            better, other = ((tmp_path / key.clips[name].source).resolve() for name in files)
            clicked.append((code, better, other))
    learned = []
    rows = rows_of(place / "answers.jsonl")
    for row in rows:
        name = row["preference_musicality"]
        better, other = ((place / row[f"audio_{one}"]).resolve() for one in (name, OTHER[name]))
        assert brightness(better) < brightness(other)  # of the clips as the generator made them
        assert row["preference_alignment"] == OTHER[name]
        assert (row["confidence_musicality"], row["confidence_alignment"]) == (5.0, 2.0)
        learned.append((row["facts"]["rater"][:8].upper(), better, other))
    assert len(learned) == 6
    assert sorted(learned) == sorted(clicked)

    train, held = rows_of(place / "train.jsonl"), rows_of(place / "validation.jsonl")
    assert {row["facts"]["question"] for row in train + held} == {row["facts"]["question"] for row in rows}
    assert not any(row["facts"]["held_out"] for row in train)
    log = rows_of(tmp_path / "out" / "log.jsonl")
    assert log[1]["answers"] == 6
    for moment in ("before", "after"):
        for head in ("musicality", "alignment"):
            assert log[1][moment][head]["pairs"] == len(held) > 0
    page = report.read_text()
    for text in ("6 answers about lab-musicgen", '<th scope="col">round 0</th>', "studies/lab"):
        assert text in page
    assert_balanced(page)
    assert_loads_nothing(page)
    kept = contents(tmp_path / "out" / "reward")
    loop(tmp_path)  # again: what is learned is learned
    assert contents(tmp_path / "out" / "reward") == kept
