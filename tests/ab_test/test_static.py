"""The page without a server, opened as a file: the same study, and answers that the analysis reads."""

import json
import re

import pytest

from experiments.ab_test.analysis import analyze
from experiments.ab_test.analysis.screening import Limits
from experiments.ab_test.analysis.votes import read_rows
from experiments.ab_test.building.check import leaks_in_texts, secrets_of_key
from experiments.ab_test.serving import static
from experiments.ab_test.serving.static import Static
from experiments.ab_test.study import BLINDED, load_study
from music.errors import InputError
from tests.ab_test.browser import WAIT, BrowserRater


@pytest.fixture(scope="module")
def page(short_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("static") / "page"
    static.main(Static(short_study / BLINDED, folder))
    return folder


@pytest.mark.slow
def test_a_rater_downloads_answers_that_are_analysed(browser, short_study, page, tmp_path):
    study, _ = load_study(short_study)
    total = len(study.schedules[2])
    rater = BrowserRater(browser, f"{(page / 'index.html').as_uri()}?place=2", origin="file://")
    rater.agree()
    rater.check_sound([trial.right for trial in study.headphones])
    rater.practise()
    for number in range(1, total + 1):
        rater.is_at(number, total)
        if number == 2:
            rater.page.reload()
            rater.is_at(2, total)
        rater.unlock()
        rater.listen_by_mouse()
        rater.answer(("b", 2), ("tie", 4))
    rater.expect(rater.page.locator("[data-code]")).to_have_text(re.compile("^[0-9A-F]{8}$"), timeout=WAIT)
    code = rater.page.locator("[data-code]").text_content()
    with rater.page.expect_download() as download:
        rater.page.get_by_role("button", name="Download your answers").click()
    rater.page.reload()  # nothing is lost
    rater.expect(rater.page.get_by_role("button", name="Download your answers")).to_be_visible(timeout=WAIT)
    download.value.save_as(tmp_path / "downloads" / download.value.suggested_filename)
    assert rater.troubles == []
    rows = read_rows(tmp_path / "downloads")
    assert [(row["trial"], row["swapped"]) for row in rows] == study.schedules[2]
    assert all(row["shown_at"] < row["answered_at"] for row in rows)
    assert code == rows[0]["rater"][:8].upper()  # so that makers know whose answers they have
    assert rows[0]["sound_check"] == [trial.right for trial in study.headphones]
    assert {(row["alignment"]["choice"], row["musicality"]["choice"]) for row in rows} == {("b", "tie")}
    limits = Limits(catch=0.0, seconds=0.0, side=0.0)
    answers, out = tmp_path / "downloads", tmp_path / "out"
    analyze.main(analyze.Analyze(short_study, out, answers=answers, screening=limits))
    assert "4 votes of 1 raters" in (out / "report.html").read_text()


def test_the_folder_holds_no_system(short_study, page):
    _, key = load_study(short_study)
    texts = {path.name: path.read_text(encoding="utf-8") for path in page.rglob("*.js")}
    texts |= {f"the name {path.name}": path.name for path in page.rglob("*")}
    assert not leaks_in_texts(texts, secrets_of_key(key))
    data = json.loads(texts["data.js"].removeprefix("const DATA = ").rstrip(";\n"))
    assert '"right"' not in json.dumps(data["introduction"])


def test_a_page_is_not_overwritten(short_study, page):
    with pytest.raises(InputError, match="holds a page already"):
        static.main(Static(short_study / BLINDED, page))
