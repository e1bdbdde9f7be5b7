"""From build to report: a rater in a browser, then many over HTTP whose preference the report finds again."""

import csv
import json
import math
import os
import subprocess
import sys

import pytest

from experiments.ab_test.study import BLINDED, load_study
from tests.ab_test.browser import BrowserRater, chromium
from tests.ab_test.running_server import ROOT, RunningServer
from tests.ab_test.simulated_answers import ONE, THREE, TWO

TRUTH = {ONE: 1.5, TWO: 0.5, THREE: -0.5}


def run(*command):
    """Run a command as a user does and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments.ab_test", *map(str, command)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def rate_in_browser(browser, address, total):
    """Answer every turn, one by mouse and the next by keys, with a reload in the middle of the third."""
    rater = BrowserRater(browser, address)
    rater.agree()
    rater.check_sound()
    rater.practise()
    for number in range(1, total + 1):
        rater.is_at(number, total)
        rater.unlock()
        if number % 2:
            rater.listen_by_mouse()
            if number == 3:
                rater.page.reload()
                rater.is_at(3, total)
            rater.choose("alignment", "a", 2)
            rater.choose("musicality", "b", 5)
            rater.go_on()
        else:
            rater.listen_by_keys()
            for key in "z2c5":
                rater.page.keyboard.press(key)
            rater.page.keyboard.press("Enter")
    rater.expect(rater.page.locator("[data-code]")).not_to_be_empty()
    assert rater.troubles == []


@pytest.mark.slow
def test_from_build_to_report(short_study, tmp_path):
    assert run("check", short_study).startswith("0 findings")
    study, _ = load_study(short_study)
    database = f"sqlite:///{tmp_path / 'answers.sqlite'}"
    server = RunningServer(short_study / BLINDED, database=database)
    try:
        with chromium() as browser:
            rate_in_browser(browser, f"{server.address}/s/{study.id}/", len(study.schedules[0]))
        strengths = ",".join(f"{name}={value}" for name, value in TRUTH.items())
        told = run("simulate", short_study, "--address", server.address, "--raters", "47", "--strengths", strengths,
                   "--careless", "0.1", "--seed", "3")  # fmt: skip
        assert "47 raters at once" in told
        counts = json.loads(run("export", short_study, "--database", database, "--output", tmp_path))
        assert counts[str(tmp_path / "answers.jsonl")] == 48 * 8
        assert counts[str(tmp_path / "raters.jsonl")] == 48
    finally:
        server.stop()
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    in_browser = [row for row in rows if row["events"]]
    assert [row["alignment"] for row in in_browser] == [{"choice": "a", "confidence": 2}] * 8
    assert [row["musicality"] for row in in_browser] == [{"choice": "b", "confidence": 5}] * 8

    run("analyze", short_study, "--answers", tmp_path / "answers.jsonl", "--output", tmp_path / "out",
        "--screening.seconds", "0", "--screening.catch", "1")  # fmt: skip
    left_out = [row for row in csv.DictReader((tmp_path / "out" / "raters.csv").open()) if row["reasons"]]
    assert 1 <= len(left_out) <= 6  # of five who toss a coin, and the one who always says B
    for line in csv.DictReader((tmp_path / "out" / "wins.csv").open()):
        truth = 1 / (1 + math.exp(TRUTH[line["second"]] - TRUTH[line["first"]]))
        low, high = (float(line[name]) for name in ("rater_low", "rater_high"))
        assert low - 0.05 < truth < high + 0.05
        assert float(line["rate"]) > 0.5
    found = {head: [row for row in csv.DictReader((tmp_path / "out" / "strengths.csv").open()) if row["head"] == head]
             for head in ("alignment", "musicality")}  # fmt: skip
    for lines in found.values():
        order = sorted(lines, key=lambda line: -float(line["strength"]))
        assert [line["system"] for line in order] == [ONE, TWO, THREE]
        inside = [float(line["low"]) <= TRUTH[line["system"]] - 0.5 <= float(line["high"]) for line in lines]
        assert sum(inside) >= 2
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 375, "height": 800})
        page.goto((tmp_path / "out" / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
