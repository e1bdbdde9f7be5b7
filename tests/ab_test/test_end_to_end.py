"""From build to report: a rater in a browser, then many over HTTP whose preference the report finds again."""

import csv
import json
import math
import subprocess
from contextlib import redirect_stdout
from io import StringIO

import pytest

from experiments.ab_test.__main__ import main
from experiments.ab_test.study import BLINDED, HEADS, load_study
from tests.ab_test.browser import BrowserRater
from tests.ab_test.running_server import RunningServer, command
from tests.ab_test.simulated_answers import ONE, THREE, TWO

TRUTH = {ONE: 1.5, TWO: 0.5, THREE: -0.5}


def run(*command):
    """Run a command as a user does, but in this process, and return what it prints."""
    with redirect_stdout(StringIO()) as told, pytest.raises(SystemExit) as ended:
        main([*map(str, command)])
    assert ended.value.code == 0
    return told.getvalue()


def near(truth, low, high):
    """Whether a truth lies in an interval or close to it: chance decides who is asked what."""
    return low - (high - low) / 2 < truth < high + (high - low) / 2


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
            rater.answer(("a", 2), ("b", 5))
        else:
            rater.listen_by_keys()
            for key in "z2c5":
                rater.page.keyboard.press(key)
            rater.page.keyboard.press("Enter")
    rater.expect(rater.page.locator("[data-code]")).not_to_be_empty()
    assert rater.troubles == []


@pytest.mark.slow
def test_from_build_to_report(browser, short_study, tmp_path):
    assert run("check", short_study).startswith("0 findings")
    study, _ = load_study(short_study)
    total = len(study.schedules[0])
    database = f"sqlite:///{tmp_path / 'answers.sqlite'}"
    server = RunningServer(short_study / BLINDED, database=database)
    try:
        rate_in_browser(browser, f"{server.address}/s/{study.id}/", total)
        strengths = ",".join(f"{name}={value}" for name, value in TRUTH.items())
        simulate = command("simulate", short_study, "--address", server.address, "--raters", 47, "--strengths",
                           strengths, "--careless", 0.1, "--seed", 3)  # fmt: skip
        told = subprocess.run(**simulate, stdout=subprocess.PIPE, check=True).stdout
        assert "47 raters at once" in told
        counts = json.loads(run("export", short_study, "--database", database, "--output", tmp_path))
        assert counts[str(tmp_path / "answers.jsonl")] == 48 * total
        assert counts[str(tmp_path / "raters.jsonl")] == 48
    finally:
        server.stop()
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    in_browser = [row for row in rows if row["events"]]
    assert [row["alignment"] for row in in_browser] == [{"choice": "a", "confidence": 2}] * total
    assert [row["musicality"] for row in in_browser] == [{"choice": "b", "confidence": 5}] * total

    run("analyze", short_study, "--answers", tmp_path / "answers.jsonl", "--output", tmp_path / "out",
        "--screening.seconds", "0", "--screening.catch", "1", "--screening.headphones", "3")  # fmt: skip
    left_out = [row for row in csv.DictReader((tmp_path / "out" / "raters.csv").open()) if row["reasons"]]
    # five toss a coin, one guesses where the tone is, and now and then somebody misses a spoilt clip
    assert 3 <= len(left_out) <= 9
    for line in csv.DictReader((tmp_path / "out" / "wins.csv").open()):
        truth = 1 / (1 + math.exp(TRUTH[line["second"]] - TRUTH[line["first"]]))
        votes = sum(int(line[name]) for name in ("wins", "ties", "losses"))
        assert abs(float(line["rate"]) - truth) < 4 * math.sqrt(truth * (1 - truth) / votes)
        assert float(line["rater_low"]) <= float(line["rate"]) <= float(line["rater_high"])
    found = list(csv.DictReader((tmp_path / "out" / "strengths.csv").open()))
    for head in HEADS:
        lines = [line for line in found if line["head"] == head]
        for line in lines:
            assert near(TRUTH[line["system"]] - 0.5, float(line["low"]), float(line["high"]))
        order = sorted(lines, key=lambda line: -float(line["strength"]))
        assert [line["system"] for line in order] == [ONE, TWO, THREE]
    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.goto((tmp_path / "out" / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
